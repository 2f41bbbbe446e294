"""A fair hyper-parameter search: the same number of trials for every recipe.

Importing it costs nothing and needs no Optuna; `search_recipe` imports what it works with.
"""

from diptych.study.search.space import describe_space
from diptych.study.search.trials import SearchResult, require_optuna, search_recipe

__all__ = ["SearchResult", "describe_space", "require_optuna", "search_recipe"]
