"""What a recipe may say. Frozen, checked, and free of torch, so that `--help` stays fast."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_serializer,
    model_validator,
)

__all__ = [
    "Adam",
    "AutoencoderSpec",
    "BernoulliSpec",
    "ContinuousBernoulliSpec",
    "ConvSpec",
    "CustomSpec",
    "Dimension",
    "EmaSpec",
    "GANNetworkSpec",
    "GANSpec",
    "GaussianSpec",
    "LaplaceSpec",
    "LikelihoodSpec",
    "MLPSpec",
    "ModelSpec",
    "NetworkSpec",
    "Recipe",
    "ResidualSpec",
    "TrainingSpec",
    "VAEGANSpec",
    "VAESpec",
]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Spec(BaseModel):
    """The base of every part of a recipe: frozen, and strangers among the keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class MLPSpec(Spec):
    """Fully connected networks, for points and as the plainest choice for images."""

    kind: Literal["mlp"] = "mlp"
    width: Count = 256
    """Units of each hidden layer."""
    depth: Annotated[int, Field(ge=0)] = 3
    """Hidden layers; 0 is a linear map."""


class ConvSpec(Spec):
    """A convolutional pair in the manner of DCGAN, each the mirror of the other."""

    kind: Literal["conv"] = "conv"
    width: Count = 32
    """Channels at the full resolution; they double with each halving."""
    stages: Annotated[int, Field(ge=1, le=6)] | None = None
    """Halvings of the resolution; None: as many as leave at least 4 pixels on the short side."""


class ResidualSpec(Spec):
    """The residual pair of the SNGAN; its discriminator is spectrally normalised."""

    kind: Literal["residual"] = "residual"
    width: Count = 64
    """Channels of all blocks; the paper has 256 in the generator and 128 in the discriminator."""
    upsampling: Literal["nearest", "bilinear"] = "nearest"
    """How the generator's blocks double the resolution."""


NetworkSpec = Annotated[MLPSpec | ConvSpec, Field(discriminator="kind")]
GANNetworkSpec = Annotated[MLPSpec | ConvSpec | ResidualSpec, Field(discriminator="kind")]


class GaussianSpec(Spec):
    """Gaussian pixels with one shared sigma."""

    kind: Literal["gaussian"] = "gaussian"
    mode: Literal["fixed", "learned", "optimal"] = "learned"
    """fixed is the mean-squared-error VAE; learned and optimal calibrate sigma."""
    sigma: Positive = 0.3
    """The constant, or where calibration starts; in units of the data (pixels: 0 to 1)."""


class LaplaceSpec(Spec):
    """Laplace pixels with one fixed scale: absolute error in place of squared error."""

    kind: Literal["laplace"] = "laplace"
    scale: Positive = 0.2
    """b, in units of the data (pixels: 0 to 1)."""


class BernoulliSpec(Spec):
    """Binary pixels; grey data is refused."""

    kind: Literal["bernoulli"] = "bernoulli"


class ContinuousBernoulliSpec(Spec):
    """Grey pixels in [0, 1]: the correct form of "binary cross-entropy on pixels"."""

    kind: Literal["continuous-bernoulli"] = "continuous-bernoulli"


LikelihoodSpec = Annotated[
    GaussianSpec | LaplaceSpec | BernoulliSpec | ContinuousBernoulliSpec,
    Field(discriminator="kind"),
]


class AutoencoderSpec(Spec):
    """What every model with an encoder, a decoder and the prior N(0, I) has."""

    kind: str
    latent_dim: Count = 32
    """Latents L."""
    network: NetworkSpec = ConvSpec()
    """The encoder, and the decoder as its mirror."""
    likelihood: LikelihoodSpec = GaussianSpec()
    """p(x|z)."""
    beta: NonNegative = 1.0
    """Weight of the KL on the summed ELBO."""
    kl_warmup: Fraction = 0.0
    """Part of the budget over which the weight rises from 0; it ends whatever happens."""
    free_nats: NonNegative = 0.0
    """Free bits per latent, in nats."""


