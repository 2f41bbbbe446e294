"""study.json: read, checked against what is asked now, and written whole after every change."""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diptych
from diptych.data import describe
from diptych.errors import RunError
from diptych.recipes import Recipe
from diptych.study.lock import LOCK_NAME
from diptych.study.plan import RESERVED, Plan, what_trains
from diptych.training.budget import Budget
from diptych.training.rundir import new_directory, write_text

__all__ = ["SCHEMA", "Book", "check_place", "read_results"]

SCHEMA = 2
FILE = "study.json"
OUTPUTS = {"results.csv", "results.parquet", "report.html"}


def read_results(directory: str | Path) -> dict[str, Any]:
    """The content of study.json.

    Raises:
        RunError: the directory is no study, or one of another version.
    """
    path = Path(directory) / FILE
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{directory} is not a study: it has no {FILE}; "
            "give the directory that `diptych compare` wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            f"{path} cannot be read ({error}); move it away and compare again with the same "
            "--out: members that are trained are found again"
        ) from None
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        found = results.get("schema") if isinstance(results, dict) else None
        raise RunError(
            f"{path} has schema {found!r}, and this Diptych reads and goes on with schema "
            f"{SCHEMA}; compare again with a new --out"
        )
    if (missing := _missing(results)) is not None:
        raise RunError(
            f"{path} is damaged: it has no {missing}; move it away and compare again with the "
            "same --out: members that are trained are found again"
        )
    return results


_NEEDED: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("settings", "budget", "data", "protocols"), dict),
    **dict.fromkeys(("members", "seeds", "baselines", "search"), list),
    **dict.fromkeys(("real", "machine", "features", "queries"), object),
}
"""What a study cannot be gone on with without; what may be null has only to be there."""


def _missing(results: Mapping[str, Any]) -> str | None:
    """The first thing that a study needs and these results lack or hold in another form."""
    for key, kind in _NEEDED.items():
        if key not in results or not isinstance(results[key], kind):
            return key
    for number, member in enumerate(results["members"], 1):
        for key, kind in (("recipe", str), ("seed", int), ("status", str)):
            if not isinstance(member, dict) or not isinstance(member.get(key), kind):
                return f"{key} of member {number}"
    return None


def check_place(directory: Path, plan: Plan) -> None:
    """Refuse a directory that is neither new, nor empty, nor this study's.

    Directories of members without a study.json are this study's too: it was lost, or the members
    were trained one by one.

    Raises:
        RunError: something else is there already.
    """
    if (directory / FILE).is_file():
        return
    if not directory.is_dir():
        new_directory(directory)  # which refuses what is no directory
        return
    names = {recipe.name for recipe in plan.recipes}
    for entry in directory.iterdir():
        known = entry.name in OUTPUTS or entry.name == LOCK_NAME or entry.name.endswith(".part")
        if known or (entry.is_dir() and entry.name in RESERVED):
            continue
        if entry.is_dir() and entry.name in names and _holds_members(entry):
            continue
        raise RunError(
            f"{directory} already exists and is not an empty directory; name a new one, or that "
            f"of an interrupted study ({entry.name} is no part of this one)"
        )


def _holds_members(folder: Path) -> bool:
    return all(
        entry.is_dir() and (entry.name.startswith(("seed-", "aside-")) or entry.name == "trials")
        for entry in folder.iterdir()
    )


