import json
import math

import numpy as np
import pytest
import torch
from golden_vector import F, R, T

from diptych.data.dataset import Mixture
from diptych.errors import DataError
from diptych.evaluation.collapse.panel import METRICS, collapse_panel
from diptych.evaluation.extractors.features import PointFeatures
from diptych.evaluation.sets import Sets

ANGLES = np.arange(8) * math.pi / 4
TRUTH = Mixture(2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1), 0.02)
BASE = {"n": 1000, "reference": "golden"}


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def ring(n, seed, modes=8, sigma=0.02):
    generator = stream(seed)
    centers = torch.from_numpy(TRUTH.centers)[torch.randint(modes, (n,), generator=generator)]
    return centers + sigma * torch.randn(n, 2, generator=generator, dtype=torch.float64)


def logits(labels, classes=4, doubt=50.0):
    return doubt * torch.nn.functional.one_hot(torch.as_tensor(labels), classes)


def panel(sets, *, described=None, seed=0, **given):
    figures = collapse_panel(
        sets, described=described, extractor=PointFeatures(), base=BASE, seed=seed, **given
    )
    return {figure.key: figure for figure in figures}


def of_points(sets, **given):
    return panel(sets, described=sets, **given)


def test_points_of_known_truth():
    figures = of_points(
        Sets(ring(800, 1, modes=4), ring(800, 2), ring(800, 3), ring(4000, 4)), truth=TRUTH
    )
    assert list(figures) == [
        "modes-found",
        "high-quality-share",
        "mode-kl",
        "ndb-coordinates",
        "ndb-holm-coordinates",
        "bin-jsd-coordinates",
        "birthday-support-coordinates",
    ]
    modes, share, kl = (figures[key] for key in list(figures)[:3])
    assert [figure.name for figure in (modes, share, kl)] == [
        "modes found",
        "high-quality share",
        "mode KL",
    ]
    assert (modes.value, modes.floor, modes.ceiling, modes.note) == (4, 8, 8, "Of 8.")
    assert share.low <= share.value <= share.high
    assert "98.9%" in share.note
    assert kl.value == pytest.approx(math.log(2), abs=0.02)
    assert kl.floor < 0.02
    assert figures["ndb-holm-coordinates"].value >= 8
    assert figures["ndb-holm-coordinates"].floor <= 1
    assert figures["bin-jsd-coordinates"].low > figures["bin-jsd-coordinates"].floor


def test_the_floor_set_as_samples_scores_the_floor():
    unseen = ring(600, 3)
    real = Sets(unseen, ring(600, 2), unseen)
    names = [0, 1, 2, 3] * 150
    figures = of_points(
        real, truth=TRUTH, logits=Sets(logits(names), logits(names), logits(names))
    )
    for figure in figures.values():
        assert figure.value == figure.floor


def test_golden_vectors_with_and_without_training_items():
    bare = of_points(Sets(F, R, T))
    assert "Half of the real set shaped the bins" in bare["ndb-coordinates"].note
    assert bare["ndb-coordinates"].n_real == 500
    # Training items far off on the diagonal: their bins cut along it, and F is shifted along it.
    fitted = of_points(Sets(F, R, T, train=torch.cat([R + 50, R - 50])))
    assert "Half of the real set" not in fitted["ndb-coordinates"].note
    assert fitted["bin-jsd-coordinates"].value > 2 * bare["bin-jsd-coordinates"].value
    other = of_points(Sets(F, R, T, train=torch.cat([R + 50, R - 50.001])))
    assert len({which["ndb-coordinates"].protocol for which in (bare, fitted, other)}) == 3
    support = bare["birthday-support-coordinates"]
    assert not support.trusted  # F is wider than R: no two of it come as close
    assert support.value == pytest.approx(499_500 / math.log(20))


def test_a_generator_of_few_things_is_caught_by_birthdays_and_bins():
    few = T[torch.randint(60, (1000,), generator=stream())]
    sets = Sets(few, R, T)
    support = panel(sets, described=sets)["birthday-support-coordinates"]
    assert support.low < 60 < support.high
    assert support.high < support.floor
    assert support.trusted


