from types import SimpleNamespace

import pytest

from diptych.errors import DiptychError
from diptych.training import budget as room
from diptych.training.budget import Budget, TrainingClock


class FakeTime:
    """A perf_counter that only moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(room, "time", SimpleNamespace(perf_counter=fake.perf_counter))
    return fake


def test_progress_runs_from_0_to_1_and_stays_there() -> None:
    images = Budget(images=200)
    assert [images.progress(seconds=9e9, images=n) for n in (0, 50, 200, 999)] == [0, 0.25, 1, 1]
    minutes = Budget(minutes=2)
    assert [minutes.progress(seconds=s, images=10**9) for s in (0, 30, 120, 500)] == [
        0,
        0.25,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("minutes", "images", "says"),
    [
        (None, None, "exactly one"),
        (1.0, 100, "exactly one"),
        (0.0, None, "minutes must be a positive number, not 0"),
        (-1.0, None, "positive"),
        (float("inf"), None, "positive"),
        (float("nan"), None, "positive"),
        (None, 0, "images must be at least 1, not 0"),
    ],
)
def test_what_is_no_budget(minutes: float | None, images: int | None, says: str) -> None:
    with pytest.raises(DiptychError, match=says):
        Budget(minutes, images)


def test_more_is_counted_from_what_was_spent() -> None:
    spent = {"seconds": 90.0, "images": 1000}
    assert Budget(minutes=1).extended(**spent, more=Budget(minutes=2)) == Budget(minutes=3.5)
    assert Budget(minutes=1).extended(**spent, more=Budget(images=50)) == Budget(images=1050)
    assert Budget(images=9).extended(**spent, more=Budget(minutes=1)) == Budget(minutes=2.5)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(images=12_800), "12,800 images"),
        (Budget(minutes=1), "1 minute"),
        (Budget(minutes=2.5), "2.5 minutes"),
        (Budget(minutes=0.5), "30 seconds"),
    ],
)
def test_budgets_in_words(budget: Budget, words: str) -> None:
    assert str(budget) == words


def test_the_clock_counts_only_while_it_runs(clock_time: FakeTime) -> None:
    clock = TrainingClock(seconds=5.0)
    clock_time.now += 10  # not started yet
    assert clock.seconds == 5.0
    clock.start()
    clock_time.now += 2
    with clock.paused():
        clock_time.now += 1000
        assert clock.seconds == 7.0
    clock_time.now += 3
    assert clock.seconds == 10.0
    clock.stop()
    clock_time.now += 50
    assert clock.seconds == 10.0
    clock.stop()  # harmless
    assert clock.seconds == 10.0


def test_a_pause_ends_even_if_the_work_in_it_fails(clock_time: FakeTime) -> None:
    clock = TrainingClock()
    clock.start()
    with pytest.raises(KeyError), clock.paused():
        raise KeyError
    clock_time.now += 4
    assert clock.seconds == 4.0