class VAESpec(AutoencoderSpec):
    """A variational autoencoder with prior N(0, I)."""

    kind: Literal["vae"] = "vae"


class VAEGANSpec(AutoencoderSpec):
    """A variational autoencoder with a discriminator beside it."""

    kind: Literal["vae-gan"] = "vae-gan"
    adversarial_weight: NonNegative = 0.25
    """The discriminator's push on the decoder's last layer, in parts of the reconstruction's."""
    adversarial_cap: Positive = 1.0
    """The largest weight of its term: nats of ELBO per nat of the term and value of an image."""
    adversarial_start: Fraction = 0.1
    """Part of the budget in which the discriminator learns and its term is off."""
    adversarial_ramp: Fraction = 0.1
    """Part of the budget over which the term's weight then rises from 0."""
    judged: Literal["both", "reconstructions"] = "both"
    """What the discriminator sees: reconstructions and decoded prior codes, or only the former."""
    r1_gamma: NonNegative = 0.0
    """Weight of the R1 penalty, for images in [-1, 1]."""
    r2_gamma: NonNegative = 0.0
    """Weight of R2, the same penalty on the images that were generated."""
    r1_interval: Count = 1
    """Compute the penalties every so many steps, with as many times the weight."""
    penalty: Literal["exact", "finite-difference"] = "exact"
    """By double backward, or by first derivatives only: where there is no second derivative."""

    @model_validator(mode="after")
    def _ramp_ends(self) -> "VAEGANSpec":
        if self.adversarial_start + self.adversarial_ramp > 1:
            raise ValueError(
                f"model.adversarial_start {self.adversarial_start:g} and model.adversarial_ramp "
                f"{self.adversarial_ramp:g} are parts of one budget; together at most 1"
            )
        return self


class GANSpec(Spec):
    """A generative adversarial network with noise N(0, I)."""

    kind: Literal["gan"] = "gan"
    latent_dim: Count = 64
    """Latents L."""
    network: GANNetworkSpec = ConvSpec()
    """The discriminator, and the generator as its mirror."""
    loss: Literal["non-saturating", "minimax", "hinge"] = "non-saturating"
    """The generator's side, minimax being the original saturating game; or hinge for both."""
    r1_gamma: NonNegative = 0.0
    """Weight of the R1 penalty, for images in [-1, 1]."""
    r2_gamma: NonNegative = 0.0
    """Weight of R2, the same penalty on the images that were generated."""
    r1_interval: Count = 1
    """Compute the penalties every so many steps, with as many times the weight."""
    penalty: Literal["exact", "finite-difference"] = "exact"
    """By double backward, or by first derivatives only: where there is no second derivative."""
    reuse_fakes: bool = False
    """The discriminator judges the images of the generator's turn: one pass less per step."""


class CustomSpec(Spec):
    """A game that was given as an object; only its name can be written down."""

    kind: Literal["custom"] = "custom"
    game: str
    """The name of its class."""


ModelSpec = Annotated[VAESpec | GANSpec | VAEGANSpec | CustomSpec, Field(discriminator="kind")]


class Adam(Spec):
    """Adam's settings for one turn."""

    learning_rate: Positive = 1e-3
    """The rate to start with."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999


class EmaSpec(Spec):
    """The moving average of the weights that sample."""

    half_life: Positive = 10_000
    """In images: after so many, an old weight counts half. Independent of the batch size."""
    ramp_up: Annotated[float, Field(gt=0, le=1)] = 0.05
    """The half-life never exceeds this part of the images seen, so that the start is forgotten."""


class TrainingSpec(Spec):
    """How the turns are taken."""

    batch_size: Count = 64
    """Images per step."""
    decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of the budget after which rates fall linearly, to 0 at its end; 1 keeps them."""
    ema: EmaSpec = EmaSpec()


