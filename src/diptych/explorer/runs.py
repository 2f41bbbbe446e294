"""What the person named, opened: runs, members of studies, and their data."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from diptych.data import Data
from diptych.errors import DataError, DiptychError, RunError
from diptych.explorer.models import Exhibit
from diptych.report.reading import read_study
from diptych.training.run import Run, data_of, load

__all__ = ["MOST_RUNS", "named_runs", "open_exhibits"]

MOST_RUNS = 12
"""Models side by side on one page."""


def named_runs(paths: Sequence[Path]) -> list[Path]:
    """The directories of runs: those named, and of a study the first finished of each recipe.

    Raises:
        RunError: a study has no finished member, or there are too many runs for a page.
    """
    runs: list[Path] = []
    for path in paths:
        runs += _members(path) if (path / "study.json").is_file() else [path]
    distinct = list({run.resolve(): run for run in runs}.values())
    if len(distinct) > MOST_RUNS:
        raise RunError(
            f"these are {len(distinct)} runs, and at most {MOST_RUNS} fit on a page; "
            f"name some of them: {', '.join(map(str, distinct[:2]))} ..."
        )
    return distinct


def _members(study: Path) -> list[Path]:
    """Nothing outside the study is opened, whatever its study.json says."""
    root = study.resolve()
    shown: dict[str, Path] = {}
    for member in read_study(study).members:
        inside = member.directory and (root / member.directory).resolve().is_relative_to(root)
        if member.status == "finished" and inside:
            shown.setdefault(member.recipe, study / member.directory)
    if not shown:
        raise RunError(f"{study} is a comparison without a finished member")
    return list(shown.values())


def open_exhibits(
    paths: Sequence[Path],
    *,
    load_given: Callable[[tuple[int, int] | None], Data] | None = None,
    given: str = "",
) -> list[Exhibit]:
    """Load runs and find pictures for each.

    Args:
        paths: directories of runs.
        load_given: loads data to use instead of those that the runs were trained on, at a size
            (height, width) or at their own.
        given: how the command line names these data.

    Raises:
        RunError: a directory is no run, or its model does not make pictures.
        DataError: the given data cannot be had, or do not fit a model.
    """
    runs = [load(path) for path in paths]
    for run in runs:
        if not run.model.is_image:
            raise RunError(f"explore shows pictures, and {run.directory} makes points")
    titles = _titles(runs)
    if load_given is None:
        return [_with_own_data(run, title) for run, title in zip(runs, titles, strict=True)]
    once = functools.cache(load_given)
    exhibits = []
    for run, title in zip(runs, titles, strict=True):
        data = _fitting(run, once)
        is_own = data.fingerprint == run.info["data"]["fingerprint"]
        exhibits.append(Exhibit(run, title, data, is_own=is_own, given=given))
    return exhibits


def _with_own_data(run: Run, title: str) -> Exhibit:
    try:
        data = data_of(run)
        if len(data.splits["test"]) == 0:
            raise DataError(f"{data.name} has no held-out picture")
    except DiptychError as error:
        return Exhibit(run, title, without=str(error).rstrip("."))
    return Exhibit(run, title, data)


def _fitting(run: Run, load_given: Callable[[tuple[int, int] | None], Data]) -> Data:
    """Given data in the shape of a model.

    A run that was trained without a size may find its own data again, in another place: they are
    known by their fingerprint, in which a size would make a difference.
    """
    shape = run.model.event_shape
    if not run.info["data"]["request"].get("size"):
        with suppress(DataError):
            as_it_is = load_given(None)
            if as_it_is.shape == shape:
                return as_it_is
    data = load_given((shape[1], shape[2]))
    if data.shape != shape:
        raise DataError(
            f"{data.name} holds {data.kind} of shape {data.shape}, and the model of "
            f"{run.directory} makes pictures of shape {shape}; name pictures that fit"
        )
    return data


def _titles(runs: Sequence[Run]) -> list[str]:
    """The recipes' titles; seeds, then directories, where these are not enough to tell."""
    titles = [run.recipe.title for run in runs]
    for parts in ([f"seed {run.info['seed']}" for run in runs], [str(r.directory) for r in runs]):
        counts = Counter(titles)
        titles = [
            f"{title}, {part}" if counts[title] > 1 else title
            for title, part in zip(titles, parts, strict=True)
        ]
    return titles
