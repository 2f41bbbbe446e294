"""Run by test_crew.py as a program of its own: it starts a second worker and evaluates with it.

The one argument is a directory with `job.json`; what was found is written beside it.
"""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from diptych.data import load_data
from diptych.errors import DataError, DiptychError
from diptych.evaluation import crew as room
from diptych.evaluation.crew import Crew, call_workers
from diptych.evaluation.extractors.inception import InceptionFeatures
from diptych.evaluation.extractors.inception_network import Inception
from diptych.evaluation.extractors.weights import Weights
from diptych.training.run import load
from diptych.workers import is_first_worker, worker_count

SHARED = frozenset({"inception", "pixels"})


def random_inception() -> InceptionFeatures:
    network = Inception()
    network.draw(torch.Generator().manual_seed(0))
    tensors = {}
    for name, layer in network.convolutions.items():
        tensors[f"{name}.weight"] = layer.kernel.detach()
        tensors[f"{name}.beta"] = tensors[f"{name}.mean"] = torch.zeros_like(layer.bias)
        tensors[f"{name}.var"] = torch.ones_like(layer.bias)
    weights = Weights("inception", "f" * 64, tensors, Path("random.safetensors"))
    return InceptionFeatures(weights, layer=64)


def check_shares(model) -> None:
    """Features and samples of both workers together are those of one."""
    extractor = random_inception()
    images = torch.randint(0, 256, (7, 9, 9, 3), dtype=torch.uint8)  # an odd number
    passed, alone = [], extractor.features
    extractor.features = lambda items, progress: (  # type: ignore[method-assign]
        passed.append(len(items)) or alone(items, progress=progress)
    )
    crew = Crew([extractor], model, shared=SHARED, devices=2)
    assert crew.many
    if not is_first_worker():
        with pytest.raises(DataError, match="without a result"):
            crew.help()
        assert passed == [3, 3, 3, 3]
        return
    with crew:
        assert worker_count() == 1  # whatever a panel does, it does alone
        shared = crew.extractors[0]
        assert (shared.name, shared.protocol) == (extractor.name, extractor.protocol)
        steps = []
        found = shared.features(images.numpy(), progress=lambda *step: steps.append(step))
        assert passed == [4]
        assert steps[-1][1:] == (7, 7)
        torch.testing.assert_close(found, alone(images), rtol=1e-5, atol=1e-6)
        drawn = crew.sample(13, seed=5)
        torch.testing.assert_close(drawn, model.sample(13, seed=5), rtol=0, atol=1e-6)
        with pytest.raises(DataError, match="1, 3 or 4 channels"):
            shared.features(torch.zeros(7, 9, 9, 2, dtype=torch.uint8))
        # One half cannot be described: the other worker finds out, and helps on.
        half = torch.zeros(7, 3, 9, 9)
        half[1] = torch.nan
        with pytest.raises(DataError, match="NaN"):
            shared.features(half)
        torch.testing.assert_close(shared.features(images), found)


def check_failures() -> None:
    """What stops the first worker does not leave the other waiting."""
    crew = Crew([], None, shared=SHARED, devices=2)
    if is_first_worker():
        with pytest.raises(ZeroDivisionError), crew:
            raise ZeroDivisionError
    else:
        with pytest.raises(DataError, match="without a result"):
            crew.help()
    assert worker_count() == 2
    with pytest.raises(DiptychError, match="3 workers and there are 2"):
        call_workers(3)


def main(place: Path) -> None:
    job = json.loads((place / "job.json").read_text())
    room.FEWEST = 1
    run = load(job["run"])
    call_workers(2)
    check_shares(run.model.eval())
    check_failures()
    program = importlib.import_module("diptych.evaluation.evaluate")
    program.EXPENSIVE = SHARED
    data = load_data(job["data"])
    found = program.evaluate(
        run, data, features=["pixels"], metrics=job["metrics"], devices=2
    ).to_json()
    mine = "first" if is_first_worker() else "second"
    (place / f"{mine}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
