"""Pictures as data URIs, and the geometry of the grids they hold.

A grid is kept at its native resolution, one pixel per pixel, with the gaps made transparent; the
page enlarges it by a whole factor without smoothing. Only a grid too heavy for a page that is
sent by mail is re-encoded.
"""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

__all__ = ["Grid", "Picture", "inline", "scale_for", "strip"]

GAP = 2
"""Pixels between two pictures of a grid."""

HEAVY = 400_000
"""Bytes above which a picture is re-encoded as WebP, so that the page stays below 5 MB."""

TARGET_PIXELS = 60
"""About how wide one picture should stand on the screen, in CSS pixels."""


@dataclass(frozen=True)
class Grid:
    """Where the pictures of a grid lie: `columns` x `rows` cells, and a margin of 0 or `GAP`."""

    columns: int
    rows: int
    margin: int


@dataclass(frozen=True)
class Picture:
    """One picture of the page: its data URI, its size in pixels, its grid if it is one."""

    uri: str
    width: int
    height: int
    grid: Grid | None

    @property
    def lossy(self) -> bool:
        """Whether the picture was too heavy to be kept pixel for pixel."""
        return self.uri.startswith("data:image/webp")


def scale_for(cell: tuple[int, int] | None) -> float:
    """The factor by which every grid of a page is enlarged, the same for all members.

    Small pictures are enlarged by a whole factor; only those about twice too wide are reduced.
    """
    if cell is None:
        return 1
    factor = round(TARGET_PIXELS / cell[1])
    return factor if factor >= 1 else 1 / round(cell[1] / TARGET_PIXELS)


def inline(
    path: Path | None, cell: tuple[int, int] | None = None, *, corner: int | None = None
) -> Picture | None:
    """Read a picture for the page; None if it is absent or cannot be read.

    Args:
        path: a PNG file, or None.
        cell: height and width in pixels of each picture in the grid, or None if it is no grid.
        corner: take only the upper left `corner` x `corner` pictures of a grid.
    """
    if path is None:
        return None
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
            grid = _grid(image.size, cell) if cell else None
            if grid is None or cell is None:
                return _picture(image, content, None)
            part: Image.Image = image
            if corner is not None:
                grid, part = _corner(image, grid, cell, corner)
            clear = _clear_gaps(part, grid, cell)
            return _picture(clear, _encode(clear, "PNG"), grid)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def strip(
    directory: Path, cell: tuple[int, int] | None, *, pictures: int = 5, side: int = 3
) -> list[tuple[int, Picture]]:
    """The periodic grids of a run, thinned to a few: (images seen, picture) in order.

    The first and the last are kept and those between are denser at the beginning, where training
    changes most. Only the upper left `side` x `side` pictures of each are taken.
    """
    found: dict[int, Path] = {}
    for path in sorted(directory.glob("*.png")):
        numbers = re.findall(r"\d+", path.stem)
        if numbers:
            found[int(numbers[-1])] = path
    strip = []
    for images in _spread(sorted(found), pictures):
        picture = inline(found[images], cell, corner=side)
        if picture is not None:
            strip.append((images, picture))
    return strip


def _spread(values: list[int], count: int) -> list[int]:
    """At most `count` of `values`, first and last included, denser towards the first."""
    if len(values) <= count:
        return values
    places = {round((len(values) - 1) * (i / (count - 1)) ** 2) for i in range(count)}
    for place in range(count):  # short lists: rounding made two places one
        if len(places) < count:
            places.add(place)
    return [values[i] for i in sorted(places)]


def _corner(
    image: Image.Image, grid: Grid, cell: tuple[int, int], side: int
) -> tuple[Grid, Image.Image]:
    """The upper left `side` x `side` pictures of a grid, without a margin."""
    columns, rows = min(side, grid.columns), min(side, grid.rows)
    right = grid.margin + columns * (cell[1] + GAP) - GAP
    below = grid.margin + rows * (cell[0] + GAP) - GAP
    return Grid(columns, rows, 0), image.crop((grid.margin, grid.margin, right, below))


def _picture(image: Image.Image, content: bytes, grid: Grid | None) -> Picture:
    mime = "image/png"
    light = image if image.mode in ("RGB", "RGBA") else image.convert("RGBA")
    for quality in (85, 65, 45):
        if len(content) > HEAVY:
            content, mime = _encode(light, "WEBP", quality=quality), "image/webp"
    uri = f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
    return Picture(uri, image.width, image.height, grid)


def _clear_gaps(image: Image.Image, grid: Grid, cell: tuple[int, int]) -> Image.Image:
    """The same pictures with nothing between them: the board shows through, light or dark."""
    coloured = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
    clear = Image.new(coloured.mode, coloured.size)
    for row in range(grid.rows):
        for column in range(grid.columns):
            left = grid.margin + column * (cell[1] + GAP)
            top = grid.margin + row * (cell[0] + GAP)
            clear.paste(coloured.crop((left, top, left + cell[1], top + cell[0])), (left, top))
    return clear


def _encode(image: Image.Image, form: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _grid(size: tuple[int, int], cell: tuple[int, int]) -> Grid | None:
    """Find columns, rows and margin from the picture's size; None if it is no grid of such cells.

    Without a margin n cells take n (cell + gap) - gap pixels, with one n (cell + gap) + gap.
    """
    for margin in (0, GAP):
        columns, column_rest = divmod(size[0] + GAP - 2 * margin, cell[1] + GAP)
        rows, row_rest = divmod(size[1] + GAP - 2 * margin, cell[0] + GAP)
        if columns > 0 and rows > 0 and column_rest == row_rest == 0:
            return Grid(columns, rows, margin)
    return None
