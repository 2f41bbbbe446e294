"""DINOv2 and CLIP from a folder on this machine, through the optional package transformers.

Nothing is downloaded, no code that lies beside the weights is run, and weights that are not
safetensors are refused.

Source: Oquab et al. 2023, arXiv:2304.07193 (DINOv2); Stein et al. 2023, arXiv:2306.04675 (its
features agree better with people than Inception's); Radford et al. 2021, arXiv:2103.00020 (CLIP);
Jayasumana et al. 2024, arXiv:2401.09603 (distances of CLIP features).
"""

import importlib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from diptych.errors import DataError, MissingData
from diptych.evaluation.extractors.batches import as_rgb, in_batches, on_channels
from diptych.evaluation.extractors.hashing import tensors_hash
from diptych.evaluation.extractors.resize import resize
from diptych.evaluation.quantise import Images, to_bytes
from diptych.evaluation.sets import Progress, silent

__all__ = ["Kind", "PretrainedFeatures"]

Kind = Literal["dinov2", "clip"]

BATCH = 16

_CLASSES = {"dinov2": "Dinov2Model", "clip": "CLIPVisionModelWithProjection"}
_MODEL_TYPES = {"dinov2": ("dinov2",), "clip": ("clip", "clip_vision_model")}
# What each was trained with: mean and standard deviation of red, green and blue in 0..1.
_SCALING = {
    "dinov2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}


class PretrainedFeatures:
    """A vision transformer of the Hugging Face layout: ``config.json`` and ``*.safetensors``.

    Images are brought to the network's size by Pillow's bicubic resize in floating point, whole
    and without a crop. Features are DINOv2's class token after the last norm, or CLIP's image
    embedding before it is normalised.

    Args:
        kind: ``"dinov2"`` or ``"clip"``.
        path: the folder.
        channels: of the images that are to come, for the caveat; None if that is not known.
        device: what runs it.

    Attributes:
        name: the kind.

    Raises:
        MissingData: transformers is not installed, or there is no such folder.
        DataError: the folder does not hold such a network.
    """

    fid_name = ""

    def __init__(
        self,
        kind: Kind,
        path: Path,
        *,
        channels: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.name: str = kind
        self._channels = channels
        self._device = torch.device(device)
        network, settings = _load(kind, Path(path))
        # DINOv2 was published at 518 pixels and is used at 224, where its positions are bent to.
        self._size = 224 if kind == "dinov2" else int(settings.image_size)
        self._identity = tensors_hash(network.state_dict())
        self._network = network.to(self._device).eval().requires_grad_(False)

    @property
    def protocol(self) -> dict[str, Any]:
        """Network, weights, layer, size, resize, scaling and type."""
        return {
            "extractor": self.name,
            "weights": self._identity,
            "layer": "class token" if self.name == "dinov2" else "image embedding",
            "size": self._size,
            "resize": "pil",
            "scaling": "by the mean and deviation of its training",
            "dtype": "fp32",
        }

    @property
    def caveat(self) -> str:
        """What these distances are not, and what was done to the images."""
        first = (
            f"FD ({self.name}) is not FID; it compares only with distances of the same weights "
            "at the same N."
        )
        return " ".join(part for part in (first, on_channels(self._channels)) if part)

    def features(self, images: Images, /, *, progress: Progress = silent) -> Tensor:
        """Return float32 (N, D) on the CPU; D is the network's.

        Args:
            images: uint8 (N, H, W, C), or floating (N, C, H, W) in 0..1, which are quantised;
                C is 1, 3, or 4 with alpha last.
            progress: told after each batch.

        Raises:
            DataError: images of two channels, none, or not images.
        """
        pixels = to_bytes(images)
        as_rgb(pixels[:1])  # refuses before the work
        return in_batches(
            self._describe, pixels, size=BATCH, what=f"{self.name} features", progress=progress
        )

    def _describe(self, images: Tensor) -> Tensor:
        mean, deviation = (
            torch.tensor(each, device=self._device).reshape(3, 1, 1)
            for each in _SCALING[self.name]
        )
        x = as_rgb(resize(images.to(self._device), self._size, "pil")) / 255
        x = (x - mean) / deviation
        if self.name == "clip":
            embedded: Tensor = self._network(pixel_values=x).image_embeds
            return embedded
        token: Tensor = self._network(pixel_values=x).pooler_output
        return token


def _load(kind: str, path: Path) -> tuple[nn.Module, Any]:
    """The network and the settings of its vision part."""
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise MissingData(
            f"The features {kind} need the package transformers, which cannot be imported "
            f"({error}); install it, or choose other features."
        ) from error
    if not (path / "config.json").is_file():
        raise MissingData(
            f"There is no {kind} network at {path}: give a folder with config.json and "
            "model.safetensors."
        )
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        settings = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
        if settings.model_type not in _MODEL_TYPES[kind]:
            raise DataError(f"it holds a network of type {settings.model_type}")
        if hasattr(settings, "vision_config"):  # a whole CLIP; its text half is left alone
            settings.vision_config.projection_dim = settings.projection_dim
            settings = settings.vision_config
        network, report = getattr(transformers, _CLASSES[kind]).from_pretrained(
            path,
            config=settings,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
        if report["missing_keys"]:
            raise DataError(f"it lacks {len(report['missing_keys'])} tensors")
    except Exception as error:  # the package raises a great many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise DataError(f"{path} cannot be used as {kind}: {reason.rstrip('.')}.") from error
    finally:
        logging.set_verbosity(before[0])
        if before[1]:
            logging.enable_progress_bar()
    return network, settings
