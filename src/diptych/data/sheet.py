"""The contact sheet: one picture that shows what was found."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diptych.data.dataset import Data, SplitName
from diptych.data.pictures import image_grid, scatter, write_png

__all__ = ["contact_sheet"]

MOST_CLASS_ROWS = 20
MOST_POINTS = 5_000
MOST_WIDTH = 1_600  # pixels
LINE = 18  # height of a line of text, in pixels


def contact_sheet(
    data: Data, path: str | os.PathLike[str], *, split: SplitName = "train", columns: int = 8
) -> Path:
    """Write a PNG of examples from a split.

    Labelled images get a row per class (of the first 20 classes), others as many rows as columns,
    spread evenly over the split. Wide images get fewer columns, so that the sheet fits. Points
    are drawn as a cloud, at most 5,000 of them.

    Args:
        data: what to show.
        path: of the PNG.
        split: which rows to show.
        columns: examples per row, at most.

    Returns:
        The path.

    Raises:
        DataError: the path cannot be written.
    """
    if data.kind == "points":
        points, labels = data.take(split, MOST_POINTS), data.labels_of(split, MOST_POINTS)
        drawn = "" if data.shape[0] <= 2 else ", coordinates 1 and 2"
        return write_png(_titled(scatter(points, labels), _title(data, split) + drawn), Path(path))
    columns = max(1, min(columns, MOST_WIDTH // data.shape[2]))
    if data.labels is None:
        body = image_grid(data.take(split, columns * columns), columns)
    else:
        body = _rows_by_class(data, split, columns)
    shown = " (first of 2 channels)" if data.shape[0] == 2 else ""
    return write_png(_titled(body, _title(data, split) + shown), Path(path))


def _title(data: Data, split: SplitName) -> str:
    shape = " x ".join(str(side) for side in data.shape)
    title = f"{data.name}: {len(data.splits[split]):,} of {len(data.array):,} ({split}), {shape}"
    if data.kind == "images" and data.num_classes > MOST_CLASS_ROWS:
        title += f", {MOST_CLASS_ROWS} of {data.num_classes} classes"
    return title


def _rows_by_class(data: Data, split: SplitName, columns: int) -> Image.Image:
    """A row of examples per class, under its name."""
    assert data.labels is not None
    rows = data.splits[split]
    labels = data.labels[rows]
    strips: list[Image.Image] = []
    for number in np.unique(labels)[:MOST_CLASS_ROWS]:
        own = rows[labels == number]
        chosen = own[np.unique(np.arange(columns) * len(own) // columns)]
        strip = image_grid(np.asarray(data.array[chosen]), columns)
        strips.append(_titled(strip, f"{data.class_names[number]} ({len(own):,})"))
    return _stacked(strips)


def _titled(image: Image.Image, title: str) -> Image.Image:
    """The picture under a line of text; characters the font lacks are replaced."""
    font = ImageFont.load_default()
    text = title.encode("latin-1", "replace").decode("latin-1")
    width = max(image.width, int(font.getlength(text)) + 4)
    sheet = Image.new("RGB", (width, image.height + LINE), "white")
    ImageDraw.Draw(sheet).text((2, 2), text, fill="black", font=font)
    sheet.paste(image, (0, LINE))
    return sheet


def _stacked(images: list[Image.Image]) -> Image.Image:
    """Pictures below one another."""
    sheet = Image.new(
        "RGB", (max(i.width for i in images), sum(i.height for i in images)), "white"
    )
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height
    return sheet
