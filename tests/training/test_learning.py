"""The issue's own measure: a VAE and a GAN each learn the ring, whose truth is known."""

import math

import numpy as np
import pytest
import torch

from diptych import load_data, train
from diptych.evaluation.collapse.modes import count_modes
from diptych.evaluation.density.elbo import mean_negative_elbo

IMAGES = 128_000
"""A thousand steps."""


@pytest.fixture(scope="module")
def ring(apart_from_the_home):
    return load_data("ring")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_gan_finds_the_modes_of_the_ring(seed, ring, tmp_path) -> None:
    run = train("gan-mlp", ring, images=IMAGES, seed=seed, out=tmp_path / "run")
    samples = run.model.sample(2_500, seed=1)
    count = count_modes(samples, torch.from_numpy(ring.truth.centers), ring.truth.sigma)
    print(count)  # shown with pytest -rP
    assert count.found >= 7
    assert count.reverse_kl < 0.2
    # A cloud without any structure has some 0.2 % this close to a center.
    assert count.high_quality > 0.05


def test_a_vae_is_denser_on_the_ring_than_the_best_single_gaussian(ring, tmp_path) -> None:
    run = train("vae-mlp", ring, images=IMAGES, seed=0, out=tmp_path / "run")
    held_out = torch.from_numpy(ring.take("test"))
    bound = -mean_negative_elbo(run.model, held_out, seed=0)
    covariance = np.cov(ring.take("train").T)
    single = -math.log(2 * math.pi) - 0.5 * math.log(np.linalg.det(covariance)) - 1.0
    # The truth: log p is the negative entropy of eight Gaussians that do not overlap.
    truth = -math.log(8) - math.log(2 * math.pi * math.e * ring.truth.sigma**2)
    print(f"bound {bound:.3f}, single Gaussian {single:.3f}, truth {truth:.3f} nats per point")
    assert math.isfinite(bound)
    assert single + 1.0 < bound < truth + 0.1
