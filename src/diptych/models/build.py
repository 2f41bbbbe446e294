"""From a recipe and the shape of the data to a game, with the checks that need both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from diptych.data import Data
from diptych.distributions import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    Likelihood,
)
from diptych.errors import RecipeError
from diptych.models.game import Game, random_stream
from diptych.models.gan import GAN
from diptych.models.hybrid import VAEGAN
from diptych.models.vae import VAE
from diptych.networks import (
    ConvDecoder,
    ConvEncoder,
    MLPDecoder,
    MLPEncoder,
    ResidualDecoder,
    ResidualEncoder,
)
from diptych.networks.residual import halvings
from diptych.recipes import Recipe, load_recipe
from diptych.recipes.schema import (
    AutoencoderSpec,
    BernoulliSpec,
    ContinuousBernoulliSpec,
    ConvSpec,
    CustomSpec,
    GANNetworkSpec,
    GANSpec,
    LaplaceSpec,
    LikelihoodSpec,
    ResidualSpec,
    VAEGANSpec,
)

__all__ = ["build", "check_fit"]


def build(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Data | Sequence[int],
    *,
    seed: int = 0,
) -> Game:
    """The game a recipe describes, for the shape of the data, with fresh weights.

    Args:
        recipe: a built-in name, a YAML file, a mapping or a `Recipe`.
        data: the data it is for, or only its event shape, (C, H, W) or (D,).
        seed: of the weights; the ambient random stream is not touched.

    Raises:
        RecipeError: if the recipe does not fit the data; the message says what does.
    """
    resolved = load_recipe(recipe)
    if isinstance(data, Data):
        check_fit(resolved, data)
        shape = data.shape
    else:
        shape = tuple(data)
        _check_shape(resolved, shape, "the data")
    model = resolved.model
    if isinstance(model, CustomSpec):
        raise RecipeError(
            f"a recipe cannot build {model.game}, a game of your own; pass the object"
        )
    with random_stream(seed):
        if isinstance(model, GANSpec):
            return _build_gan(model, shape)
        if isinstance(model, VAEGANSpec):
            return _build_hybrid(model, shape)
        return VAE(**_autoencoder(model, shape))


def check_fit(recipe: Recipe, data: Data) -> None:
    """Refuse what cannot work before anything is trained.

    Raises:
        RecipeError: naming the recipe, the data and the remedy.
    """
    name = repr(data.name)
    _check_shape(recipe, data.shape, name)
    model = recipe.model
    if (
        isinstance(model, AutoencoderSpec)
        and model.likelihood.kind == "bernoulli"
        and not data.is_binary
    ):
        raise RecipeError(
            f"recipe {recipe.name!r} has a Bernoulli likelihood, which is for pixels that are "
            f"0 or 1, and {name} is grey; use "
            "--set model.likelihood.kind=continuous-bernoulli or gaussian"
        )


def _check_shape(recipe: Recipe, shape: tuple[int, ...], name: str) -> None:
    """What the event shape alone can rule out."""
    model = recipe.model
    if len(shape) not in (1, 3):
        raise RecipeError(f"the shape of {name} is {shape}; images are (C, H, W), points (D,)")
    if not isinstance(model, CustomSpec) and isinstance(model.network, ConvSpec | ResidualSpec):
        if len(shape) == 1:
            raise RecipeError(
                f"recipe {recipe.name!r} is convolutional and {name} holds points of "
                f"{shape[0]} dimensions; use {model.kind}-mlp"
            )
        if min(shape[1:]) < 8:
            raise RecipeError(
                f"recipe {recipe.name!r} needs images of at least 8 x 8 pixels and {name} "
                f"has {shape[1]} x {shape[2]}; use {model.kind}-mlp"
            )
        if isinstance(model.network, ResidualSpec) and halvings(*shape[1:]) is None:
            raise RecipeError(
                f"recipe {recipe.name!r} is residual and halves both sides of an image until the "
                f"shorter one has 4 to 7 pixels; {name} has {shape[1]} x {shape[2]}, which does "
                f"not go (28, 32, 48 and 64 do); use --size 32, or the recipe {model.kind}"
            )
    of_pixels = ("bernoulli", "continuous-bernoulli")
    if (
        isinstance(model, AutoencoderSpec)
        and model.likelihood.kind in of_pixels
        and len(shape) == 1
    ):
        raise RecipeError(
            f"recipe {recipe.name!r} has a {model.likelihood.kind} likelihood, which is for "
            f"pixels in [0, 1], and {name} holds points; use "
            "--set model.likelihood.kind=gaussian"
        )


def _encoder(
    network: GANNetworkSpec, event_shape: tuple[int, ...], out_features: int, *, batch_norm: bool
) -> nn.Module:
    if isinstance(network, ConvSpec):
        channels, height, width = event_shape
        return ConvEncoder(
            (channels, height, width),
            out_features,
            width=network.width,
            stages=network.stages,
            batch_norm=batch_norm,
        )
    if isinstance(network, ResidualSpec):
        channels, height, width = event_shape
        return ResidualEncoder((channels, height, width), out_features, width=network.width)
    return MLPEncoder(event_shape, out_features, width=network.width, depth=network.depth)


def _decoder(network: GANNetworkSpec, latent_dim: int, event_shape: tuple[int, ...]) -> nn.Module:
    if isinstance(network, ConvSpec):
        channels, height, width = event_shape
        return ConvDecoder(
            latent_dim, (channels, height, width), width=network.width, stages=network.stages
        )
    if isinstance(network, ResidualSpec):
        channels, height, width = event_shape
        return ResidualDecoder(
            latent_dim,
            (channels, height, width),
            width=network.width,
            upsampling=network.upsampling,
        )
    return MLPDecoder(latent_dim, event_shape, width=network.width, depth=network.depth)


def _likelihood(spec: LikelihoodSpec, event_shape: tuple[int, ...]) -> Likelihood:
    if isinstance(spec, BernoulliSpec):
        return BernoulliLikelihood(event_shape)
    if isinstance(spec, ContinuousBernoulliSpec):
        return ContinuousBernoulliLikelihood(event_shape)
    if isinstance(spec, LaplaceSpec):
        return LaplaceLikelihood(event_shape, scale=spec.scale, bounded_mean=len(event_shape) == 3)
    return GaussianLikelihood(
        event_shape, sigma=spec.sigma, mode=spec.mode, bounded_mean=len(event_shape) == 3
    )


def _autoencoder(spec: AutoencoderSpec, event_shape: tuple[int, ...]) -> dict[str, Any]:
    """The players and settings that a VAE and a hybrid share, by argument."""
    return {
        "encoder": _encoder(spec.network, event_shape, 2 * spec.latent_dim, batch_norm=True),
        "decoder": _decoder(spec.network, spec.latent_dim, event_shape),
        "likelihood": _likelihood(spec.likelihood, event_shape),
        "event_shape": event_shape,
        "latent_dim": spec.latent_dim,
        "beta": spec.beta,
        "kl_warmup": spec.kl_warmup,
        "free_nats": spec.free_nats,
    }


def _build_hybrid(spec: VAEGANSpec, event_shape: tuple[int, ...]) -> VAEGAN:
    return VAEGAN(
        **_autoencoder(spec, event_shape),
        discriminator=_encoder(spec.network, event_shape, 1, batch_norm=False),
        adversarial_weight=spec.adversarial_weight,
        adversarial_cap=spec.adversarial_cap,
        adversarial_start=spec.adversarial_start,
        adversarial_ramp=spec.adversarial_ramp,
        judged=spec.judged,
        r1_gamma=spec.r1_gamma,
        r2_gamma=spec.r2_gamma,
        r1_interval=spec.r1_interval,
        penalty=spec.penalty,
    )


def _build_gan(spec: GANSpec, event_shape: tuple[int, ...]) -> GAN:
    generator = _decoder(spec.network, spec.latent_dim, event_shape)
    if len(event_shape) == 3:
        generator = nn.Sequential(generator, nn.Tanh())  # images lie in [-1, 1] inside the game
    return GAN(
        generator=generator,
        discriminator=_encoder(spec.network, event_shape, 1, batch_norm=False),
        event_shape=event_shape,
        latent_dim=spec.latent_dim,
        loss=spec.loss,
        r1_gamma=spec.r1_gamma,
        r2_gamma=spec.r2_gamma,
        r1_interval=spec.r1_interval,
        penalty=spec.penalty,
        reuse_fakes=spec.reuse_fakes,
    )
