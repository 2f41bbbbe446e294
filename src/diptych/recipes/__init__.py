"""Recipes: a few lines of YAML that say what to train."""

from diptych.recipes.loading import (
    builtin_names,
    load_recipe,
    recipe_for_game,
    recipe_yaml,
    with_settings,
)
from diptych.recipes.schema import Recipe

__all__ = [
    "Recipe",
    "builtin_names",
    "load_recipe",
    "recipe_for_game",
    "recipe_yaml",
    "with_settings",
]
