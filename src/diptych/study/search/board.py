"""The board of a search: trials on disk that several processes and machines take from."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from diptych.errors import RunError
from diptych.evaluation.streams import stream_seed
from diptych.recipes.schema import Dimension
from diptych.study.results import unlike
from diptych.study.search.claims import Claim, held

__all__ = ["Board", "Ending", "Ticket"]

RANDOM_TRIALS = 4
"""Trials before the estimator has something to go by, the recipe's own among them."""
NAME = "search"

Ending = Literal["finished", "diverged", "crashed"]
# What has diverged tells the estimator to keep away; a crash tells it nothing of the settings.
STATES: dict[Ending, TrialState] = {
    "finished": TrialState.COMPLETE,
    "diverged": TrialState.PRUNED,
    "crashed": TrialState.FAIL,
}


class Ticket:
    """A trial to work on, held by this process until the block that uses it ends."""

    def __init__(self, trial: Trial, settings: Mapping[str, Any], claim: Claim) -> None:
        self.trial, self.settings, self._claim = trial, settings, claim
        self.number: int = trial.number

    def __enter__(self) -> "Ticket":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._claim.release()


class Board:
    """All trials of one search, in an Optuna journal that processes write to in turn.

    Settings of trial k are a function of the seed, k and the trials that were finished before.

    Args:
        directory: for journal.log and the claims.
        space: by dotted key.
        own: the settings of the first trial.
        identity: what the search is of, as JSON; a journal of anything else is refused.
        seed: of the choice of settings.

    Raises:
        RunError: the directory holds another search, or a journal that cannot be read.
    """

    def __init__(
        self,
        directory: Path,
        *,
        space: Mapping[str, Dimension],
        own: Mapping[str, Any],
        identity: Mapping[str, Any],
        seed: int,
    ) -> None:
        self._directory, self._seed = directory, seed
        self._space = {key: _distribution(dimension) for key, dimension in space.items()}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        directory.mkdir(parents=True, exist_ok=True)
        journal = directory / "journal.log"
        with self._alone():
            lock = JournalFileOpenLock(str(journal))
            _mend(journal, lock)
            try:
                self._study = optuna.create_study(
                    storage=JournalStorage(JournalFileBackend(str(journal), lock_obj=lock)),
                    study_name=NAME,
                    direction="minimize",
                    load_if_exists=True,
                )
                there = self._study.user_attrs.get("of")
            except (ValueError, KeyError) as error:
                raise RunError(
                    f"{journal} cannot be read ({error}); move it away: trials that are trained "
                    "are found again"
                ) from None
            if there is None:
                self._study.set_user_attr("of", dict(identity))
            elif differences := unlike(there, dict(identity)):
                told = "; ".join(
                    f"{key} {old} there, {new} asked" for key, old, new in differences
                )
                raise RunError(f"{directory} holds another search: {told}; name a new --out")
            if not self._study.get_trials(deepcopy=False):
                self._study.enqueue_trial(dict(own))

    def take(self, trials: int) -> Ticket | None:
        """The next trial: one that was left by a process that has ended, or else a new one.

        Args:
            trials: how many there are to be in all.

        Returns:
            None where all are begun: finished, or in the hands of others.
        """
        with self._alone():
            known = self._study.get_trials(deepcopy=False)
            for trial in known:
                if trial.state != TrialState.RUNNING:
                    continue
                claim = Claim.attempt(self._claim_file(trial.number))
                if claim is not None:
                    self._use_sampler(trial.number)
                    return self._ticket(Trial(self._study, trial._trial_id), claim)
            begun = [trial for trial in known if trial.state != TrialState.WAITING]
            if len(begun) >= trials:
                return None
            waiting = (t.number for t in known if t.state == TrialState.WAITING)
            number = next(waiting, len(known))
            claim = Claim.attempt(self._claim_file(number))
            if claim is None:
                raise RunError(
                    f"{self._claim_file(number)} is locked, though trial {number} is not begun; "
                    "wait for the process that holds it"
                )
            self._use_sampler(number)
            return self._ticket(self._study.ask(), claim)

    def finish(
        self,
        ticket: Ticket,
        outcome: Ending,
        *,
        value: float | None,
        seconds: float,
        images_seen: int,
        reason: str = "",
    ) -> None:
        """Write down how a trial ended."""
        facts = {
            "status": outcome,
            "seconds": seconds,
            "images_seen": images_seen,
            "reason": reason,
        }
        for key, fact in facts.items():
            ticket.trial.set_user_attr(key, fact)
        self._study.tell(ticket.number, value, state=STATES[outcome])

    def running(self) -> int:
        """How many trials are begun and not finished."""
        return len(self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def records(self) -> list[dict[str, Any]]:
        """Every trial that was begun, by number, for study.json; without its directory."""
        trials = self._study.get_trials(deepcopy=False)
        return [_record(trial) for trial in trials if trial.state != TrialState.WAITING]

    def _alone(self) -> Any:
        """No other process looks for a trial meanwhile, so none is begun beyond the number."""
        return held(self._directory / ".claims" / "board")

    def _claim_file(self, number: int) -> Path:
        return self._directory / ".claims" / f"{number:04d}"

    def _use_sampler(self, number: int) -> None:
        """A sampler that does not depend on how many trials this process has seen before."""
        self._study.sampler = optuna.samplers.TPESampler(
            seed=stream_seed(self._seed, f"search/{number}") % 2**32,
            n_startup_trials=RANDOM_TRIALS,
            constant_liar=True,
        )

    def _ticket(self, trial: Trial, claim: Claim) -> Ticket:
        """The trial with its settings; those it has already are given again."""
        return Ticket(
            trial, {key: _suggest(trial, key, d) for key, d in self._space.items()}, claim
        )


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _suggest(trial: Trial, key: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(key, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(key, distribution.low, distribution.high, log=distribution.log)


def _record(trial: FrozenTrial) -> dict[str, Any]:
    done = trial.state.is_finished()
    facts = trial.user_attrs if done else {}
    return {
        "number": trial.number,
        "status": facts.get("status", "running"),
        "settings": dict(trial.params),
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        "seconds": facts.get("seconds", 0.0),
        "images_seen": facts.get("images_seen", 0),
        "reason": facts.get("reason", ""),
    }


def _mend(journal: Path, lock: JournalFileOpenLock) -> None:
    """Cut off a last line that was written in part: the next one would be joined to it."""
    if not journal.exists():
        return
    lock.acquire()
    try:
        with journal.open("r+b") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
    finally:
        lock.release()
