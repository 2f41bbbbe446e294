import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.copies.panel import METRICS, copies_panel
from diptych.evaluation.copies.planted import near_copies, noisy_bytes, planted_rows
from diptych.evaluation.extractors.features import PointFeatures
from diptych.evaluation.sets import Sets
from diptych.evaluation.streams import stream

LESS = {"membership-density-auc", "membership-density-tpr"}


class Pixels(PointFeatures):
    name = "pixels"

    def features(self, images, /, **_):
        return images.flatten(1).float() / 255


def panel(sets, extractor=None, **options):
    extractor = extractor or PointFeatures()
    figures = copies_panel(
        sets,
        described=sets.map(extractor.features),
        extractor=extractor,
        base={"reference": "test", "n": len(sets.real)},
        **options,
    )
    return {figure.key.removesuffix(f"-{extractor.name}"): figure for figure in figures}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(count, seed):
    small = torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(small, (20, 20), mode="bicubic")
    return large.clamp(0, 1).mul(255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


POINTS = Sets(F[:500], T[:500], T[500:], R[:500])
IMAGES = Sets(images(200, 1), images(200, 2), images(200, 3), images(300, 4))


@pytest.fixture(scope="module")
def of_points():
    return panel(POINTS)


@pytest.fixture(scope="module")
def of_images():
    return panel(IMAGES, Pixels())


def test_every_figure_of_points(of_points):
    assert set(of_points) == METRICS.keys() - LESS - {"perceptual-duplicates"}
    for figure in of_points.values():
        assert figure.panel == "copies"
        assert figure.low <= figure.value <= figure.high
        assert figure.floor is not None
        assert figure.interval
        assert "Ceiling: 500 planted" in figure.note
        assert (figure.n_real, figure.n_fake) == (500, 500)


def test_planted_copies_are_the_ceiling(of_points, of_images):
    for figures in (of_points, of_images):
        ceiling = {key: figure.ceiling for key, figure in figures.items()}
        assert ceiling["copying-z"] < -10
        assert ceiling["copying-ct"] < -5
        assert ceiling["authenticity"] == 0
        assert ceiling["nearest-ratio"] < 0.05
        assert ceiling["nearest-ratio-share"] == 1
        assert ceiling["exact-duplicates"] == 1
        assert ceiling["likelihood-gap"] > 30
        assert ceiling["membership-auc"] > 0.8
        assert ceiling["membership-tpr"] > 0.6
    assert of_images["perceptual-duplicates"].ceiling == 1


def test_unseen_items_are_the_floor(of_points, of_images):
    for figures in (of_points, of_images):
        floor = {key: figure.floor for key, figure in figures.items()}
        assert abs(floor["copying-z"]) < 3
        assert floor["authenticity"] < 90
        assert floor["nearest-ratio"] == pytest.approx(1, abs=0.1)
        assert floor["nearest-ratio-share"] < 0.04
        assert floor["membership-auc"] == pytest.approx(0.5, abs=0.07)
        assert floor["exact-duplicates"] == 0
    assert of_images["perceptual-duplicates"].floor < 0.04


def test_images_have_perceptual_copies_too(of_images):
    assert set(of_images) == METRICS.keys() - LESS
    figure = of_images["perceptual-duplicates"]
    assert (figure.value, figure.trusted) == (0, True)
    assert figure.key == "perceptual-duplicates"  # no extractor took part
    assert "features" not in figure.protocol.parts
    assert of_images["authenticity"].protocol.parts["features"]["extractor"] == "coordinates"


def test_a_copycat_scores_what_the_ceiling_says():
    some = torch.randperm(300, generator=torch.Generator().manual_seed(9))[:200]
    copycat = Sets(IMAGES.train[some], IMAGES.real, IMAGES.floor, IMAGES.train)
    for figure in panel(copycat, Pixels()).values():
        if figure.key.startswith(("membership", "likelihood")):  # another third is not copied
            assert figure.value == pytest.approx(figure.ceiling, rel=0.25)
        else:
            assert figure.value == pytest.approx(figure.ceiling, abs=0.1)


def test_without_a_training_set_there_is_nothing_to_copy():
    assert panel(Sets(F, T)) == {}


def test_without_unseen_items_authpct_is_not_trusted():
    figures = panel(Sets(F[:300], T[:300], train=R[:300]))
    assert all(figure.floor is None for figure in figures.values())
    assert not figures["authenticity"].trusted
    assert "baseline" in figures["authenticity"].note
    assert figures["copying-z"].trusted


def test_instruments_that_miss_planted_copies_say_so():
    # A hundred samples cannot give away much of 2,000 training items.
    sets = Sets(*drawn(3, 100, 3), drawn(2000, 3, seed=1))
    figures = panel(sets)
    assert not figures["membership-auc"].trusted
    assert "Blind here" in figures["membership-auc"].note
    assert figures["authenticity"].trusted


def test_one_seed_one_answer(of_points):
    again = panel(POINTS)
    assert {key: figure.to_json() for key, figure in again.items()} == {
        key: figure.to_json() for key, figure in of_points.items()
    }


def test_nothing_touches_the_common_stream():
    before = torch.get_rng_state()
    panel(Sets(*drawn(3, 60, 2), drawn(60, 2, seed=1)))
    assert torch.equal(before, torch.get_rng_state())


def test_the_number_of_planted_copies_is_no_part_of_the_protocol(of_points):
    fewer = panel(POINTS, planted=50)
    assert fewer["copying-z"].protocol == of_points["copying-z"].protocol
    assert fewer["copying-z"].value == of_points["copying-z"].value
    assert abs(fewer["copying-z"].ceiling) < abs(of_points["copying-z"].ceiling)


def test_another_training_set_is_another_protocol(of_points):
    other = panel(Sets(POINTS.fake, POINTS.real, POINTS.floor, R[500:]))
    assert other["authenticity"].protocol != of_points["authenticity"].protocol


def test_log_densities_give_a_second_test():
    figures = panel(POINTS, log_density=(torch.arange(900.0) + 600, torch.arange(600.0)))
    assert figures["membership-density-auc"].value == 1
    assert figures["membership-density-tpr"].value == 1
    assert figures["membership-density-auc"].n_fake is None


def test_progress_reaches_its_end():
    calls = []
    panel(POINTS, progress=lambda *call: calls.append(call))
    assert calls[0][1:] == (0, 4)
    assert calls[-1][1:] == (4, 4)


@pytest.mark.parametrize("n", [1, 2, 5, 30])
@pytest.mark.parametrize("with_floor", [True, False])
def test_hardly_any_items_are_no_traceback(n, with_floor):
    fake, real, floor = drawn(3, n, 2)
    figures = panel(Sets(fake, real, floor if with_floor else None, drawn(n, 2, seed=1)))
    assert "copying-z" in figures
    assert "copying-ct" not in figures
    if n < 20:
        assert not figures["copying-z"].trusted
        assert not figures["membership-auc"].trusted


def test_identical_items_are_no_traceback():
    same = torch.ones(60, 3)
    figures = panel(Sets(same, same, same, same))
    assert "likelihood-gap" not in figures
    assert figures["exact-duplicates"].value == 1
    assert figures["copying-z"].value == 0
    assert figures["membership-auc"].value == 0.5


def test_flat_images_are_no_traceback():
    flat = torch.full((30, 8, 8, 1), 7, dtype=torch.uint8)
    assert "perceptual-duplicates" not in panel(Sets(flat, flat, flat, flat), Pixels())
    figures = panel(Sets(flat, *(images(30, seed)[:, :8, :8] for seed in (1, 2, 3))), Pixels())
    assert figures["perceptual-duplicates"].value == 0
    assert not figures["perceptual-duplicates"].trusted
    assert "30 images are too flat" in figures["perceptual-duplicates"].note


def test_simple_images_are_told():
    # Bright disks of two sizes: unseen images have the hashes of training images.
    grid = torch.arange(16.0) - 7.5
    disks = [(grid[:, None] ** 2 + grid**2 < r**2).to(torch.uint8) * 255 for r in (3, 5)]
    simple = torch.stack(disks * 60)[..., None]
    figure = panel(Sets(simple, simple, simple, simple), Pixels())["perceptual-duplicates"]
    assert not figure.trusted
    assert "too simple" in figure.note


def test_smooth_images_get_the_coarse_hash():
    # Above the eighth frequency there is nothing but noise here, and on nearly every bit.
    def smooth(count, seed):
        small = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
        large = torch.nn.functional.interpolate(small, (32, 32), mode="bicubic")
        return large.clamp(0, 1).mul(200).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    sets = Sets(*(smooth(150, seed) for seed in range(4)))
    figure = panel(sets, Pixels())["perceptual-duplicates"]
    assert figure.protocol.parts["settings"]["frequencies"] == 8
    assert figure.ceiling > 0.95
    assert figure.value < 0.02
    assert figure.floor < 0.02


def test_features_that_are_not_finite_are_one_sentence():
    with pytest.raises(DataError, match="NaN or infinite"):
        copies_panel(
            POINTS,
            described=POINTS.map(lambda x: x / 0),
            extractor=PointFeatures(),
            base={},
        )


def test_features_of_a_part_are_refused():
    with pytest.raises(DataError, match="400 training items were described of 500"):
        copies_panel(
            POINTS,
            described=Sets(POINTS.fake, POINTS.real, POINTS.floor, R[:400]),
            extractor=PointFeatures(),
            base={},
        )


def test_planted_rows_repeat_only_when_they_must():
    generator = torch.Generator().manual_seed(0)
    assert planted_rows(50, 50, generator=generator).unique().numel() == 50
    assert planted_rows(50, 120, generator=generator).bincount().tolist().count(3) == 20
    with pytest.raises(DataError, match="0 copies"):
        planted_rows(50, 0, generator=generator)


def test_near_copies_are_near_on_the_scale_of_neighbours():
    for scale in (1e-3, 1e3):
        train = R * scale
        copies = near_copies(train, torch.arange(100), generator=torch.Generator())
        noise = (copies - train[:100]).norm(dim=1)
        own = torch.cdist(train[:100], train).topk(2, largest=False).values[:, 1]
        assert float((noise / own).median()) == pytest.approx(0.01, rel=0.1)


def test_noisy_bytes_move_by_one():
    edges = torch.tensor([0, 1, 254, 255], dtype=torch.uint8).repeat(500)
    noisy = noisy_bytes(edges, generator=torch.Generator().manual_seed(0))
    change = noisy.int() - edges.int()
    assert change.unique().tolist() == [-1, 0, 1]
    assert noisy.dtype == torch.uint8


def test_streams_of_one_seed_are_independent():
    planted = planted_rows(2000, 100, generator=stream(0, "copies/planted"))
    members = torch.randperm(2000, generator=stream(0, "copies/membership"))[:100]
    assert len(set(planted.tolist()) & set(members.tolist())) < 25
    assert torch.equal(planted, planted_rows(2000, 100, generator=stream(0, "copies/planted")))
