"""The results of a study as rows: one per member and metric. Free of torch; reads study.json."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from diptych.errors import RunError

__all__ = ["Member", "Row", "Table"]

SCHEMA = 2
LARGEST = 1e300
"""Differences of larger numbers overflow; nothing measured is that large."""

Better = Literal["lower", "higher", "closer"]


@dataclass(frozen=True)
class Row:
    """One figure of one member or baseline.

    Attributes:
        kind: whose figure it is.
        recipe: the member's recipe, or the baseline's name.
        seed: None for a baseline.
        key: of the metric, with its extractor: ``"fd-classifier"``.
        value: the figure; the other numbers as in `Figure`.
        extractor: whose features were used; empty where none were.
        protocol: the fingerprint; rows of different protocols are not compared.
    """

    kind: Literal["member", "baseline"]
    recipe: str
    seed: int | None
    key: str
    name: str
    panel: str
    unit: str
    better: Better
    value: float
    low: float | None = None
    high: float | None = None
    interval: str = ""
    floor: float | None = None
    ceiling: float | None = None
    n_real: int | None = None
    n_fake: int | None = None
    extractor: str = ""
    trusted: bool = True
    protocol: str = ""
    note: str = ""

    @property
    def base(self) -> str:
        """The key without the extractor: ``"fd"``."""
        return self.key.removesuffix(f"-{self.extractor}") if self.extractor else self.key


@dataclass(frozen=True)
class Member:
    """One recipe at one seed: what became of it and what it cost."""

    recipe: str
    title: str
    family: str
    seed: int
    status: str
    reason: str = ""
    parameters: int | None = None
    images_seen: int | None = None
    train_seconds: float | None = None
    evaluation_seconds: float | None = None
    images_per_second: float | None = None


@dataclass(frozen=True)
class Table:
    """All rows and members of a study, with what verdicts have to know of data and budget."""

    rows: tuple[Row, ...]
    members: tuple[Member, ...]
    baselines: Mapping[str, str] = field(default_factory=dict)
    """Titles by name."""
    data: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The parts of every protocol by fingerprint."""

    @classmethod
    def from_results(cls, results: Mapping[str, Any]) -> "Table":
        """The table of a study.json of schema 2.

        Optional keys may be missing; a member without figures has no rows.

        Raises:
            RunError: it is no study of this schema, or a figure or member in it is malformed.
        """
        if not isinstance(results, Mapping) or not isinstance(results.get("members"), list):
            raise RunError("study.json is not a study: it has no list of members.")
        if results.get("schema", SCHEMA) != SCHEMA:
            raise RunError(
                f"study.json has schema {results['schema']!r}, and verdicts are made from schema "
                f"{SCHEMA}; compare again with this Diptych."
            )
        protocols = _mapping(results, "protocols")
        for name in protocols:
            _mapping(protocols, name)
        data, budget = _mapping(results, "data"), _mapping(results, "budget")
        _check(data, budget)
        members: list[Member] = []
        known: set[tuple[str, int]] = set()
        rows: list[Row] = []
        baselines: dict[str, str] = {}
        for record in results["members"]:
            member = _member(record)
            if (member.recipe, member.seed) in known:
                raise RunError(
                    f"study.json has the member {member.recipe!r} of seed {member.seed} twice."
                )
            known.add((member.recipe, member.seed))
            members.append(member)
            rows += _rows(record, "member", member.recipe, member.seed, protocols)
        for record in results.get("baselines") or []:
            name = _text(record, "name", "A baseline")
            baselines[name] = str(record.get("title") or name)
            rows += _rows(record, "baseline", name, None, protocols)
        return cls(
            tuple(rows),
            tuple(members),
            baselines,
            data,
            budget,
            protocols,
        )


