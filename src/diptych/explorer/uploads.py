"""A picture from the page: judged by its content, decoded like training data, fitted."""

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diptych.data.decode import MODES, OddPictureError, decode, look
from diptych.data.fitting import Fit
from diptych.errors import DataError

__all__ = ["MOST_BYTES", "MOST_PIXELS", "Upload", "fit_upload", "read_upload"]

MOST_BYTES = 5 << 20
"""Of the file."""
MOST_PIXELS = 16_000_000
"""Of the picture, looked up in its header before anything is decoded."""


@dataclass(frozen=True, eq=False)
class Upload:
    """A picture in 8 bits at its own size, upright.

    Attributes:
        image: of mode L, LA, RGB or RGBA.
        notes: what was done on the way.
    """

    image: Image.Image
    notes: tuple[str, ...]


def read_upload(content: bytes) -> Upload:
    """Decode a PNG, JPEG or WebP file by the code that reads folders of pictures.

    Args:
        content: the whole file; its name tells nothing.

    Raises:
        DataError: in one sentence, whatever is wrong with the file.
    """
    if not content:
        raise DataError("The file is empty; choose a PNG, JPEG or WebP picture.")
    if len(content) > MOST_BYTES:
        raise DataError(
            f"The file has more than {MOST_BYTES >> 20} MiB; choose a smaller picture."
        )
    if not _is_picture(content):
        raise DataError("The file is no PNG, JPEG or WebP picture, whatever its name says.")
    with tempfile.TemporaryDirectory(prefix="diptych-") as folder:
        path = Path(folder) / "upload"
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                header = look(path)
                if header.height * header.width > MOST_PIXELS:
                    raise DataError(
                        f"The picture has {header.width:,} x {header.height:,} pixels; at most "
                        f"{MOST_PIXELS // 1_000_000} million are decoded here, so make it smaller."
                    )
                pixels = decode(path, header, header.mode, Fit())
        except OddPictureError as problem:
            raise DataError(f"The picture {problem}".rstrip(".") + ".") from None
    notes = []
    if header.frames > 1:
        notes.append(f"it holds {header.frames} pictures, and the first was taken")
    if header.source not in ("8-bit", "palette"):
        notes.append(f"it is stored as {header.source} and was brought to 8 bits")
    return Upload(Image.fromarray(pixels[..., 0] if header.mode == "L" else pixels), tuple(notes))


def fit_upload(
    upload: Upload, shape: tuple[int, ...]
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Bring a picture to a model's channels, then to its size, as its training data were brought.

    Colours and transparency that the model does not know are given up, which training data never
    are: a person who tries one picture is told, where a data set would be refused.

    Args:
        upload: the picture.
        shape: (C, H, W) of the model.

    Returns:
        uint8 (H, W, C), and notes on what was given up.
    """
    channels, height, width = shape
    image, notes = _to_mode(upload.image, MODES[channels])
    fit = Fit((height, width), crop=True)
    if image.size != (width, height):
        if Fit((height, width)).objection(image.height, image.width):
            notes.append("its middle was cut out")
        notes.append(f"{image.width} x {image.height} pixels were resized to {width} x {height}")
    pixels = np.array(fit.resize(image))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return pixels, (*upload.notes, *notes)


def _is_picture(content: bytes) -> bool:
    png, jpeg = content.startswith(b"\x89PNG\r\n\x1a\n"), content.startswith(b"\xff\xd8\xff")
    return png or jpeg or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")


def _to_mode(image: Image.Image, mode: str) -> tuple[Image.Image, list[str]]:
    """Another mode; losses are noted, and there are none where nothing would be lost."""
    notes = []
    if image.mode.endswith("A") and not mode.endswith("A"):
        if np.asarray(image.getchannel("A")).min() < 255:
            notes.append("its transparent parts were laid over white")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA")).convert(image.mode[:-1])
        else:
            image = image.convert(image.mode[:-1])
    if image.mode.startswith("RGB") and mode.startswith("L"):
        red, green, blue = (np.asarray(image.getchannel(name)) for name in "RGB")
        if np.array_equal(red, green) and np.array_equal(green, blue):
            grey = image.getchannel("R")
        else:
            notes.append("its colours became grey, which is all that the model knows")
            grey = image.convert("RGB").convert("L")
        if image.mode == "RGBA":
            return Image.merge("LA", [grey, image.getchannel("A")]), notes
        image = grey
    return (image if image.mode == mode else image.convert(mode)), notes
