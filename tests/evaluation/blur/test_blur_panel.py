import numpy as np
import pytest
import torch
import torch.nn.functional as F

from diptych.errors import DataError
from diptych.evaluation.blur.panel import METRICS, blur_panel
from diptych.evaluation.blur.sharpness import sharpness_ratio
from diptych.evaluation.sets import Sets

SPECTRAL = {"spectral-slope", "spectral-slope-difference", "spectral-distance"}


def discs(n, seed, size=24):
    """Bright discs with crisp edges on a dark ground that rises slowly, (N, H, W, 1) floats."""
    generator = torch.Generator().manual_seed(seed)
    centre = 6 + (size - 12) * torch.rand(n, 2, 1, 1, generator=generator)
    radius = 3 + 3 * torch.rand(n, 1, 1, generator=generator)
    places = torch.arange(size, dtype=torch.float32)
    distance = torch.hypot(places[:, None] - centre[:, 0], places - centre[:, 1])
    images = 40.0 + places + 140.0 * (radius + 0.5 - distance).clamp(0, 1)
    return images[..., None]


def to_uint8(images):
    return images.round().clamp(0, 255).to(torch.uint8)


def blur(images, sigma=0.9):
    places = torch.arange(-4, 5)
    kernel = torch.exp(-0.5 * (places / sigma).square())
    kernel = kernel / kernel.sum()
    x = F.pad(images.permute(0, 3, 1, 2), (4, 4, 4, 4), mode="replicate")
    x = F.conv2d(F.conv2d(x, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return x.permute(0, 2, 3, 1)


def noisy(images, sigma, seed=9):
    generator = torch.Generator().manual_seed(seed)
    return images + sigma * torch.randn(images.shape, generator=generator)


REAL, FLOOR, FAKE = discs(120, 0), discs(120, 1), discs(120, 2)


def panel(fake, real=REAL, floor=FLOOR):
    sets = Sets(to_uint8(fake), to_uint8(real), None if floor is None else to_uint8(floor))
    return {figure.key: figure for figure in blur_panel(sets, base={"n": len(real)})}


def test_every_metric_applies_to_ordinary_images():
    figures = panel(FAKE)
    assert figures.keys() == METRICS.keys()
    assert figures["sharpness-ratio"].name == "sharpness ratio"
    assert all(figure.panel == "blur" and figure.trusted for figure in figures.values())
    assert len({figure.protocol.fingerprint for figure in figures.values()}) == len(figures)


def test_the_floor_set_as_samples_scores_the_floor():
    for figure in panel(FLOOR).values():
        assert figure.value == figure.floor


def test_the_real_set_against_itself_is_perfect():
    figures = panel(REAL, floor=None)
    assert figures["sharpness-ratio"].value == 1
    assert figures["noise-ratio"].value == 1
    assert figures["spectral-slope-difference"].value == 0
    assert figures["spectral-distance"].value == 0
    assert figures["high-frequency-ratio"].value == pytest.approx(1, abs=1e-12)
    assert all(figure.floor is None for figure in figures.values())


def test_equal_kinds_of_images_lie_within_their_intervals():
    for key, expected in (
        ("sharpness-ratio", 1),
        ("spectral-slope-difference", 0),
        ("high-frequency-ratio", 1),
    ):
        figure = panel(FAKE)[key]
        assert figure.low < expected < figure.high
        assert figure.low < figure.value < figure.high
        assert "bootstrap over images" in figure.interval


def test_planted_blur_reads_as_blur():
    figures = panel(blur(FAKE))
    assert figures["sharpness-ratio"].high < 0.5
    assert figures["sharpness-ratio"].trusted
    assert "noise" not in figures["sharpness-ratio"].note
    assert figures["spectral-slope-difference"].high < -0.5
    assert figures["high-frequency-ratio"].high < 0.5
    assert figures["spectral-distance"].value > 3 * figures["spectral-distance"].floor


def test_planted_noise_does_not_read_as_sharpness():
    figures = panel(noisy(FAKE, 12))
    sharp = figures["sharpness-ratio"]
    assert sharp.value > 1.2
    assert not sharp.trusted
    assert "sharpness ratio above 1 is noise" in sharp.note
    assert not figures["high-frequency-ratio"].trusted
    assert figures["noise-ratio"].low > 5
    assert figures["noise-ratio"].trusted


def test_noise_that_makes_up_for_blur_is_found_out():
    images = noisy(blur(FAKE), 6)
    figure = panel(images)["sharpness-ratio"]
    assert 0.5 < figure.value < 1
    assert not figure.trusted
    assert "Noise adds to it" in figure.note


def test_noise_over_blur_is_found_out_where_real_images_are_rich_in_texture():
    generator = torch.Generator().manual_seed(0)
    frequencies = torch.fft.fftfreq(32)
    radius = (frequencies[:, None].square() + frequencies.square()).sqrt().clamp(min=1 / 32)

    def textures(n):
        waves = torch.fft.fft2(torch.randn(n, 32, 32, generator=generator)) / radius
        fields = torch.fft.ifft2(waves).real
        return 128 + 40 * fields / fields.std()

    def saved(fields):
        return fields.round().clamp(0, 255).to(torch.uint8)[..., None]

    real, floor, fake = textures(200), textures(200), textures(200)
    blurred = F.avg_pool2d(fake[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    missing = float(sharpness_ratio(saved(blurred), saved(real)))
    assert missing < 0.2
    for sigma in range(10, 30):
        disguised = blurred + sigma * torch.randn(blurred.shape, generator=generator)
        if sharpness_ratio(saved(disguised), saved(real)) > 0.95:
            break
    figures = {
        f.key: f for f in blur_panel(Sets(saved(disguised), saved(real), saved(floor)), base={})
    }
    assert 0.9 < figures["sharpness-ratio"].value < 1.2
    assert not figures["sharpness-ratio"].trusted
    honest = {f.key: f for f in blur_panel(Sets(saved(fake), saved(real), saved(floor)), base={})}
    assert honest["sharpness-ratio"].trusted


def test_noise_that_the_real_images_have_too_is_no_reproach():
    figures = panel(noisy(FAKE, 8), noisy(REAL, 8, seed=5), noisy(FLOOR, 8, seed=6))
    assert figures["sharpness-ratio"].trusted
    assert figures["noise-ratio"].value == pytest.approx(1, abs=0.05)


def test_truly_sharper_images_are_not_called_noisy():
    figure = panel(FAKE, blur(REAL, 0.7), None)["sharpness-ratio"]
    assert figure.value > 1.5
    assert figure.trusted


def test_the_ratio_is_the_instruments_own():
    fake = to_uint8(blur(FAKE))
    assert panel(blur(FAKE))["sharpness-ratio"].value == sharpness_ratio(fake, to_uint8(REAL))


def test_colour_and_odd_shapes():
    fake, real = (x[:, :19].repeat(1, 1, 1, 3) for x in (FAKE, REAL))
    figures = panel(fake, real, None)
    assert figures.keys() == METRICS.keys()


def test_the_same_seed_gives_the_same_figures_and_leaves_the_stream_alone():
    before = torch.random.get_rng_state()
    first, second = panel(FAKE), panel(FAKE)
    assert torch.equal(before, torch.random.get_rng_state())
    assert [f.to_json() for f in first.values()] == [f.to_json() for f in second.values()]


def test_flat_images():
    flat = torch.full_like(REAL, 128.0)
    assert panel(FAKE, flat, flat) == {}
    figures = panel(flat)
    assert figures["sharpness-ratio"].value == 0
    assert figures["high-frequency-ratio"].value == 0
    assert not figures.keys() & SPECTRAL


def test_some_flat_images_cost_the_interval_at_most():
    real = REAL.clone()
    real[:59] = 128.0  # one draw in two has a flat median
    figure = panel(FAKE, real, None)["sharpness-ratio"]
    assert figure.low is None
    assert "flat" in figure.note


def test_small_images_lose_what_cannot_be_measured():
    figures = panel(FAKE[:, 6:13, 6:13], REAL[:, 6:13, 6:13], None)
    assert figures.keys() == {"sharpness-ratio", "noise-ratio"}
    assert panel(FAKE[:, :2], REAL[:, :2], None) == {}


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_images_are_not_trusted(n):
    figures = panel(FAKE[:n], REAL[:n], None)
    assert figures.keys() == METRICS.keys()
    assert not any(figure.trusted for figure in figures.values())
    assert all(f"Only {n} images" in figure.note for figure in figures.values())
    assert n > 1 or all(figure.low is None for figure in figures.values())


def test_points_have_no_blur():
    points = torch.randn(10, 2)
    assert blur_panel(Sets(points, points), base={}) == []


def test_sets_of_different_sizes_are_refused():
    with pytest.raises(DataError, match="generated images are 20 x 24 and the real ones 24 x 24"):
        panel(FAKE[:, :20])


def test_progress_is_told_to_its_end():
    told = []
    sets = Sets(to_uint8(FAKE[:20]), to_uint8(REAL[:20]))
    blur_panel(sets, base={}, progress=lambda what, done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert np.all(np.diff([done for done, _ in told]) >= 0)
