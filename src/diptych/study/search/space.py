"""The space of a search: what a recipe lets it choose, its own settings always among them."""

from collections.abc import Mapping
from typing import Any

from diptych.errors import RecipeError
from diptych.recipes import Recipe
from diptych.recipes.schema import TURNS, Dimension

__all__ = ["describe_settings", "describe_space", "own_settings", "space_of"]


def own_settings(recipe: Recipe) -> dict[str, Any]:
    """What the recipe itself says of the settings that a search may choose, by dotted key."""
    settings = recipe.to_dict()
    turns = TURNS.get(recipe.model.kind, ())
    settings["optimizers"] |= {turn: recipe.optimizer_of(turn).model_dump() for turn in turns}
    found = {}
    for key in recipe.search:
        here: Any = settings
        for part in key.split("."):
            here = here[part]
        found[key] = here
    return found


def space_of(recipe: Recipe) -> dict[str, Dimension]:
    """The dimensions of the search by dotted key, each wide enough for the recipe's own value.

    The first trial is the recipe as it is, so a value from `--set` widens the space.

    Raises:
        RecipeError: there is no space, or it cannot hold a value of the recipe.
    """
    if not recipe.search:
        raise RecipeError(
            f"recipe {recipe.name!r} says nothing of what may be searched; give its file a part "
            "like 'search: {model.latent_dim: {choices: [8, 16, 32]}}', or leave --trials out"
        )
    own = own_settings(recipe)
    return {key: _with(recipe, key, own[key]) for key in recipe.search}


def _with(recipe: Recipe, key: str, own: Any) -> Dimension:
    dimension = recipe.search[key]
    if dimension.choices:
        if own in dimension.choices:
            return dimension
        return Dimension(choices=(*dimension.choices, own))
    low, high = dimension.low, dimension.high
    fits = isinstance(own, int | float) and not isinstance(own, bool)
    if not fits or (dimension.log and own <= 0) or low is None or high is None:
        kind = "logarithmic range" if dimension.log else "range"
        raise RecipeError(
            f"recipe {recipe.name!r}: {key} is {own!r}, which no {kind} can hold, and a search "
            f"begins with the recipe as it is; change {key} or its entry under 'search'"
        )
    return Dimension(
        low=min(low, own), high=max(high, own), log=dimension.log, integer=dimension.integer
    )


def describe_space(recipe: Recipe) -> list[str]:
    """The search space of a recipe in lines, printed before a search starts.

    Raises:
        RecipeError: the recipe has no search space.
    """
    space, own = space_of(recipe), own_settings(recipe)
    count = f"{len(space)} setting{'' if len(space) == 1 else 's'}"
    lines = [f"{recipe.title}: a search over {count}, which begins with the recipe's own"]
    for key, dimension in space.items():
        lines.append(f"  {key}: {_words(dimension)}; its own is {_value(own[key])}")
    return lines


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Settings in one line."""
    return ", ".join(f"{key} {_value(value)}" for key, value in settings.items())


def _words(dimension: Dimension) -> str:
    if dimension.choices:
        return "one of " + ", ".join(_value(value) for value in dimension.choices)
    kinds = [
        word
        for word, holds in (("whole numbers", dimension.integer), ("log scale", dimension.log))
        if holds
    ]
    ends = f"{_value(dimension.low)} to {_value(dimension.high)}"
    return f"{ends} ({', '.join(kinds)})" if kinds else ends


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
