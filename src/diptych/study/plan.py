"""What a study is asked to do: checked before anything is written, and told before it starts."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from diptych.data import Data
from diptych.errors import DiptychError
from diptych.evaluation.density.panel import Effort
from diptych.evaluation.evaluate import check_enough
from diptych.evaluation.measuring import all_metrics, check_count
from diptych.evaluation.selection import Selection
from diptych.models.build import build, check_fit
from diptych.recipes import Recipe, load_recipe
from diptych.study.search import describe_space
from diptych.study.search.trials import require_optuna
from diptych.training.budget import Budget
from diptych.training.plan import ExecutionPlan, Precision, Wishes

__all__ = ["Equal", "Plan", "Task", "make_plan", "usable_cores", "what_trains"]

Equal = Literal["time", "images"]
"""What all members have the same of."""
RESERVED = ("pictures", "baselines")
"""Directories of a study that are no recipe's."""


@dataclass(frozen=True)
class Task:
    """One member to train and measure.

    Attributes:
        recipe: what to train; after a search, with the settings that were found.
        seed: of weights, data order and noise.
        study: the study's directory.
    """

    recipe: Recipe
    seed: int
    study: Path

    @property
    def place(self) -> str:
        """The member's directory within the study, with forward slashes."""
        return f"{self.recipe.name}/seed-{self.seed}"

    @property
    def directory(self) -> Path:
        """The member's directory."""
        return self.study / self.recipe.name / f"seed-{self.seed}"

    @property
    def title(self) -> str:
        """How progress calls it."""
        return f"{self.recipe.title}, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """A study as it was asked for, checked.

    Attributes:
        budget: what was asked for; with minutes and equal images, the minutes of the slowest.
        equal: what all members have the same of.
        speed: where and how this machine trains.
        parameters: numbers by player, by recipe.
    """

    recipes: tuple[Recipe, ...]
    data: Data
    budget: Budget
    equal: Equal
    seeds: tuple[int, ...]
    trials: int
    jobs: int
    metrics: tuple[str, ...]
    n: int | None
    effort: Effort
    overrides: tuple[str, ...]
    device: str
    precision: Precision
    speed: ExecutionPlan
    parameters: Mapping[str, Mapping[str, int]]

    @property
    def needs_probe(self) -> bool:
        """Whether the number of images has to be found from the speed of the slowest recipe."""
        return self.equal == "images" and self.budget.minutes is not None

    def tasks(self, study: Path) -> list[Task]:
        """All members, the first seed of every recipe before the second of any.

        Whenever it is interrupted, a study has nearly as many members of one recipe as of another.
        """
        return [Task(recipe, seed, study) for seed in self.seeds for recipe in self.recipes]

    def with_recipes(self, recipes: Sequence[Recipe]) -> "Plan":
        """The same plan for recipes whose settings a search has found."""
        return replace(self, recipes=tuple(recipes))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The entry `settings` of study.json."""
        return {
            "overrides": list(self.overrides),
            "metrics": list(self.metrics),
            "effort": self.effort,
            "trials": self.trials,
            "n": self.n,
            "precision": self.speed.precision,
            "recipes": {recipe.name: recipe.to_dict() for recipe in self.recipes},
        }

    @property
    def share_of_cores(self) -> int:
        """Threads of each worker when members are trained side by side."""
        return max(1, usable_cores() // self.jobs)


def make_plan(
    recipes: str | Path | Sequence[str | Path | Recipe],
    data: Data,
    *,
    minutes: float | None,
    images: int | None,
    seeds: int | Iterable[int],
    seed: int,
    equal: str | None,
    trials: int,
    jobs: int,
    metrics: Sequence[str],
    n: int | None,
    effort: Effort,
    overrides: Iterable[str],
    device: str,
    precision: Precision,
) -> Plan:
    """Check everything that can be checked before a study starts.

    Raises:
        DiptychError: the first thing that does not fit, and what to do.
    """
    overrides = tuple(overrides)
    if isinstance(recipes, str | Path):
        recipes = [recipes]
    resolved = _with_own_titles([load_recipe(recipe, overrides) for recipe in recipes])
    _check_names([recipe.name for recipe in resolved])
    budget = Budget(5.0 if minutes is None and images is None else minutes, images)
    chosen = choose_equal(budget, equal)
    numbers = choose_seeds(seeds, seed)
    for name, value, least in (("trials", trials, 0), ("jobs", jobs, 1)):
        if not isinstance(value, int) or value < least:
            raise DiptychError(f"{name} must be a whole number of at least {least}, not {value}")
    metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    Selection.of(metrics, all_metrics())
    check_count(n)
    if trials:
        require_optuna()
    for recipe in resolved:
        check_fit(recipe, data)
        if trials:
            describe_space(recipe)
    check_enough(data)
    return Plan(
        recipes=tuple(resolved),
        data=data,
        budget=budget,
        equal=chosen,
        seeds=numbers,
        trials=trials,
        jobs=jobs,
        metrics=metrics,
        n=n,
        effort=effort,
        overrides=overrides,
        device=device,
        precision=precision,
        speed=ExecutionPlan.choose(
            Wishes(device=device, precision=precision), points=data.kind == "points"
        ),
        parameters={
            recipe.name: dict(build(recipe, data).count_parameters()) for recipe in resolved
        },
    )


def choose_equal(budget: Budget, equal: str | None) -> Equal:
    """What members have the same of; where nothing is said, what the budget counts.

    Raises:
        DiptychError: it is neither "time" nor "images", or cannot be had under this budget.
    """
    if equal is None:
        return "time" if budget.minutes is not None else "images"
    if equal not in get_args(Equal):
        raise DiptychError(f"equal is {equal!r}; members can have equal 'time' or 'images'")
    if equal == "time" and budget.images is not None:
        raise DiptychError(
            f"{budget.images:,} images take each recipe a time of its own, so time cannot be "
            "equal; give --minutes with --equal time, or leave --equal out"
        )
    return "time" if equal == "time" else "images"


def choose_seeds(seeds: int | Iterable[int], first: int) -> tuple[int, ...]:
    """The seeds themselves: `seeds` of them from `first` on, or those that are named.

    Raises:
        DiptychError: there is none, one is named twice, or one is no seed.
    """
    if isinstance(seeds, int):
        if seeds < 1:
            raise DiptychError(f"seeds must be at least 1, not {seeds}")
        return tuple(range(first, first + seeds))
    numbers = tuple(seeds)
    for number in numbers:
        if not isinstance(number, int) or not 0 <= number < 2**63:
            raise DiptychError(f"{number!r} is not a seed; seeds are whole numbers from 0 on")
    if not numbers or len(set(numbers)) < len(numbers):
        named = ", ".join(map(str, numbers)) or "none"
        raise DiptychError(f"seeds must be different numbers, not: {named}")
    return numbers


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) < len(names) or not names:
        raise DiptychError(f"compare needs recipes of different names, not: {', '.join(names)}")
    for name in names:
        if name in RESERVED:
            raise DiptychError(
                f"a recipe of a study cannot be called {name!r}: its directory has another use; "
                "change 'name' in its file"
            )


def _with_own_titles(recipes: list[Recipe]) -> list[Recipe]:
    """Two members of one title could not be told apart: theirs are followed by the name."""
    titles = [recipe.title for recipe in recipes]
    return [
        recipe
        if titles.count(recipe.title) == 1
        else recipe.model_copy(update={"title": f"{recipe.title} ({recipe.name})"})
        for recipe in recipes
    ]


def what_trains(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Of a recipe as a mapping, what decides the weights: without the words about it."""
    return {key: recipe.get(key) for key in ("name", "model", "optimizers", "training")}


def usable_cores() -> int:
    """Cores this process may use; OMP_NUM_THREADS is the upper limit, as it is torch's."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