class Book:
    """The results of a study as they grow; every change is on the disk before the next begins."""

    def __init__(self, directory: Path, results: dict[str, Any], *, is_new: bool) -> None:
        self.directory = directory
        self.results = results
        self.is_new = is_new

    @classmethod
    def open(cls, directory: Path, plan: Plan, command: str) -> "Book":
        """Begin a study, or go on with one that was asked for in the same way.

        More seeds and more recipes than before are allowed: the study grows.

        Raises:
            RunError: what is asked differs from what the study was made with.
        """
        if not (directory / FILE).exists():
            book = cls(directory, _blank(plan, command), is_new=True)
            book._arrange(plan)
            return book
        results = read_results(directory)
        if differences := _differences(results, plan):
            raise RunError(
                f"{directory} is a study of other settings: {'; '.join(differences)}; "
                "name a new --out, or ask as before (more seeds and more recipes are allowed)"
            )
        book = cls(directory, results, is_new=False)
        book.results["settings"] = plan.settings
        if book._arrange(plan):
            book.results["command"] = command
        return book

    def write(self) -> None:
        """Replace study.json."""
        write_text(self.directory / FILE, json.dumps(self.results, indent=1) + "\n")

    def member(self, recipe: str, seed: int) -> dict[str, Any]:
        """The entry of a member."""
        return next(
            m for m in self.results["members"] if (m["recipe"], m["seed"]) == (recipe, seed)
        )

    def put(self, entry: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
        """Write down what became of a member.

        Args:
            entry: of the member.
            shared: `features`, `machine` and `protocols` it was measured under, where known.
        """
        key = (entry["recipe"], entry["seed"])
        members = self.results["members"]
        place = next(i for i, m in enumerate(members) if (m["recipe"], m["seed"]) == key)
        members[place] = dict(entry)
        self.results["protocols"] |= shared.get("protocols", {})
        for name in ("machine", "features"):
            self.results[name] = self.results[name] or shared.get(name)
        self.write()

    @property
    def is_budget_known(self) -> bool:
        """False until a probe has turned minutes into the images that all are shown."""
        budget = self.results["budget"]
        return "asked_minutes" not in budget or "probe" in budget

    @property
    def budget(self) -> Budget:
        """The budget of each member."""
        return Budget(self.results["budget"]["minutes"], self.results["budget"]["images"])

    def set_probed(self, rates: Mapping[str, float]) -> None:
        """Turn the minutes that were asked for into the images of the slowest recipe."""
        minutes = self.results["budget"]["asked_minutes"]
        self.results["budget"] |= {
            "minutes": None,
            "images": max(1, int(min(rates.values()) * 60.0 * minutes)),
            "probe": {name: round(rate, 1) for name, rate in rates.items()},
        }
        self.write()

    def finished(self) -> list[dict[str, Any]]:
        """The entries of members that were trained and measured."""
        return [m for m in self.results["members"] if m["status"] == "finished"]

    def _arrange(self, plan: Plan) -> bool:
        """Have an entry for every member, recipe by recipe; True if there are new ones."""
        known = {(m["recipe"], m["seed"]): m for m in self.results["members"]}
        order = [(recipe, seed) for recipe in plan.recipes for seed in plan.seeds]
        self.results["members"] = [
            known.get((recipe.name, seed), _waiting(recipe, seed)) | {"title": recipe.title}
            for recipe, seed in order
        ]
        self.results["seeds"] = list(plan.seeds)
        self.results["jobs"] = plan.jobs
        return len(known) < len(order)


def _waiting(recipe: Recipe, seed: int) -> dict[str, Any]:
    return {"recipe": recipe.name, "title": recipe.title, "seed": seed, "status": "waiting"}


def _blank(plan: Plan, command: str) -> dict[str, Any]:
    description = describe(plan.data)
    budget: dict[str, Any] = {
        "minutes": plan.budget.minutes,
        "images": plan.budget.images,
        "equal": plan.equal,
    }
    if plan.needs_probe:
        budget["asked_minutes"] = plan.budget.minutes
    return {
        "schema": SCHEMA,
        "diptych": diptych.__version__,
        "command": command,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "data": {**description, "classes": description["classes"] or {}},
        "budget": budget,
        "seeds": [],
        "settings": plan.settings,
        "machine": None,
        "jobs": plan.jobs,
        "features": None,
        "protocols": {},
        "real": None,
        "real_grid": None,
        "queries": None,
        "members": [],
        "baselines": [],
        "search": [],
        "verdict": None,
    }


def _differences(results: Mapping[str, Any], plan: Plan) -> list[str]:
    """What of a study is not as it is asked for now, each as "X there, Y asked"."""
    found: list[str] = []

    def compare(what: str, there: Any, asked: Any) -> None:
        if there != asked:
            found.append(f"{what} {_shown(there)} there, {_shown(asked)} asked")

    data, budget, settings = results["data"], results["budget"], results["settings"]
    if data.get("fingerprint") != plan.data.fingerprint:
        name, there = data.get("name"), str(data.get("fingerprint"))[:12]
        found.append(
            f"data {name} ({there}) there, {plan.data.name} ({plan.data.fingerprint[:12]}) asked"
        )
    asked_images = plan.budget.images
    compare("minutes", budget.get("asked_minutes") or budget.get("minutes"), plan.budget.minutes)
    compare("images", None if "asked_minutes" in budget else budget.get("images"), asked_images)
    compare("equal", budget.get("equal"), plan.equal)
    for key in ("trials", "n", "effort"):
        compare(key, settings.get(key), plan.settings[key])
    if "precision" in settings:
        compare("precision", settings["precision"], plan.settings["precision"])
    compare("metrics", settings.get("metrics"), plan.settings["metrics"])
    seeds = [seed for seed in results.get("seeds", []) if seed not in plan.seeds]
    if seeds:
        found.append(f"seeds {_shown(results['seeds'])} there, {_shown(plan.seeds)} asked")
    recipes = settings.get("recipes", {})
    if missing := [name for name in recipes if name not in plan.settings["recipes"]]:
        found.append(f"recipe {_shown(missing)} there and not asked for")
    for name, asked in plan.settings["recipes"].items():
        if name not in recipes:
            continue
        pairs = unlike(what_trains(recipes[name]), what_trains(asked))
        if plan.trials:
            pairs += unlike(recipes[name].get("search"), asked.get("search"), "search")
        found += [f"{name}: {key} {_shown(a)} there, {_shown(b)} asked" for key, a, b in pairs]
    return found


def unlike(there: Any, asked: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """The dotted keys at which two settings differ, with both values."""
    if isinstance(there, Mapping) and isinstance(asked, Mapping):
        keys = [*there, *(name for name in asked if name not in there)]
        return [
            found
            for name in keys
            for found in unlike(
                there.get(name), asked.get(name), f"{key}.{name}" if key else str(name)
            )
        ]
    return [] if there == asked else [(key, there, asked)]


def _shown(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "all"
    return "none" if value is None else str(value)
