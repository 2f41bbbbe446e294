"""Evidence in pictures: nearest training images, classes, and what no sample is near to.

The sets, the features and the instruments are those of the evaluation, so a number said here is
one of its figures; what is added are the rows behind it.
"""

from pathlib import Path
from typing import Any

from diptych.data import Data, cache_root
from diptych.evaluation.extractors.choose import describe_cached
from diptych.evaluation.extractors.classifier import ClassifierFeatures
from diptych.evaluation.ground import lay_ground
from diptych.evaluation.sets import Progress, Sets, silent
from diptych.study.evidence.classes import class_evidence
from diptych.study.evidence.copies import copies_evidence
from diptych.study.evidence.missing import Neighbourhoods, missing_evidence
from diptych.training.run import Run

__all__ = ["write_pictures"]


def write_pictures(
    run: Run,
    data: Data,
    folder: Path,
    *,
    seed: int = 0,
    n: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """The entries `copies`, `classes` and `missing` of evidence.json; files go into `folder`.

    Args:
        run: the member.
        data: what it was trained on.
        folder: of the page, `page` in the member's directory.
        seed: of the samples; the evaluation's, so that these are the samples that were measured.
        n: how many samples and real images, as `evaluate` takes it.
        progress: told how far the work is.

    Returns:
        All three None for points; `classes` None without labels.

    Raises:
        DataError: samples or images that cannot be measured.
    """
    if data.kind != "images":
        return {"copies": None, "classes": None, "missing": None}
    steps = ("drawing samples", "nearest training images", "missing images", "pictures")

    def tell(step: int) -> None:
        progress(f"evidence: {steps[min(step, len(steps) - 1)]}", step, len(steps))

    tell(0)
    ground = lay_ground(data, n=n, seed=seed, progress=progress)
    (extractor,) = ground.extractors
    assert isinstance(extractor, ClassifierFeatures)
    sets = ground.sets(run.model.eval().sample(ground.n, seed=seed))
    kept = cache_root() / "features"
    described = Sets(
        fake=extractor.features(sets.fake),
        real=describe_cached(extractor, sets.real, kept),
        floor=None if sets.floor is None else describe_cached(extractor, sets.floor, kept),
        train=None if sets.train is None else describe_cached(extractor, sets.train, kept),
        real_labels=sets.real_labels,
    )
    tell(1)
    copies = copies_evidence(sets, described, folder)
    tell(2)
    around = Neighbourhoods.of(described.real, described.fake)
    missing = missing_evidence(sets, around, folder)
    tell(3)
    classes = None
    if data.num_classes > 1:
        logits = Sets(fake=extractor.logits(sets.fake), real=extractor.logits(sets.real))
        classes = class_evidence(logits, described.real_labels, around.covered, data.class_names)
    tell(4)
    return {"copies": copies, "classes": classes, "missing": missing}
