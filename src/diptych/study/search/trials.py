"""`search_recipe`: trials of one recipe, chosen on validation images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diptych.data import Data
from diptych.errors import DiptychError
from diptych.evaluation.sets import Progress, silent
from diptych.recipes import Recipe
from diptych.study.search.space import space_of
from diptych.training.budget import Budget
from diptych.training.plan import Precision
from diptych.training.session import Listener

__all__ = ["SearchResult", "require_optuna", "search_recipe"]


@dataclass(frozen=True)
class SearchResult:
    """The recipe with the best settings, and the record for study.json."""

    recipe: Recipe
    record: Mapping[str, Any]


def require_optuna() -> None:
    """Refuse a search before anything is trained where it cannot be made.

    Raises:
        DiptychError: Optuna is not installed.
    """
    if find_spec("optuna") is None:
        raise DiptychError(
            "--trials needs Optuna, which is not installed; pip install 'diptych[search]'"
        )


def search_recipe(
    recipe: Recipe,
    data: Data,
    directory: Path,
    *,
    trials: int,
    minutes: float | None = None,
    images: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    listener: Listener | None = None,
    announce: Callable[[str], None] | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Train `trials` settings of a recipe and choose the best on validation images.

    The first trial is the recipe as it is; the tree-structured Parzen estimator chooses the
    others within the recipe's search space. Each is an ordinary run with the whole budget and
    the same seed, judged by the Fréchet distance between features of its samples and of
    validation images (points: by the sliced W2 distance between the points). The test split is
    not read.

    What is finished in `directory` is not repeated, and a trial that was interrupted goes on.
    Several processes, on several machines that share the directory, may be given the same search
    at once: each takes the next trial, and all return when the last one is finished.

    Args:
        recipe: with a search space.
        data: from `load_data`.
        directory: STUDY/RECIPE/trials; journal.log and one run per trial are written there.
        trials: how many in all.
        minutes: the budget of each trial in minutes; 5 if nothing is given.
        images: or in images shown. Then a search that was interrupted chooses what it would have
            chosen otherwise.
        seed: of the trainings and of the choice of settings.
        device: as in `train`.
        precision: as in `train`.
        listener: called with each row of metrics.
        announce: called with a sentence about each trial, and one at the end.
        progress: told how far measuring is.

    Returns:
        The recipe with the settings of the best trial, of two equal ones the earlier; the recipe
        unchanged where no trial came to its end.

    Raises:
        DiptychError: Optuna is not installed, or the number of trials is not one.
        RecipeError: the recipe has no search space.
        RunError: the directory holds another search.
        InterruptedRun: after saving.

    Source: Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 2011 (the
        estimator); Lucic et al., Are GANs created equal?, arXiv:1711.10337 (equal numbers of
        trials).
    """
    require_optuna()
    if not isinstance(trials, int) or trials < 1:
        raise DiptychError(f"trials must be a whole number of at least 1, not {trials}")
    budget = Budget(5.0 if minutes is None and images is None else minutes, images)
    space_of(recipe)
    from diptych.study.search.work import Search

    search = Search(
        recipe=recipe,
        data=data,
        directory=directory,
        trials=trials,
        budget=budget,
        seed=seed,
        device=device,
        precision=precision,
        listener=listener,
        say=announce or (lambda sentence: None),
        progress=progress,
    )
    search.work()
    return SearchResult(*search.outcome())