def _mapping(results: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = results.get(key) or {}
    if not isinstance(found, Mapping):
        raise RunError(f"study.json has {key}={str(found)[:40]!r}, which must be an object.")
    return found


def _check(data: Mapping[str, Any], budget: Mapping[str, Any]) -> None:
    """What verdicts calculate with must be numbers."""
    for key in ("minutes", "images"):
        _number(budget, key, "The budget")
    splits = _mapping(data, "splits")
    for key in splits:
        _number(splits, key, "The splits")
    shape = data.get("shape") or []
    if not isinstance(shape, list | tuple) or not all(
        isinstance(side, int) and 0 < side < LARGEST for side in shape
    ):
        raise RunError(f"study.json has shape={str(shape)[:40]!r}, which must be sizes.")


def _text(record: Any, key: str, whose: str) -> str:
    found = record.get(key) if isinstance(record, Mapping) else None
    if not isinstance(found, str) or not found:
        raise RunError(f"{whose} in study.json has no {key}; the file was changed or cut short.")
    return found


def _member(record: Any) -> Member:
    recipe = _text(record, "recipe", "A member")
    whose = f"The member {recipe!r}"
    seed = _number(record, "seed", whose)
    players = record.get("parameters")
    if isinstance(players, Mapping):
        counts = [_number(players, player, whose) or 0 for player in players]
        parameters: int | None = int(sum(counts)) if counts else None
    else:
        parameters = _whole(_number(record, "parameters", whose))
    return Member(
        recipe=recipe,
        title=str(record.get("title") or recipe),
        family=str(record.get("family") or ""),
        seed=0 if seed is None else int(seed),
        status=_text(record, "status", whose),
        reason=str(record.get("reason") or ""),
        parameters=parameters,
        images_seen=_whole(_number(record, "images_seen", whose)),
        train_seconds=_number(record, "train_seconds", whose),
        evaluation_seconds=_number(record, "evaluation_seconds", whose),
        images_per_second=_number(record, "images_per_second", whose),
    )


def _rows(
    record: Mapping[str, Any],
    kind: Literal["member", "baseline"],
    recipe: str,
    seed: int | None,
    protocols: Mapping[str, Any],
) -> Iterator[Row]:
    figures = record.get("figures") or []
    whose = f"A figure of {recipe!r}"
    if not isinstance(figures, Sequence) or isinstance(figures, str):
        raise RunError(f"The figures of {recipe!r} in study.json are no list.")
    for figure in figures:
        key = _text(figure, "key", whose)
        whose_value = f"The figure {key!r} of {recipe!r}"
        value = _number(figure, "value", whose_value)
        if value is None:
            raise RunError(f"{whose_value} in study.json has no value.")
        better = figure.get("better")
        if better not in get_args(Better):
            raise RunError(
                f"{whose_value} in study.json says better={better!r}; it must be one of "
                f"{', '.join(get_args(Better))}."
            )
        numbers = {
            name: _number(figure, name, whose_value)
            for name in ("low", "high", "floor", "ceiling")
        }
        protocol = str(figure.get("protocol") or "")
        name = str(figure.get("name") or key)
        yield Row(
            kind=kind,
            recipe=recipe,
            seed=seed,
            key=key,
            name=name,
            panel=str(figure.get("panel") or ""),
            unit=str(figure.get("unit") or ""),
            better=better,
            value=value,
            interval=str(figure.get("interval") or ""),
            n_real=_whole(_number(figure, "n_real", whose_value)),
            n_fake=_whole(_number(figure, "n_fake", whose_value)),
            extractor=_extractor(key, name, protocols.get(protocol)),
            trusted=figure.get("trusted", True) is True,
            protocol=protocol,
            note=str(figure.get("note") or ""),
            **numbers,
        )


def _extractor(key: str, name: str, protocol: Any) -> str:
    """Whose features: from the brackets behind the name, or from the protocol (FID has none)."""
    brackets = re.search(r"\(([^()]+)\)$", name)
    if brackets and key.endswith(f"-{brackets[1]}"):
        return brackets[1]
    features = protocol.get("features") if isinstance(protocol, Mapping) else None
    found = features.get("extractor") if isinstance(features, Mapping) else None
    return found if isinstance(found, str) else ""


def _number(record: Mapping[str, Any], key: str, whose: str) -> float | None:
    found = record.get(key)
    if found is None:
        return None
    usual = isinstance(found, int | float) and not isinstance(found, bool)
    if not (usual and abs(found) < LARGEST):  # which NaN is not, either
        raise RunError(
            f"{whose} in study.json has {key}={str(found)[:20]}, which must be a number."
        )
    return found  # type: ignore[no-any-return]


def _whole(found: float | None) -> int | None:
    return None if found is None else int(found)
