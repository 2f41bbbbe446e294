"""Two workers find what one finds; each process takes seconds to start, so two jobs do it all."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diptych import load_data, train
from diptych.errors import DataError, DiptychError
from diptych.evaluation.crew import Crew, call_workers
from diptych.evaluation.evaluate import evaluate
from diptych.evaluation.extractors.pixels import PixelFeatures
from diptych.evaluation.results import Evaluation

METRICS = ["fidelity", "copies", "reconstruction"]
OPTIONS = ("--json", "--metrics", "blur", "--features", "pixels", "--devices", "2")


@pytest.fixture(scope="module")
def run(tiny_recipe, disc_data, tmp_path_factory) -> Path:
    recipe = {**tiny_recipe("vae"), "name": "vae"}
    return train(
        recipe, disc_data, images=160, out=tmp_path_factory.mktemp("crew") / "vae"
    ).directory


def agree(one: Evaluation, two: Evaluation) -> None:
    """The same figures under the same protocols, within rounding."""
    assert one.keys() == two.keys()
    assert one.skipped == two.skipped
    keys = one.keys()
    for key in keys:
        mine, other = one[key], two[key]
        assert mine.protocol == other.protocol
        assert other.value == pytest.approx(mine.value, rel=1e-4, abs=1e-6), key
        assert other.floor == mine.floor, key  # real data pass the same path


def copied(run: Path, place: Path) -> Path:
    shutil.copytree(run, place / "run")
    return place / "run"


def test_two_workers_measure_what_one_measures(run, disc_file, environment, tmp_path):
    alone = evaluate(run, load_data(disc_file), features=["pixels"], metrics=METRICS)
    job = {"run": str(copied(run, tmp_path)), "data": str(disc_file), "metrics": METRICS}
    (tmp_path / "job.json").write_text(json.dumps(job))
    script = Path(__file__).parent / "job_of_two_evaluators.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    first, second = (
        json.loads((tmp_path / f"{who}.json").read_text()) for who in ("first", "second")
    )
    assert first == second
    agree(alone, Evaluation.from_json(first))
    written = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert written["metrics"].keys() == first["metrics"].keys()


def test_the_command_line_calls_a_second_worker(run, disc_file, environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "diptych", "evaluate", copied(run, tmp_path), *OPTIONS],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = Evaluation.from_json(json.loads(done.stdout))  # one object: one worker speaks
    agree(evaluate(run, load_data(disc_file), features=["pixels"], metrics=["blur"]), found)


def test_one_worker_is_no_crew(disc_data):
    call_workers(1)
    extractor = PixelFeatures(disc_data.take("test"))
    crew = Crew([extractor], None, shared=frozenset({"pixels"}), devices=1)
    assert not crew.many
    assert crew.extractors == (extractor,)
    with pytest.raises(DataError, match="ours"), crew:
        raise DataError("ours")


def test_a_worker_that_is_gone_is_named():
    crew = Crew([], None, shared=frozenset(), devices=1)
    with pytest.raises(DiptychError, match="ended before its time"), crew._talking():
        raise RuntimeError("Connection closed by peer")


def test_samples_of_one_worker_are_those_of_the_model(run, disc_data):
    from diptych.training.run import load

    model = load(run).model.eval()
    crew = Crew([], model, shared=frozenset(), devices=1)
    assert torch.equal(crew.sample(5, seed=3), model.sample(5, seed=3))
