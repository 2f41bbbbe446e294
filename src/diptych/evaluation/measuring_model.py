"""The panels that need the model itself: density, latent space, reconstruction and factors."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from diptych.data import Data
from diptych.errors import MissingData
from diptych.evaluation.density.elbo import negative_elbo_samples
from diptych.evaluation.density.panel import Effort, density_panel
from diptych.evaluation.extractors.features import Features
from diptych.evaluation.extractors.weights import load_weights
from diptych.evaluation.factors.panel import factors_panel
from diptych.evaluation.figure import Figure
from diptych.evaluation.latent.distances import Distance, pyramid_distance, squared_distance
from diptych.evaluation.latent.panel import latent_panel
from diptych.evaluation.lpips import Lpips
from diptych.evaluation.reconstruction.panel import reconstruction_panel
from diptych.evaluation.results import Notebook
from diptych.evaluation.sets import Progress, Sets
from diptych.evaluation.streams import stream_seed
from diptych.models import GAN, VAE, Game
from diptych.models.game import random_stream
from diptych.models.inversion import search_codes
from diptych.recipes.schema import AutoencoderSpec
from diptych.training.batches import images_from_bytes
from diptych.training.run import Run

__all__ = ["bounds_of", "measure_model", "posterior_of"]

RECONSTRUCTED = 64
"""Held-out images whose reconstruction is measured where each code has to be searched for."""
ENCODED = 1_000
"""And where an encoder finds them."""


def posterior_of(model: Game, real: Tensor) -> tuple[Tensor, Tensor] | None:
    """Means and log-variances of q(z|x), (N, L) each, of a model that has an encoder."""
    if not isinstance(model, VAE):
        return None
    images = images_from_bytes(real) if model.is_image else real
    means, log_variances = [], []
    with torch.inference_mode():
        for batch in torch.split(images, 500):
            posterior = model.encode(batch.to(model.device))
            assert isinstance(posterior, Independent)
            assert isinstance(posterior.base_dist, Normal)
            means.append(posterior.mean.cpu())
            log_variances.append(2.0 * posterior.base_dist.scale.log().cpu())
    return torch.cat(means), torch.cat(log_variances)


def bounds_of(model: Game, data: Data, sets: Sets, seed: int) -> tuple[Tensor, Tensor] | None:
    """The ELBO of as many training as held-out items, (N,) each, of a model that has one."""
    if not isinstance(model, VAE):
        return None
    training = torch.from_numpy(data.take("train", len(sets.real)))
    held_out = sets.real[: len(training)]
    first, second = (
        -negative_elbo_samples(
            model,
            images_from_bytes(items) if model.is_image else items,
            seed=stream_seed(seed, f"membership/{whose}"),
        )
        for whose, items in (("members", training), ("strangers", held_out))
    )
    return first, second


def measure_model(
    notebook: Notebook,
    run: Run,
    data: Data,
    sets: Sets,
    extractor: Features,
    effort: Effort,
    *,
    base: dict[str, Any],
    seed: int,
) -> None:
    """The panels that need the model itself: density, latent space, reconstruction, factors."""
    model = run.model
    images = images_from_bytes(sets.real) if data.kind == "images" else sets.real
    validation = torch.from_numpy(data.take("validation", len(sets.real)))
    if data.kind == "images":
        validation = images_from_bytes(validation)
    spec = run.recipe.model
    own = spec.likelihood if isinstance(spec, AutoencoderSpec) else None
    likelihood = None if own is None else own.model_dump(mode="json")
    notebook.measure(
        "density",
        lambda: density_panel(
            model,
            images,
            validation,
            likelihood=likelihood,
            base=base,
            seed=seed,
            effort=effort,
            metrics=notebook.selection.within("density"),
            progress=notebook.progress,
        ),
    )
    lpips = _lpips() if data.kind == "images" else None
    notebook.measure("latent", lambda: _latent(model, sets, lpips, base, seed, notebook.progress))
    if data.kind == "images":
        notebook.measure(
            "reconstruction",
            lambda: _reconstruction(
                model, images, extractor, lpips, base, seed, notebook.progress
            ),
        )
    factors = data.factors_of("test", len(sets.real))
    if factors is None:
        return
    if not isinstance(model, VAE):
        notebook.skip("factors", "a model without an encoder gives no codes to look for them in")
        return
    notebook.measure(
        "factors",
        lambda: factors_panel(
            model.find_codes(images.to(model.device)).cpu(),
            torch.from_numpy(factors),
            code_source="posterior mean",
            base=base,
            seed=seed,
            progress=notebook.progress,
        ),
    )


def _lpips() -> Lpips | None:
    """LPIPS, if its weights are on this machine."""
    try:
        weights = load_weights("lpips-alex")
    except MissingData:
        return None
    return Lpips.from_tensors(weights.tensors, sha256=weights.identity, origin=str(weights.source))


def _latent(
    model: Game,
    sets: Sets,
    lpips: Lpips | None,
    base: dict[str, Any],
    seed: int,
    progress: Progress,
) -> list[Figure]:
    """The latent panel with the best distance at hand."""
    distance: Distance = squared_distance
    name = "squared"
    if model.is_image:
        distance, name = (pyramid_distance, "pyramid") if lpips is None else (lpips, "lpips-alex")
    return latent_panel(
        model,
        distance=distance,
        distance_name=name,
        distance_protocol=None if lpips is None else lpips.protocol,
        base=base,
        reference=sets.real,
        seed=seed,
        progress=progress,
    )


def _reconstruction(
    model: Game,
    images: Tensor,
    extractor: Features,
    lpips: Lpips | None,
    base: dict[str, Any],
    seed: int,
    progress: Progress,
) -> list[Figure]:
    """The reconstruction panel on images spread over the reference."""
    most = ENCODED if isinstance(model, VAE) else RECONSTRUCTED
    shown = images[:: max(1, len(images) // most)][:most].to(model.device)
    errors = None
    if isinstance(model, GAN):
        with random_stream(seed):
            found = search_codes(model.decode_mean, shown, model.latent_dim)
        errors = found.all_errors.cpu()
        with torch.inference_mode():
            again = model.decode_mean(found.codes)
    else:
        again = model.reconstruct(shown, seed=seed)
    return reconstruction_panel(
        shown.cpu(),
        again.cpu(),
        by="encoder" if isinstance(model, VAE) else "search",
        base=base,
        errors_of_restarts=errors,
        extractor=extractor,
        lpips=lpips,
        mean_image=images.mean(0),
        seed=seed,
        progress=progress,
    )
