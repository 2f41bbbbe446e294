import math

import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.lpips import Lpips
from diptych.evaluation.reconstruction.panel import BEST_PSNR, METRICS, reconstruction_panel


class Pixels:
    """Every pixel a feature."""

    name = "pixels"
    fid_name = ""
    caveat = ""
    protocol = {"extractor": "pixels"}  # noqa: RUF012

    def features(self, items, /, *, progress=None):
        return items.flatten(1).float()


def pictures(n=60, channels=1, height=28, width=28, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 7, 7, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")


def disturbed(images, sigma=0.1, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return images + sigma * torch.randn(images.shape, generator=generator)


def panel(images, again, by="encoder", **options):
    figures = reconstruction_panel(images, again, by=by, base={"n": len(images)}, **options)
    return {figure.name: figure for figure in figures}


IMAGES = pictures()


@pytest.fixture(scope="module")
def lpips():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Lpips()


def test_every_metric_applies_to_ordinary_images(lpips):
    figures = panel(
        IMAGES,
        disturbed(IMAGES),
        by="search",
        extractor=Pixels(),
        lpips=lpips,
        errors_of_restarts=torch.rand(3, 60) + 1,
    )
    assert list(figures) == [
        "reconstruction error",
        "PSNR",
        "SSIM",
        "MS-SSIM",
        "LPIPS",
        "reconstruction FD (pixels)",
        "worst over best restart",
    ]
    assert {f.panel for f in figures.values()} == {"reconstruction"}
    assert len(METRICS) == len({f.protocol.fingerprint for f in figures.values()}) == 7


def test_the_error_is_the_mean_square_and_is_named_by_its_kind():
    again = disturbed(IMAGES)
    figure = panel(IMAGES, again)["reconstruction error"]
    assert figure.value == pytest.approx(float((again - IMAGES).square().mean()), rel=1e-5)
    assert figure.low < figure.value < figure.high
    assert figure.note == "By the encoder's mean."
    searched = panel(IMAGES, again, by="search")["reconstruction error"]
    assert "a better one may exist" in searched.note
    assert searched.protocol != figure.protocol


def test_a_perfect_model():
    figures = panel(IMAGES, IMAGES.clone(), extractor=Pixels())
    assert figures["reconstruction error"].value == 0
    assert figures["PSNR"].value == pytest.approx(BEST_PSNR)
    assert figures["SSIM"].value == pytest.approx(1)
    assert figures["MS-SSIM"].value == pytest.approx(1)
    assert figures["reconstruction FD (pixels)"].value == pytest.approx(0, abs=1e-6)


def test_the_best_psnr_is_that_of_rounding_to_bytes():
    assert pytest.approx(10 * math.log10(12 * 255**2), abs=0.005) == BEST_PSNR
    fine = torch.rand(40, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    rounded = (fine * 255).round() / 255
    assert panel(fine, rounded)["PSNR"].value == pytest.approx(BEST_PSNR, abs=0.05)


def test_answering_with_the_mean_image_is_the_ceiling(lpips):
    mean = IMAGES.mean(0).expand_as(IMAGES)
    for figure in panel(IMAGES, mean, extractor=Pixels(), lpips=lpips).values():
        assert figure.value == pytest.approx(figure.ceiling, rel=1e-4), figure.name
    error = panel(IMAGES, disturbed(IMAGES))["reconstruction error"]
    variance = float(IMAGES.double().var(0, correction=0).mean())
    assert error.ceiling == pytest.approx(variance, rel=1e-5)


def test_the_mean_of_the_training_images_may_be_given():
    grey = torch.full((1, 28, 28), 0.5)
    error = panel(IMAGES, IMAGES, mean_image=grey)["reconstruction error"]
    assert error.ceiling == pytest.approx(float((IMAGES - 0.5).square().mean()), rel=1e-5)
    with pytest.raises(DataError, match=r"mean image must be \(1, 28, 28\)"):
        panel(IMAGES, IMAGES, mean_image=grey[:, :3])


def test_worse_reconstructions_score_worse(lpips):
    series = [
        panel(IMAGES, disturbed(IMAGES, sigma), extractor=Pixels(), lpips=lpips)
        for sigma in (0.02, 0.06, 0.15)
    ]
    for name, figure in series[0].items():
        values = [figures[name].value for figures in series]
        assert values == sorted(values, reverse=figure.better == "higher")


def test_the_spread_of_restarts_in_closed_form():
    errors = torch.tensor([[1.0, 2.0, 5.0], [2.0, 2.0, 1.0], [1.5, 6.0, 2.0]])  # ratios 2, 3, 5
    options = {"by": "search", "errors_of_restarts": errors}
    figure = panel(IMAGES[:3], IMAGES[:3], **options)["worst over best restart"]
    assert figure.value == pytest.approx(3)
    assert "Of 3 restarts" in figure.note
    same = panel(IMAGES[:3], IMAGES[:3], by="search", errors_of_restarts=torch.zeros(4, 3))
    assert same["worst over best restart"].value == 1
    one = panel(IMAGES[:3], IMAGES[:3], by="search", errors_of_restarts=errors[:1])
    assert "worst over best restart" not in one
    with pytest.raises(DataError, match="restart of the search"):
        panel(IMAGES[:3], IMAGES[:3], by="search", errors_of_restarts=errors * torch.nan)


def test_the_distance_of_features():
    again = disturbed(IMAGES)
    given = panel(IMAGES, again, extractor=Pixels(), real_features=IMAGES.flatten(1))
    figure = given["reconstruction FD (pixels)"]
    assert figure == panel(IMAGES, again, extractor=Pixels())["reconstruction FD (pixels)"]
    assert not figure.trusted  # 784 features of 60 images
    assert "N=60 < 2x784" in figure.note
    small = pictures(300, height=8, width=8)
    assert panel(small, small, extractor=Pixels())["reconstruction FD (pixels)"].trusted


@pytest.mark.parametrize(
    ("size", "names", "note"),
    [
        ((6, 6), {"reconstruction error", "PSNR"}, ""),
        ((8, 8), {"reconstruction error", "PSNR", "SSIM"}, "window of 7 pixels"),
        ((12, 30), {"reconstruction error", "PSNR", "SSIM"}, ""),
        ((28, 40), {"reconstruction error", "PSNR", "SSIM", "MS-SSIM"}, "Over 2 scales"),
        ((176, 176), {"reconstruction error", "PSNR", "SSIM", "MS-SSIM"}, ""),
    ],
)
def test_small_images_lose_what_cannot_be_measured(size, names, note):
    images = pictures(3, 3, *size)
    figures = panel(images, disturbed(images))
    assert figures.keys() == names
    assert note in " ".join(figure.note for figure in figures.values())


def test_few_images_are_not_trusted(lpips):
    one = panel(IMAGES[:1], disturbed(IMAGES[:1]), extractor=Pixels(), lpips=lpips)
    assert one.keys() == {"reconstruction error", "PSNR", "SSIM", "MS-SSIM", "LPIPS"}
    assert all(f.low is None and f.ceiling is None and not f.trusted for f in one.values())
    five = panel(IMAGES[:5], disturbed(IMAGES[:5]), extractor=Pixels())
    assert not any(figure.trusted for figure in five.values())


def test_flat_images():
    flat = torch.full((30, 1, 28, 28), 0.5)
    figures = panel(flat, flat.clone(), extractor=Pixels())
    assert figures["SSIM"].value == 1
    assert figures["reconstruction error"].ceiling == 0


def test_points_have_no_pictures():
    points = torch.randn(10, 2)
    assert reconstruction_panel(points, points, by="encoder", base={}) == []


def test_broken_reconstructions_are_told():
    with pytest.raises(DataError, match="NaN or infinite"):
        panel(IMAGES, IMAGES * torch.nan)
    with pytest.raises(DataError, match="equal shapes"):
        panel(IMAGES, IMAGES[:3])


def test_the_stream_is_left_alone_and_seeds_repeat():
    before = torch.random.get_rng_state()
    again = disturbed(IMAGES)
    first, second = panel(IMAGES, again, seed=1), panel(IMAGES, again, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first == second
    other = panel(IMAGES, again, seed=2)["SSIM"]
    assert (other.value, other.protocol) == (first["SSIM"].value, first["SSIM"].protocol)
    assert other.low != first["SSIM"].low


def test_progress_is_told_to_its_end():
    told = []
    panel(IMAGES, IMAGES, progress=lambda what, done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
