"""One picture file: look at its header, then read it into 8 bits of an agreed mode."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from diptych.data.fitting import Fit

__all__ = ["MODES", "Header", "OddPictureError", "decode", "look"]

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # how 1 to 4 channels are kept
ORIENTATION = 0x0112  # the EXIF tag; values 5 to 8 turn a picture by a quarter
ON_ITS_SIDE = frozenset({5, 6, 7, 8})


class OddPictureError(Exception):
    """Why one file cannot be used, as the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are read.

    Attributes:
        height, width: in pixels, after its EXIF orientation is applied.
        mode: L, LA, RGB or RGBA: what it will be read as.
        source: what it is stored as: `8-bit`, `16-bit`, `float`, `1-bit` or `palette`.
        frames: how many pictures the file holds; only the first is used.
    """

    height: int
    width: int
    mode: str
    source: str
    frames: int


def look(path: Path) -> Header:
    """Read a file's header.

    Raises:
        OddPictureError: the file is empty, unreadable, or neither grey nor RGB.
    """
    with _open(path) as image:
        try:
            width, height = image.size
            if _orientation(image) in ON_ITS_SIDE:
                width, height = height, width
            mode, source = _target_mode(image)
            return Header(height, width, mode, source, getattr(image, "n_frames", 1))
        except OddPictureError:
            raise
        except Exception as error:  # metadata of damaged files raise nearly anything
            raise OddPictureError(f"has a damaged header ({_first_line(error)})") from error


def decode(path: Path, header: Header, mode: str, fit: Fit) -> NDArray[np.uint8]:
    """Read a file upright, in 8 bits, in the given mode, at the given size.

    Args:
        path: the file.
        header: what `look` found.
        mode: L, LA, RGB or RGBA.
        fit: the size to bring it to.

    Returns:
        uint8 (H, W, C).

    Raises:
        OddPictureError: the file does not decode to its end, or would lose colour or transparency.
    """
    with _open(path) as opened:
        try:
            opened.load()
            image = ImageOps.exif_transpose(opened)
        except Exception as error:  # decoders of damaged files raise nearly anything
            raise OddPictureError(f"is damaged or cut short ({_first_line(error)})") from error
        if (image.height, image.width) != (header.height, header.width):
            # An orientation that stands after the pixels is known too late to lay out the rest.
            raise OddPictureError("is turned by metadata at its end; save it upright")
        image = fit.resize(_to_mode(_to_eight_bits(image, header), mode))
        pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _open(path: Path) -> Image.Image:
    try:
        if path.stat().st_size == 0:
            raise OddPictureError("is empty")
        return Image.open(path, formats=FORMATS)
    except FileNotFoundError as error:
        raise OddPictureError("is a link to a file that is not there") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise OddPictureError(f"has more than {most} million pixels; make it smaller") from error
    except UnidentifiedImageError as error:
        raise OddPictureError(
            "is not a PNG, JPEG, WebP, TIFF or BMP picture, or is damaged"
        ) from error
    except OddPictureError:
        raise
    except Exception as error:  # headers of damaged files raise nearly anything
        raise OddPictureError(f"cannot be opened ({_first_line(error)})") from error


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 if there is none."""
    exif = Image.Exif()
    if image.format == "PNG":
        # getexif() would decode a whole PNG, since the chunk may also stand at its end.
        exif.load(image.info.get("exif", b""))
    else:
        exif = image.getexif()
    return int(exif.get(ORIENTATION, 1))


def _target_mode(image: Image.Image) -> tuple[str, str]:
    """The mode that a picture is kept in without loss of channels, and how it is stored."""
    stored = image.mode
    if stored in MODES.values():
        # Pillow reads 16-bit colour as its high bytes; only the raw mode still tells.
        deep = any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))
        return stored, "16-bit" if deep else "8-bit"
    if stored == "1":
        return "L", "1-bit"
    if stored.startswith("I;16") or (stored == "I" and image.format == "PNG"):
        return "L", "16-bit"
    if stored == "F":
        return "L", "float"
    if stored == "P":
        return _palette_mode(image), "palette"
    if stored == "PA":
        return "RGBA", "palette"
    raise OddPictureError(f"has colour mode {stored}; save it as grey or RGB")


def _palette_mode(image: Image.Image) -> str:
    """RGBA with a transparent entry, L if every entry is grey, else RGB."""
    if "transparency" in image.info:
        return "RGBA"
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return "L" if np.all(palette == palette[:, :1]) else "RGB"


def _to_eight_bits(image: Image.Image, header: Header) -> Image.Image:
    """Any mode that `_target_mode` allows, as the L, LA, RGB or RGBA of its header."""
    if header.source == "16-bit" and image.mode != header.mode:
        deep = np.asarray(image).astype(np.uint32)
        return Image.fromarray((deep >> 8).clip(0, 255).astype(np.uint8))
    if header.source == "float":
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise OddPictureError("holds NaN or infinite values")
        low, high = float(values.min()), float(values.max())
        if low < 0 or high > 1:
            raise OddPictureError(f"holds floats from {low:g} to {high:g}; scale them to 0..1")
        return Image.fromarray(np.rint(values * np.float64(255)).astype(np.uint8))
    return image if image.mode == header.mode else image.convert(header.mode)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    """Another mode, if nothing is lost by it: opaque alpha and colourless colour may go."""
    if image.mode == mode:
        return image
    if image.mode.endswith("A") and not mode.endswith("A"):
        alpha = np.asarray(image.getchannel("A"))
        if alpha.min() < 255:
            raise OddPictureError(f"is partly transparent, and most pictures here are {mode}")
        image = image.convert(image.mode.removesuffix("A"))
    if image.mode.startswith("RGB") and mode.startswith("L"):
        red, green, blue = (np.asarray(image.getchannel(name)) for name in "RGB")
        if not (np.array_equal(red, green) and np.array_equal(green, blue)):
            raise OddPictureError("is in colour, and most pictures here are grey")
        grey = image.getchannel("R")
        alpha_kept = image.mode == "RGBA"
        image = Image.merge("LA", [grey, image.getchannel("A")]) if alpha_kept else grey
    return image if image.mode == mode else image.convert(mode)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
