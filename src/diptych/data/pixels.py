"""Arrays of any usual layout and type to uint8 (N, H, W, C), without guessing in silence."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diptych.errors import DataError

__all__ = ["CHUNK", "Layout", "Scale", "choose_scale", "images_to_uint8", "layout_of", "to_nhwc"]

CHUNK = 1024  # rows worked on at a time, so that memory stays bounded

Layout = Literal["NHW", "NHWC", "NCHW"]


@dataclass(frozen=True, eq=False)
class Scale:
    """How values become 0..255, and the note that says so (empty when nothing changes)."""

    apply: Callable[[NDArray[Any]], NDArray[np.uint8]]
    note: str = ""


def layout_of(shape: tuple[int, ...], where: str) -> Layout:
    """Tell which axes are height, width and channels.

    Args:
        shape: of the whole array; 1 to 4 channels are allowed, first or last.
        where: what the error calls the array.

    Raises:
        DataError: the shape is not one of pictures, or can be read in two ways.
    """
    asked = "give (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 to 4 channels"
    if 0 in shape:
        raise DataError(f"{where} has shape {shape}, so it is empty; {asked}.")
    if len(shape) == 3:
        if shape[2] <= 4:
            raise DataError(
                f"{where} has shape {shape}, which looks like one picture (H, W, C); {asked}."
            )
        return "NHW"
    if len(shape) != 4:
        raise DataError(f"{where} has shape {shape}, which is not one of pictures; {asked}.")
    first, last = shape[1] <= 4, shape[3] <= 4
    if first and last:
        raise DataError(
            f"{where} has shape {shape}, and its channels could be the second axis or the last; "
            "give pictures wider than 4 pixels, or drop a single channel to (N, H, W)."
        )
    if not first and not last:
        raise DataError(f"{where} has shape {shape}, so no axis can be 1 to 4 channels; {asked}.")
    return "NHWC" if last else "NCHW"


def to_nhwc(images: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """A view of pictures of any layout as (N, H, W, C)."""
    if layout == "NHW":
        return images[..., None]
    return images if layout == "NHWC" else np.moveaxis(images, 1, -1)


def choose_scale(images: NDArray[Any], where: str) -> Scale:
    """Look at every value and choose how they become 8 bits.

    | type | values | becomes |
    |---|---|---|
    | bool, integers | only 0 and 1 | 0 and 255 |
    | integers | 0..255 | the same |
    | uint16 | above 255 | value >> 8 |
    | floats | 0..1 | round(255 value) |

    Raises:
        DataError: any other range or type, or a value that is not a finite number.
    """
    kind = images.dtype.kind
    if kind == "b":
        return Scale(_from_unit, "true and false were read as white and black")
    if kind not in "uif":
        raise DataError(f"{where} holds values of type {images.dtype}; numbers are needed.")
    low, high = _range(images, where)
    if kind == "f":
        if low >= 0 and high <= 1:
            return Scale(_from_unit, "floats in 0..1 were scaled to 0..255")
        remedy = "scale them to 0..1, for example with (x - x.min()) / (x.max() - x.min())"
        if -1 <= low < 0 and high <= 1:
            remedy = "if they lie in -1..1, give (x + 1) / 2"
        elif low >= 0 and high <= 255:
            remedy = "if they lie in 0..255, give x / 255"
        raise DataError(
            f"{where} holds floats from {low:g} to {high:g}, and 0 to 1 was expected; {remedy}."
        )
    if low >= 0 and high <= 1:
        return Scale(_from_unit, "the only values are 0 and 1, read as black and white")
    if images.dtype == np.uint8:
        return Scale(_same)
    if low >= 0 and high <= 255:
        return Scale(_same, f"{images.dtype} values within 0..255 were stored in 8 bits")
    if images.dtype == np.uint16:
        return Scale(_high_byte, "16-bit values were reduced to 8 bits (value >> 8)")
    raise DataError(
        f"{where} holds {images.dtype} values from {low:g} to {high:g}, and 0 to 255 was "
        "expected; give uint8, uint16, or floats in 0..1."
    )


def images_to_uint8(images: NDArray[Any]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Pictures in any layout and type as uint8 (N, H, W, C) in 0..255, and notes of what changed.

    Args:
        images: (N, H, W), (N, H, W, C) or (N, C, H, W), C in 1..4; bool, integers in 0..255,
            uint16, or floats in 0..1.

    Raises:
        DataError: the shape or the values are not those of pictures.
    """
    layout = layout_of(images.shape, "the array")
    scale = choose_scale(images, "the array")
    notes = tuple(note for note in (layout_note(layout), scale.note) if note)
    return np.ascontiguousarray(scale.apply(to_nhwc(images, layout))), notes


def layout_note(layout: Layout) -> str:
    """What is said of an array whose channels had to be moved; empty otherwise."""
    return "channels were moved from the second axis to the last" if layout == "NCHW" else ""


def _range(images: NDArray[Any], where: str) -> tuple[float, float]:
    """Smallest and largest value; raises for the first row that holds NaN or an infinity."""
    low, high = np.inf, -np.inf
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        if chunk.dtype.kind == "f" and not (finite := np.isfinite(chunk)).all():
            broken = ~finite.reshape(len(chunk), -1).all(axis=1)
            raise DataError(
                f"{where} holds NaN or infinite values, the first of them in row "
                f"{start + int(np.argmax(broken))}; remove or repair such rows."
            )
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
    return low, high


def _same(values: NDArray[Any]) -> NDArray[np.uint8]:
    return values.astype(np.uint8, copy=False)


def _high_byte(values: NDArray[Any]) -> NDArray[np.uint8]:
    return (values >> 8).astype(np.uint8)


def _from_unit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values in 0..1 to 0..255, rounded to nearest."""
    return np.rint(values * np.float64(255)).astype(np.uint8)
