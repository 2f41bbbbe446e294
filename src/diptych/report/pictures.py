"""Pictures as data URIs, and the geometry of the grids they hold.

A grid is kept at its native resolution, one pixel per pixel, with the gaps made transparent; the
page enlarges it by a whole factor without smoothing. Only a grid too heavy for a page that is
sent by mail is re-encoded.
"""

import base64
import io
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from diptych.report.reading import safe_path

__all__ = ["Album", "Grid", "Picture", "scale_for"]

GAP = 2
"""Pixels between two pictures of a grid."""

HEAVY = 400_000
"""Bytes above which a picture is re-encoded as WebP, so that the page stays light."""

TOGETHER = 1_600_000
"""Bytes above which pictures of one kind, one of each recipe, are re-encoded."""

TARGET_PIXELS = 60
"""About how wide one picture should stand on the screen, in CSS pixels."""

LARGEST_FILE = 20_000_000
"""Bytes of a picture's file beyond which it is left out."""

LARGEST_PICTURE = 40_000_000
"""Pixels beyond which a picture is left out, whatever its file's size: a bomb when unpacked."""


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


@dataclass
class Album:
    """The pictures of one study; it remembers what had to be left out and why.

    Attributes:
        directory: of the study; nothing outside it is opened.
        cell: height and width in pixels of the data's pictures, None where they are plots.
        sheets: how many recipes share the page: of many, each gets less of it.
        notes: sentences about pictures that were left out.
    """

    directory: Path
    cell: tuple[int, int] | None
    sheets: int = 1
    notes: list[str] = field(default_factory=list)

    def picture(
        self, relative: str | None, *, corner: int | None = None, heavy: int | None = None
    ) -> Picture | None:
        """Read a picture for the page; None if it is not named, absent or cannot be used.

        Args:
            relative: a PNG file, relative to the study.
            corner: take only the upper left `corner` x `corner` pictures of a grid.
            heavy: bytes above which it is re-encoded; `HEAVY`, or its share of `TOGETHER`, if not
                given.
        """
        path = safe_path(self.directory, relative)
        if path is None:
            if relative:
                self._note(f"{relative} is not in the study.")
            return None
        try:
            if path.stat().st_size > LARGEST_FILE:
                self._note(f"{relative} is larger than {LARGEST_FILE // 10**6} MB: left out.")
                return None
            content = path.read_bytes()
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                picture = self._read(content, corner, self._heavy if heavy is None else heavy)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            self._note(
                f"{relative} has more than {LARGEST_PICTURE // 10**6} million pixels: left out."
            )
            return None
        except (OSError, ValueError, SyntaxError, MemoryError):
            self._note(f"{relative} is not a PNG picture that can be read.")
            return None
        return picture

    @property
    def _heavy(self) -> int:
        return min(HEAVY, TOGETHER // max(1, self.sheets))

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _read(self, content: bytes, corner: int | None, heavy: int) -> Picture:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.width * image.height > LARGEST_PICTURE:
                raise Image.DecompressionBombError
            image.load()
            grid = _grid(image.size, self.cell) if self.cell else None
            if grid is None or self.cell is None:
                return _picture(image, _encode(image, "PNG"), None, heavy)
            part: Image.Image = image
            if corner is not None:
                grid, part = _corner(image, grid, self.cell, corner)
            clear = _clear_gaps(part, grid, self.cell)
            return _picture(clear, _encode(clear, "PNG"), grid, heavy)

    def frames(self, member: str, *, most: int = 13, corner: int = 4) -> list[tuple[int, Picture]]:
        """The periodic grids of a run, thinned to at most `most`: (images seen, picture) in order.

        The first and the last are kept and those between are denser at the beginning, where
        training changes most. Only the upper left `corner` x `corner` pictures of each are taken.
        """
        folder = self.directory / member / "samples"
        if not _inside(folder, self.directory):
            return []
        found: dict[int, Path] = {}
        for path in sorted(folder.glob("*.png")):
            numbers = re.findall(r"[0-9]+", path.stem)
            if numbers and len(numbers[-1]) < 18:
                found[int(numbers[-1])] = path
        frames = []
        for images in _spread(sorted(found), most):
            name = found[images].relative_to(self.directory).as_posix()
            picture = self.picture(name, corner=corner, heavy=HEAVY // 10)
            if picture is not None:
                frames.append((images, picture))
        return frames


def _inside(folder: Path, directory: Path) -> bool:
    try:
        return folder.resolve().is_relative_to(directory.resolve())
    except (OSError, ValueError, RuntimeError):
        return False


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


def _picture(image: Image.Image, content: bytes, grid: Grid | None, heavy: int) -> Picture:
    mime = "image/png"
    light = image if image.mode in ("RGB", "RGBA") else image.convert("RGBA")
    for quality in (85, 50, 20):
        if len(content) > heavy:
            content, mime = _encode(light, "WEBP", quality=quality, method=2), "image/webp"
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
