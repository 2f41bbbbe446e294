"""A made-up study on disk for the tests of the page."""

import random
import shutil
from pathlib import Path

import made_up_study as made
import pytest
from PIL import Image, ImageFilter


@pytest.fixture
def study(tmp_path: Path, painted_study: Path) -> Path:
    """A finished study of a VAE and a GAN, for one test to change as it likes."""
    return Path(shutil.copytree(painted_study, tmp_path / "study"))


@pytest.fixture(scope="session")
def painted_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study, painted once."""
    directory = tmp_path_factory.mktemp("painted")
    rng = random.Random(0)
    made.save(made.grid([made.shape(rng) for _ in range(64)], 8), directory / "pictures/real.png")
    for name, blur in (("vae", 1.3), ("gan", 0.0)):
        some = [made.shape(rng, blur) for _ in range(64)]
        made.save(made.grid(some, 8), directory / name / "pictures/samples.png")
        walks = [Image.blend(some[r], some[r + 1], i / 8) for r in range(4) for i in range(9)]
        made.save(made.grid(walks, 9), directory / name / "pictures/interpolation.png")
        for images in (0, 3200, 12_800, 51_200, 102_400, 204_800, 318_400):
            blurred = [made.shape(rng, blur + 3e4 / (images + 1e4)) for _ in range(64)]
            made.save(made.grid(blurred, 8), directory / name / f"samples/{images:09d}.png")
    real = [made.shape(rng) for _ in range(12)]
    pairs = [*real, *(p.filter(ImageFilter.GaussianBlur(1)) for p in real)]
    made.save(made.grid(pairs, 12), directory / "vae/pictures/reconstruction.png")
    made.write_lines(directory / "vae/metrics.jsonl", made.vae_metrics())
    made.write_lines(directory / "gan/metrics.jsonl", made.gan_metrics())
    return made.write_study(directory, made.study_json(made.vae_member(), made.gan_member()))
