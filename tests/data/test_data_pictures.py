"""Pictures: pixel-exact grids, alpha over white, contact sheets, and whole files only."""

import numpy as np
import pytest
from PIL import Image

from diptych.data import contact_sheet, image_grid, load_data, scatter, write_png
from diptych.errors import DataError


def test_a_grid_holds_every_pixel_enlarged_and_nothing_else(rng):
    images = rng.integers(0, 256, (5, 3, 4, 3), dtype=np.uint8)
    sheet = np.asarray(image_grid(images, columns=2, gap=3, scale=2))
    assert sheet.shape == (3 * 6 + 2 * 3, 2 * 8 + 3, 3)
    seen = np.zeros(sheet.shape[:2], bool)
    for number, image in enumerate(images):
        top, left = number // 2 * 9, number % 2 * 11
        cell = sheet[top : top + 6, left : left + 8]
        assert np.array_equal(cell, image.repeat(2, axis=0).repeat(2, axis=1))
        seen[top : top + 6, left : left + 8] = True
    assert np.all(sheet[~seen] == 255)


def test_channels_on_a_screen():
    def pixel(*values):
        return image_grid(np.array(values, np.uint8).reshape(1, 1, 1, -1)).getpixel((0, 0))

    assert pixel(7) == (7, 7, 7)
    assert pixel(7, 200) == (7, 7, 7)
    assert pixel(1, 2, 3) == (1, 2, 3)
    assert pixel(1, 2, 3, 255) == (1, 2, 3)
    assert pixel(1, 2, 3, 0) == (255, 255, 255)
    assert pixel(0, 100, 255, 51) == (204, 224, 255)


def test_small_pictures_are_enlarged_and_large_ones_left():
    assert image_grid(np.zeros((1, 28, 28, 1), np.uint8)).size == (84, 84)
    assert image_grid(np.zeros((1, 200, 100, 3), np.uint8)).size == (100, 200)
    assert image_grid(np.zeros((9, 96, 96, 3), np.uint8), gap=0).size == (288, 288)


@pytest.mark.parametrize(
    ("images", "options"),
    [
        (np.zeros((0, 8, 8, 1), np.uint8), {}),
        (np.zeros((2, 8, 8, 1), np.uint8), {"columns": 0}),
        (np.zeros((2, 8, 8, 1), np.uint8), {"scale": 0}),
        (np.zeros((2, 8, 8, 5), np.uint8), {}),
        (np.zeros((2, 8, 8), np.uint8), {}),
        (np.zeros((2, 8, 8, 1), np.float32), {}),
    ],
)
def test_what_cannot_be_drawn(images, options):
    with pytest.raises(DataError) as caught:
        image_grid(images, **options)
    assert caught.value.exit_code == 2


def test_dots_are_where_the_points_are():
    image = scatter(np.array([[0.0, 0.0], [1.0, 1.0], [np.nan, 0.0], [np.inf, 5.0]]), side=100)
    dark = np.argwhere(np.asarray(image).min(axis=2) < 255)
    assert dark.min(axis=0) == pytest.approx([5, 5], abs=2)  # (1, 1) is right and up
    assert dark.max(axis=0) == pytest.approx([95, 95], abs=2)
    assert image.getpixel((95, 5)) != (255, 255, 255) != image.getpixel((5, 95))
    assert image.getpixel((5, 5)) == image.getpixel((95, 95)) == (255, 255, 255)


def test_points_without_extent_or_without_any_finite_one():
    assert scatter(np.zeros((3, 2))).getpixel((320, 320)) != (255, 255, 255)
    assert scatter(np.full((3, 2), np.nan)).getextrema() == ((255, 255),) * 3
    assert scatter(np.arange(5.0)[:, None], side=50).size == (50, 50)
    with pytest.raises(DataError, match="points to draw have shape"):
        scatter(np.zeros((0, 2)))


def test_a_png_is_whole_or_not_there(tmp_path, monkeypatch):
    image = Image.new("RGB", (3, 2), "red")
    path = write_png(image, tmp_path / "new" / "a.png")
    with Image.open(path) as read:
        assert read.size == (3, 2)
    before = path.read_bytes()

    def fail(self, file, format):
        file.write_bytes(b"half")
        raise OSError("disk")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(DataError, match=r"a\.png cannot be written: disk") as caught:
        write_png(image, path)
    assert caught.value.exit_code == 2
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_contact_sheets_of_every_kind_of_data(tmp_path, folder, rng):
    """A smoke test: each is a readable PNG that is not blank."""
    grey = rng.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    many = [
        load_data(folder),
        load_data(grey),
        load_data(rng.integers(0, 256, (30, 8, 9, 2), dtype=np.uint8)),
        load_data("ring", num_points=500),
        load_data(rng.standard_normal((30, 5))),
        load_data(grey, labels=[f"каша {n}" for n in range(30)]),
    ]
    for number, data in enumerate(many):
        path = contact_sheet(data, tmp_path / f"{number}.png")
        with Image.open(path) as sheet:
            assert sheet.convert("L").getextrema()[0] < 128
            assert sheet.width >= 100


def test_a_contact_sheet_of_large_pictures_or_many_classes_stays_handy(tmp_path, rng):
    large = rng.integers(0, 255, (12, 900, 900, 1), dtype=np.uint8)
    with Image.open(contact_sheet(load_data(large), tmp_path / "l.png")) as sheet:
        assert sheet.size[0] <= 1600
    small = rng.integers(0, 255, (600, 48, 48, 1), dtype=np.uint8)
    data = load_data(small, labels=np.arange(600) % 60)
    with Image.open(contact_sheet(data, tmp_path / "m.png")) as sheet:
        assert sheet.size[1] == 20 * (96 + 18) + 18


def test_a_contact_sheet_shows_the_rows_of_its_split(tmp_path, rng):
    data = load_data(rng.integers(0, 255, (30, 96, 96, 3), dtype=np.uint8))
    with Image.open(contact_sheet(data, tmp_path / "s.png", split="test", columns=2)) as sheet:
        body = np.asarray(sheet)[18:, :]
    assert np.array_equal(body[:96, :96], data.take("test")[0])