def test_classes_and_their_names():
    real, fake = [0, 1, 2, 3] * 200, [0, 1] * 400
    sets = Sets(logits(fake), logits(real), logits(real), real_labels=torch.tensor(real))
    figures = panel(sets, logits=sets, class_names=("cat", "dog", "emu", "fox"))
    found, kl = figures["classes-found"], figures["class-kl"]
    assert (found.value, found.floor) == (2, 4)
    assert "Missing: emu, fox." in found.note
    assert "tells 100% of real items right" in kl.note
    assert (kl.value, kl.floor) == (pytest.approx(math.log(2)), 0)
    assert kl.low < kl.value < kl.high
    assert figures["unsure-share"].value == 0


def test_samples_like_no_class_are_counted_as_unsure_only():
    real = logits([0, 1, 2, 3] * 50)
    figures = panel(Sets(0 * real, real), logits=Sets(0 * real, real))
    assert list(figures) == ["unsure-share"]
    assert figures["unsure-share"].value == 1
    some = torch.cat([0 * real, real[:8]])
    doubtful = panel(Sets(some, real), logits=Sets(some, real))
    assert not doubtful["class-kl"].trusted
    assert "Only 8 samples look like any class." in doubtful["classes-found"].note


def test_a_classifier_that_is_mostly_wrong_is_not_trusted():
    real = logits([0, 1, 2, 3] * 50)
    sets = Sets(real, real, real_labels=torch.tensor([1, 2, 3, 0] * 50))
    assert not panel(sets, logits=sets)["class-kl"].trusted


def test_stacked_modes_are_counted_by_the_published_rule():
    digits = torch.randint(3, (500, 3), generator=stream())
    few = digits * torch.tensor([1, 1, 0])
    sets = Sets(logits(few, 3), logits(digits, 3), logits(digits, 3))
    figures = panel(sets, logits=sets)
    assert list(figures) == ["modes-found", "mode-kl"]
    assert (figures["modes-found"].value, figures["modes-found"].floor) == (9, 27)
    assert figures["mode-kl"].value == pytest.approx(math.log(3), abs=0.03)
    assert figures["mode-kl"].trusted
    short = sets.map(lambda of: of[:60])
    assert not panel(short, logits=short)["modes-found"].trusted


def test_a_posterior_of_which_a_part_collapsed():
    r = torch.tensor([0.9, 0.5, 0.0, 0.0], dtype=torch.float64)
    means = r * torch.randn(900, 4, generator=stream(), dtype=torch.float64)
    posterior = (means, (1 - r**2).log().expand(900, 4))
    figures = panel(Sets(R, R), posterior=posterior)
    assert list(figures) == [
        "active-units",
        "collapsed-dimensions",
        "posterior-kl",
        "mutual-information",
        "aggregate-kl",
        "aggregate-sw2",
    ]
    assert (figures["active-units"].value, figures["active-units"].ceiling) == (2, 4)
    assert figures["collapsed-dimensions"].value == 2
    exact = -0.5 * float((1 - r**2).log().sum())
    assert 4 * figures["posterior-kl"].value == pytest.approx(exact, rel=0.1)
    assert figures["mutual-information"].value == pytest.approx(exact, rel=0.1)
    # q(z) is the prior: both figures are their floors, but for the draws.
    assert figures["aggregate-kl"].value == pytest.approx(figures["aggregate-kl"].floor, abs=0.02)
    assert figures["aggregate-sw2"].value < 2 * figures["aggregate-sw2"].floor
    assert all(figure.n_fake is None and figure.n_real == 900 for figure in figures.values())


def test_a_posterior_collapsed_altogether_is_not_nearer_than_its_floor_by_shared_draws():
    figures = panel(Sets(R, R), posterior=(torch.zeros(500, 3), torch.zeros(500, 3)))
    assert figures["aggregate-sw2"].value > 0.3 * figures["aggregate-sw2"].floor
    assert figures["active-units"].value == 0