TURNS = {
    "vae": ("autoencoder",),
    "gan": ("discriminator", "generator"),
    "vae-gan": ("autoencoder", "discriminator"),
}
"""The turns of each kind of model, in order; each may have its own optimizer settings."""


class Dimension(Spec):
    """What a search may choose for one setting: a number of a range, or one of some values."""

    low: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The lower end of a range; it belongs to it."""
    high: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The upper end; it belongs to the range too."""
    log: bool = False
    """Whether equal factors are equally likely, and not equal differences."""
    integer: bool = False
    """Whole numbers only."""
    choices: tuple[bool | int | float | str | None, ...] = ()
    """In place of a range: the values, at least two."""

    @field_validator("choices", mode="before")
    @classmethod
    def _numbers(cls, values: Any) -> Any:
        """YAML 1.1 reads "1e-3" as text; people mean the number."""

        def number(value: Any) -> Any:
            try:
                return float(value) if isinstance(value, str) else value
            except ValueError:
                return value

        return [number(value) for value in values] if isinstance(values, list | tuple) else values

    @model_serializer
    def _form(self) -> dict[str, Any]:
        """Either form without the keys of the other."""
        if self.choices:
            return {"choices": list(self.choices)}
        low, high = (
            int(end) if self.integer and end is not None else end for end in (self.low, self.high)
        )
        return {"low": low, "high": high, "log": self.log, "integer": self.integer}

    def objection(self) -> str:
        """What is wrong with it in itself, in words that follow its key; empty if nothing is."""
        given = self.model_fields_set
        if self.choices or "choices" in given:
            if given != {"choices"}:
                return "has both choices and a range; give one of the two"
            different = {(type(value), value) for value in self.choices}
            if len(different) < 2 or len(different) < len(self.choices):
                return f"has the choices {list(self.choices)}; give at least two different values"
            return ""
        if self.low is None or self.high is None:
            return "needs low and high, or choices"
        if self.low >= self.high:
            return f"goes from {self.low:g} to {self.high:g}; low must be below high"
        if self.log and self.low <= 0:
            return f"is logarithmic and begins at {self.low:g}; it must begin above 0"
        if self.integer and (self.low % 1 or self.high % 1):
            return f"goes from {self.low:g} to {self.high:g}; integer: true needs whole numbers"
        return ""

    def corners(self) -> tuple[Any, ...]:
        """Values that must fit if all of them are to: the choices, or both ends and one between.

        The one between is a broken number unless the range holds whole ones only.
        """
        if self.choices:
            return self.choices
        low, high = self.low or 0.0, self.high or 0.0
        if self.integer:
            return (int(low), int(high))
        return (low, high, low + 0.618 * (high - low))


class Recipe(Spec):
    """What to train: the model, its optimizers, its schedule. The data is not part of it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    """How reports call it."""
    summary: str
    """One line: what is special about it."""
    source: str = ""
    """The paper."""
    model: ModelSpec
    optimizers: dict[str, Adam] = {}
    """By name of the turn; what is not named gets Adam's defaults."""
    training: TrainingSpec = TrainingSpec()
    search: dict[str, Dimension] = {}
    """By dotted key: what `compare --trials` may choose. Training does not look at it."""

    @model_validator(mode="after")
    def _space_is_one(self) -> "Recipe":
        for key, dimension in self.search.items():
            if objection := dimension.objection():
                raise ValueError(f"search.{key} {objection}")
        return self

    @model_validator(mode="after")
    def _turns_exist(self) -> "Recipe":
        known = TURNS.get(self.model.kind)
        for turn in self.optimizers:
            if known is not None and turn not in known:
                raise ValueError(
                    f"optimizers has no turn {turn!r}; a {self.model.kind} takes: "
                    + ", ".join(known)
                )
        return self

    def optimizer_of(self, turn: str) -> Adam:
        """The Adam settings of a turn."""
        return self.optimizers.get(turn, Adam())

    def to_dict(self) -> dict[str, Any]:
        """All settings, resolved; what `recipe.yaml` of a run holds and can be trained again."""
        return self.model_dump(mode="json")
