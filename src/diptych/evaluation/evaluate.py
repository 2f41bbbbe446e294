"""`evaluate`: a run, its held-out data, and every instrument that applies."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diptych.data import Data, load_data
from diptych.errors import DataError
from diptych.evaluation.crew import Crew, call_workers
from diptych.evaluation.density.panel import Effort
from diptych.evaluation.ground import Ground, check_enough, lay_ground
from diptych.evaluation.measuring import EXPENSIVE, all_metrics
from diptych.evaluation.measuring_model import bounds_of, measure_model, posterior_of
from diptych.evaluation.results import Evaluation, Notebook, read_evaluation
from diptych.evaluation.selection import Selection
from diptych.evaluation.sets import Progress, silent
from diptych.training.run import Run, data_of, load
from diptych.training.rundir import RunDirectory, write_text
from diptych.workers import is_first_worker

__all__ = ["Evaluation", "check_enough", "evaluate"]


def evaluate(
    run: Run | str | Path,
    data: Data | str | Path | None = None,
    *,
    n: int | None = None,
    seed: int = 0,
    features: Sequence[str] = (),
    metrics: Sequence[str] = (),
    weights: str | Path | None = None,
    resize: str = "tf1",
    dtype: str = "fp32",
    effort: Effort = "quick",
    minutes: float | None = None,
    devices: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a run on the test split of its data, each figure beside its floor.

    The floor is the same figure for validation images in place of samples. Samples, reference and
    floor have the same N. The result is also written to the run's evaluation.json; figures that
    are there already, of this state of the run, and were not measured again, stay.

    Args:
        run: a run or its directory.
        data: the run's data, or what `load_data` takes; None loads it as the run did.
        n: how many samples and real items; None takes all that are held out, 5,000 at the most.
        seed: of samples and noise; training streams are not touched.
        features: extractors by name, see `make_extractors`; a classifier trained on the training
            split if none is named. Points are their own features.
        metrics: panels or metrics by name; all that apply if none is named.
        weights: the file with the weights of the first extractor that needs one.
        resize: how images are brought to Inception's size: "tf1", "torch" or "pil".
        dtype: what Inception computes in: "fp32", or "bf16", which is twice as fast, moves an
            FID by about 1 % and is not comparable with any in fp32.
        effort: how much work goes into likelihoods: "quick" is about a minute, "full" may be an
            hour.
        minutes: choose N so that describing the images takes about this long at the most.
        devices: processes that share sampling and the large extractors, each with its part of
            the threads. With more than one the program that calls this is run by each of them.
        progress: called with what is done, how far, and of how much.

    Raises:
        RunError, DataError: if the run or its data cannot be had, or there is too little of it.
        DiptychError: as many workers cannot be had.
    """
    notebook = Notebook(Selection.of(metrics, all_metrics()), progress or silent)
    if not isinstance(run, Run):
        run = load(run)
    if data is None:
        data = data_of(run)
    elif not isinstance(data, Data):
        data = load_data(data)
    ground = lay_ground(
        data,
        n=n,
        seed=seed,
        features=features,
        weights=weights,
        resize=resize,
        dtype=dtype,
        minutes=minutes,
        progress=notebook.progress,
    )
    call_workers(devices)
    crew = Crew(ground.extractors, run.model.eval(), shared=EXPENSIVE, devices=devices)
    if crew.many and not is_first_worker():
        return crew.help()
    with crew:
        _measure(notebook, run, data, replace(ground, extractors=crew.extractors), crew, effort)
        evaluation = notebook.close(_subject(run, seed))
        crew.done(evaluation)
        return _kept(run, evaluation)


def _measure(
    notebook: Notebook, run: Run, data: Data, ground: Ground, crew: Crew, effort: Effort
) -> None:
    """All panels; samples come from the crew."""
    model, seed = run.model, ground.seed
    sets = ground.sets(crew.sample(ground.n, seed=seed))
    wants = notebook.selection.wants
    ground.measure(
        notebook,
        sets,
        posterior=posterior_of(model, sets.real) if wants("collapse") else None,
        log_density=bounds_of(model, data, sets, seed) if wants("copies") else None,
    )
    extractor = ground.extractors[0]
    measure_model(notebook, run, data, sets, extractor, effort, base=ground.base, seed=seed)


def _subject(run: Run, seed: int) -> dict[str, Any]:
    """What tells this state of the run from any other."""
    return {
        "run": run.directory.name,
        "family": run.model.family,
        "images_seen": run.info["spent"]["images"],
        "steps": run.info["spent"]["steps"],
        "data": run.info["data"]["fingerprint"],
        "seed": seed,
    }


def _kept(run: Run, evaluation: Evaluation) -> Evaluation:
    """Write the evaluation, together with what was known of the same state of the run.

    An earlier one of another state, of another seed or of another version is moved aside.
    """
    if not is_first_worker():
        return evaluation
    file = RunDirectory(run.directory).evaluation_file
    whole = evaluation
    if file.exists():
        try:
            earlier = read_evaluation(file)
            if earlier.subject != evaluation.subject:
                raise DataError("of another state of the run")
            whole = evaluation.together_with(earlier)
        except DataError:
            taken = (file.with_stem(f"{file.stem}-{number}") for number in itertools.count(1))
            file.rename(next(path for path in taken if not path.exists()))
    write_text(file, json.dumps(whole.to_json(), indent=1) + "\n")
    return evaluation