def test_more_dimensions_than_codes_leave_the_covariance_out():
    codes = torch.randn(10, 20, generator=stream())
    figures = panel(Sets(R, R), posterior=(codes, torch.zeros(10, 20)))
    assert "aggregate-kl" not in figures
    assert "aggregate-sw2" in figures
    few = torch.randn(30, 20, generator=stream())
    assert not panel(Sets(R, R), posterior=(few, torch.zeros(30, 20)))["aggregate-kl"].trusted


@pytest.mark.parametrize("n", [1, 5, 30])
def test_few_points_leave_figures_out(n):
    sets = Sets(ring(n, 1), ring(n, 2), ring(n, 3))
    figures = of_points(sets, truth=TRUTH)
    assert "ndb-coordinates" not in figures
    assert ("birthday-support-coordinates" in figures) == (n == 30)
    assert not figures["mode-kl"].trusted


def test_constant_sets_are_measured_or_left_out():
    constant = torch.ones(200, 3)
    assert "ndb-coordinates" not in of_points(Sets(R[:200, :3], constant))
    same = of_points(Sets(constant, constant, constant))
    assert same["birthday-support-coordinates"].value == 1
    assert "exact duplicates" in same["birthday-support-coordinates"].note
    collapsed = of_points(Sets(constant.double(), R[:200, :3], T[:200, :3]))
    assert collapsed["birthday-support-coordinates"].value == 1
    assert collapsed["bin-jsd-coordinates"].value > 0.3


def test_bins_shaped_without_training_items_differ_as_often_as_chance_makes_them():
    def equal(seed: int) -> float:
        items = torch.randn(3, 1000, 64, generator=stream(seed), dtype=torch.float64)
        return of_points(Sets(items[0], items[1], items[2]))["ndb-coordinates"].value

    # 25 bins at 5 %: 1.25 on average, a standard error of 0.35 over ten; counting the items that
    # shaped the bins made it three times as many.
    assert sum(equal(seed) for seed in range(10)) / 10 < 2.3


def test_few_bins_are_not_trusted():
    figures = of_points(Sets(F[:100], R[:100], T[:100]))
    assert not figures["bin-jsd-coordinates"].trusted
    assert "2 bins are few" in figures["bin-jsd-coordinates"].note


def test_values_that_are_not_finite_are_one_sentence():
    broken = torch.full((100, 2), torch.nan)
    with pytest.raises(DataError, match="NaN"):
        of_points(Sets(broken, ring(100, 1)), truth=TRUTH)
    with pytest.raises(DataError, match="NaN"):
        of_points(Sets(broken, ring(100, 1)))


def test_nothing_given_nothing_measured():
    assert panel(Sets(R, R)) == {}


def test_seeds_repeat_and_the_global_stream_stays():
    sets = Sets(F, R, T)
    posterior = (F[:, :4], T[:, :4])
    before = torch.get_rng_state()
    first = panel(sets, described=sets, posterior=posterior)
    assert torch.equal(torch.get_rng_state(), before)
    assert panel(sets, described=sets, posterior=posterior) == first
    other = panel(sets, described=sets, posterior=posterior, seed=1)
    assert other["bin-jsd-coordinates"].protocol != first["bin-jsd-coordinates"].protocol
    alone = panel(sets, posterior=posterior)
    assert alone["aggregate-sw2"] == first["aggregate-sw2"]


def test_figures_are_json_and_belong_to_their_metric():
    sets = Sets(ring(400, 1), ring(400, 2), ring(400, 3))
    figures = of_points(sets, truth=TRUTH, posterior=(R[:, :3], T[:, :3]))
    told = []
    for figure in figures.values():
        json.dumps(figure.to_json(), allow_nan=False)
        assert figure.panel == "collapse"
        assert figure.key.removesuffix("-coordinates") in METRICS
        assert figure.protocol.parts["reference"] == "golden"
        told.append(figure.protocol)
    assert len(set(told)) == len(told)


def test_progress_reaches_its_end():
    seen = []
    sets = Sets(F[:60], R[:60])
    panel(sets, described=sets, progress=lambda *step: seen.append(step[1:]))
    assert seen[-1] == (4, 4)
    assert seen == sorted(seen)
