"""Every panel measures colour as it measures grey: nothing hangs on one channel."""

from functools import partial

import numpy as np
import pytest

from diptych import evaluate, load_data, train
from diptych.data import Data
from diptych.evaluation.extractors import choose
from diptych.evaluation.extractors.classifier import train_classifier


@pytest.fixture(autouse=True)
def quick_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "train_classifier", partial(train_classifier, steps=15))


def of_channels(grey: Data, channels: int) -> Data:
    """The discs in several colours; with four channels the last is transparency."""
    images = np.asarray(grey.array)
    tints = [np.roll(images, channel, axis=2) for channel in range(channels)]
    return load_data(np.concatenate(tints, axis=-1), labels=grey.labels)


@pytest.mark.parametrize("kind", ["vae", "gan", "vae-gan"])
def test_colour_has_the_figures_that_grey_has(kind, tiny_recipe, disc_data, tmp_path) -> None:
    keys = {}
    for channels in (1, 4):
        data = of_channels(disc_data, channels)
        run = train(tiny_recipe(kind), data, images=320, out=tmp_path / f"{channels}")
        found = evaluate(run, data)
        keys[channels] = set(found.keys())
        assert len({figure.panel for figure in found.figures}) == 7, found.skipped
    assert keys[1] == keys[4]
