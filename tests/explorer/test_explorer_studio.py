"""One thread, short work first, long work that can be stopped."""

import threading
from concurrent.futures import CancelledError

import pytest
import torch
from torch import nn

from diptych.errors import DataError
from diptych.explorer import studio as rooms
from diptych.explorer.studio import Busy, Stopped, Studio, beating


def ended(job: rooms.Job) -> rooms.Job:
    for _ in range(2_000):
        if job.over:
            return job
        threading.Event().wait(0.005)
    raise AssertionError(job)


def test_all_work_is_done_on_one_thread_in_order(studio) -> None:
    seen: list[int] = []
    futures = [
        studio.ask(lambda n=n: (seen.append(n), threading.get_ident())[1]) for n in range(20)
    ]
    assert len({future.result(10) for future in futures}) == 1
    assert seen == list(range(20))


def test_an_error_reaches_who_asked_and_nobody_else(studio) -> None:
    def fail() -> None:
        raise DataError("no")

    failed, fine = studio.ask(fail), studio.ask(lambda: 1)
    with pytest.raises(DataError, match="no"):
        failed.result(10)
    assert fine.result(10) == 1


def test_short_work_is_done_between_the_steps_of_long_work(studio) -> None:
    order: list[str] = []
    begun, asked = threading.Event(), threading.Event()

    def long(pulse) -> dict:
        begun.set()
        asked.wait(10)
        order.append("first step")
        pulse()
        order.append("second step")
        return {}

    job = studio.start(long, limit=60)
    begun.wait(10)
    short = studio.ask(lambda: order.append("short"))
    asked.set()
    short.result(10)
    assert ended(job).state == "done"
    assert order == ["first step", "short", "second step"]


@pytest.mark.parametrize(
    ("error", "state", "sentence"),
    [(DataError("bad data"), "failed", "bad data"), (Stopped("enough"), "stopped", "enough"),
     (ZeroDivisionError("oh"), "failed", "A bug in Diptych: ZeroDivisionError: oh")],
)  # fmt: skip
def test_how_long_work_ends_badly(error, state, sentence, studio) -> None:
    def work(_) -> dict:
        raise error

    job = ended(studio.start(work, limit=60))
    assert (job.state, job.error, job.result) == (state, sentence, None)
    assert studio.ask(lambda: 1).result(10) == 1


def test_too_much_is_refused(studio, monkeypatch) -> None:
    monkeypatch.setattr(rooms, "MOST_WAITING", 2)
    monkeypatch.setattr(rooms, "MOST_JOBS", 2)
    open_again = threading.Event()
    held = studio.start(lambda _: {"waited": open_again.wait(10)}, limit=60)
    while held.state == "waiting":
        pass
    jobs = [held, studio.start(lambda _: {}, limit=60)]
    with pytest.raises(Busy):
        studio.start(lambda _: {}, limit=60)
    waiting = [studio.ask(lambda: None) for _ in range(2)]
    with pytest.raises(Busy):
        studio.ask(lambda: None)
    open_again.set()
    assert [future.result(10) for future in waiting] == [None, None]
    assert [ended(job).state for job in jobs] == ["done", "done"]
    again = studio.start(lambda _: {}, limit=60)
    assert studio.job(again.id) is again
    assert studio.job(held.id) is None


def test_closing_stops_a_search_and_refuses_the_rest() -> None:
    studio = Studio()
    begun = threading.Event()

    def endless(pulse) -> dict:
        begun.set()
        while True:
            pulse()

    job = studio.start(endless, limit=3600)
    begun.wait(10)
    studio.close()
    assert job.state == "stopped"
    with pytest.raises(Busy):
        studio.ask(lambda: 1)


def test_who_has_left_is_struck_from_the_list(studio) -> None:
    open_again, done = threading.Event(), []
    first = studio.ask(lambda: open_again.wait(10))
    left = studio.ask(lambda: done.append(1))
    assert left.cancel()
    open_again.set()
    assert first.result(10)
    assert studio.ask(lambda: list(done)).result(10) == []
    with pytest.raises(CancelledError):
        left.result(1)


def test_a_model_beats_once_a_pass_and_not_within_the_pulse() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    x, beats = torch.zeros(1, 2), []

    def pulse() -> None:
        beats.append(1)
        model(x)  # what is let through meanwhile

    with beating(model, pulse):
        model(x)
        assert len(beats) == 2  # one for each player
    model(x)
    assert len(beats) == 2
    with pytest.raises(Stopped), beating(model, _stop):
        model(x)
    assert model(x).shape == (1, 2)


def _stop() -> None:
    raise Stopped("enough")
