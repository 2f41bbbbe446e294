"""Folders of pictures: what is read exactly, what is converted and said, what is refused."""

import io
import os
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from diptych.data import load_data
from diptych.errors import DataError


def refusal(folder, **options):
    with pytest.raises(DataError) as caught:
        load_data(folder, **options)
    assert caught.value.exit_code == 2
    return str(caught.value)


def many(folder, save, count=12, **how):
    for number in range(count):
        save(folder / f"{number:02}.png", **how)
    return folder


def test_pixels_labels_and_order_are_those_of_the_files(folder):
    data = load_data(folder)
    paths = sorted(folder.glob("*/*.png"))
    assert np.array_equal(data.array, [np.asarray(Image.open(path)) for path in paths])
    assert data.class_names == ("a", "b")
    assert data.labels.tolist() == [0] * 10 + [1] * 10
    assert data.shape == (3, 8, 8)
    assert data.notes == ()
    assert isinstance(data.array, np.memmap)
    assert not data.array.flags.writeable


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff", "TIF", "bmp"])
def test_lossless_formats_round_trip(tmp_path, rng, suffix):
    pixels = rng.integers(0, 256, (12, 6, 9, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        options = {"lossless": True} if suffix == "webp" else {}
        Image.fromarray(picture).save(tmp_path / f"{number:02}.{suffix}", **options)
    assert np.array_equal(load_data(tmp_path).array, pixels)


def test_jpeg_is_read_and_turned_upright(tmp_path):
    ramp = np.repeat(
        np.arange(0, 256, 16, dtype=np.uint8)[None], 8, axis=0
    )  # brighter to the right
    for number in range(12):
        exif = Image.Exif()
        exif[0x0112] = 6  # to be shown turned clockwise by a quarter
        Image.fromarray(ramp + number).save(tmp_path / f"{number:02}.jpg", exif=exif, quality=95)
    data = load_data(tmp_path)
    assert data.shape == (1, 16, 8)
    assert np.abs(data.array[0, :, 0, 0].astype(int) - ramp[0]).max() <= 4


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_one_to_four_channels(tmp_path, save, mode):
    assert load_data(many(tmp_path / "p", save, mode=mode)).shape[0] == len(mode)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_keep_their_high_byte(tmp_path, rng, suffix):
    deep = rng.integers(0, 65536, (12, 8, 8), dtype=np.uint16)
    for number, picture in enumerate(deep):
        Image.fromarray(picture).save(tmp_path / f"{number:02}.{suffix}")
    data = load_data(tmp_path)
    assert np.array_equal(data.array[..., 0], deep >> 8)
    assert data.notes == ("12 16-bit pictures were reduced to 8 bits",)


def png_chunk(kind, content):
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def test_sixteen_bit_colour_keeps_its_high_bytes(tmp_path, rng):
    deep = rng.integers(0, 65536, (12, 4, 5, 3), dtype=np.uint16)
    header = struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)
    for number, picture in enumerate(deep):
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in picture)
        (tmp_path / f"{number:02}.png").write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", header)
            + png_chunk(b"IDAT", zlib.compress(rows))
            + png_chunk(b"IEND", b"")
        )
    data = load_data(tmp_path)
    assert np.array_equal(data.array, deep >> 8)
    assert data.notes == ("12 16-bit pictures were reduced to 8 bits",)


def test_float_tiff_is_scaled_and_its_faults_are_named(tmp_path, rng):
    floats = rng.random((14, 8, 8), dtype=np.float32)
    floats[12, 0, 0], floats[13, 0, 0] = 7.5, np.nan
    for number, picture in enumerate(floats):
        Image.fromarray(picture).save(tmp_path / f"{number:02}.tif")
    message = refusal(tmp_path)
    assert "12.tif: holds floats from" in message
    assert "to 7.5; scale them to 0..1" in message
    assert "13.tif: holds NaN" in message
    data = load_data(tmp_path, skip_bad=True)
    assert np.array_equal(data.array[..., 0], np.rint(floats[:12] * 255.0))


def test_palette_and_one_bit_pictures_are_written_out(tmp_path, rng):
    for number in range(12):
        flags = Image.fromarray(rng.integers(0, 2, (8, 8), dtype=np.uint8) * 255)
        flags.convert("1").save(tmp_path / f"{number:02}.png")
    data = load_data(tmp_path)
    assert data.is_binary
    assert data.shape == (1, 8, 8)
    assert "12 1-bit pictures" in data.notes[0]


def test_colour_palettes_become_rgb_and_grey_palettes_grey(tmp_path, rng):
    index = rng.integers(0, 4, (12, 8, 8), dtype=np.uint8)
    for name, palette, channels in (
        ("colour", [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255], 3),
        ("grey", [0, 0, 0, 9, 9, 9, 99, 99, 99, 255, 255, 255], 1),
    ):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(index):
            image = Image.fromarray(picture)
            image.putpalette(palette)
            assert image.mode == "P"
            image.save(tmp_path / name / f"{number:02}.png")
        data = load_data(tmp_path / name)
        colours = np.reshape(palette, (4, 3))[:, :channels]
        assert np.array_equal(data.array, colours[index])
        assert data.notes == ("12 palette pictures were written out in full",)


def test_the_few_are_converted_to_the_many_only_without_loss(tmp_path, save):
    many(tmp_path, save, mode="RGB")
    save(tmp_path / "grey.png", mode="L")
    Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(tmp_path / "opaque.png")
    data = load_data(tmp_path)
    assert data.shape[0] == 3
    assert data.notes == (
        "1 L pictures were converted to RGB without loss",
        "1 RGBA pictures were converted to RGB without loss",
    )
    save(tmp_path / "glass.png", mode="RGBA")
    assert "glass.png: is partly transparent, and most pictures here are RGB" in refusal(tmp_path)


def test_colour_among_grey_is_named_unless_it_is_colourless(tmp_path, save):
    many(tmp_path, save, mode="L")
    Image.new("RGB", (8, 8), (5, 5, 5)).save(tmp_path / "same.png")
    assert load_data(tmp_path).shape[0] == 1
    save(tmp_path / "red.png", mode="RGB")
    assert "red.png: is in colour, and most pictures here are grey" in refusal(tmp_path)


def test_every_unusable_file_is_named_with_its_reason(folder, save):
    (folder / "a" / "empty.png").write_bytes(b"")
    (folder / "a" / "text.jpg").write_text("hello")
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(buffer, "PNG")
    (folder / "a" / "zcut.png").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    Image.new("CMYK", (8, 8)).save(folder / "a" / "print.jpg")
    good = (folder / "a" / "00.png").read_bytes()
    (folder / "a" / "half.png").write_bytes(good[: len(good) - 30])
    (folder / "b" / "gone.png").symlink_to(folder / "nowhere.png")
    save(folder / "b" / "wide.png", size=(9, 8))
    message = refusal(folder)
    assert message.startswith(f"7 of 27 pictures in {folder} cannot be used:\n")
    for line in (
        "a/empty.png: is empty",
        "a/text.jpg: is not a PNG, JPEG, WebP, TIFF or BMP picture, or is damaged",
        "a/zcut.png: is 64 x 64, and most are 8 x 8 (height x width)",
        "a/print.jpg: has colour mode CMYK; save it as grey or RGB",
        "a/half.png: is damaged or cut short",
        "b/gone.png: is a link to a file that is not there",
        "b/wide.png: is 8 x 9, and most are 8 x 8 (height x width)",
    ):
        assert f"\n  {line}" in message
    assert "--size N brings all pictures to one size" in message
    assert "--skip-bad" in message
    clean = load_data(folder, skip_bad=True)
    assert len(clean.array) == len(clean.labels) == 20
    assert "7 unusable pictures were left out: a/empty.png is empty" in clean.notes[0]


def test_ten_files_are_named_and_the_rest_counted(folder):
    for number in range(13):
        (folder / f"bad{number:02}.png").write_bytes(b"")
    message = refusal(folder)
    assert message.count(": is empty") == 10
    assert "and 3 more" in message


def test_only_unusable_files_are_refused_even_when_skipping(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    assert "1 of 1 pictures" in refusal(tmp_path, skip_bad=True)


def test_size_resizes_with_antialiasing(tmp_path):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255  # without antialiasing a fourfold reduction would be black or white
    for number in range(12):
        Image.fromarray(stripes // 255 * (255 - number)).save(tmp_path / f"{number:02}.png")
    data = load_data(tmp_path, size=16)
    assert data.shape == (1, 16, 16)
    middle = (255 - np.arange(12)[:, None, None, None]) / 2
    assert np.abs(data.array[:, 2:-2, 2:-2] - middle).max() <= 2
    assert data.notes == ("12 pictures were resized to 16 x 16",)


def test_another_aspect_needs_crop_which_takes_the_middle(tmp_path):
    wide = np.zeros((8, 24), np.uint8)
    for number in range(12):
        wide[:, 8:16] = 200 + number
        Image.fromarray(wide).save(tmp_path / f"{number:02}.png")
    message = refusal(tmp_path, size=8)
    assert "00.png: is 8 x 24, whose aspect is not that of 8 x 8" in message
    assert "--crop cuts the middle out" in message
    data = load_data(tmp_path, size=8, crop=True)
    assert np.all(data.array == 200 + np.arange(12)[:, None, None, None])
    assert load_data(tmp_path, size=(4, 12)).shape == (1, 4, 12)


def test_a_two_percent_aspect_is_close_enough(tmp_path, save):
    assert load_data(many(tmp_path, save, size=(101, 100)), size=10).shape == (3, 10, 10)


@pytest.mark.parametrize("size", [0, -3, (8, 0), (8, 8, 8), 3.5, True])
def test_sizes_that_are_none(folder, size):
    assert "it must be one positive number of pixels" in refusal(
        folder, size=(size,) if isinstance(size, float) else size
    )


def test_crop_without_size(folder):
    assert "crop was asked for without a size" in refusal(folder, crop=True)


def test_hidden_files_are_ignored_and_others_named(folder):
    (folder / ".hidden.png").write_bytes(b"")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.png").write_bytes(b"")
    (folder / "readme.txt").write_text("hello")
    assert load_data(folder).notes == ("1 file that is no picture was ignored: readme.txt",)


def test_a_link_that_leads_back_up_ends(folder):
    (folder / "a" / "up").symlink_to(folder, target_is_directory=True)
    data = load_data(folder)
    assert len(data.array) == 20
    assert "were not followed" in data.notes[0]


def test_loose_pictures_beside_folders_give_no_labels(folder, save):
    save(folder / "loose.png")
    data = load_data(folder)
    assert data.labels is None
    assert data.notes == ("1 pictures lie in no sub-folder, so there are no labels",)


@pytest.mark.parametrize("validation", [None, "val", "validation"])
def test_folders_called_train_and_test_are_splits(tmp_path, save, validation):
    for split, count in {"train": 20, "test": 4, validation: 3}.items():
        for number in range(count if split else 0):
            save(tmp_path / split / "xy"[number % 2] / f"{number:02}.png")
    data = load_data(tmp_path)
    assert data.class_names == ("x", "y")
    assert len(data.splits["test"]) == 4
    assert len(data.splits["validation"]) == (3 if validation else 2)
    files = [path for path in sorted(tmp_path.rglob("*.png")) if "test" in path.parts]
    assert np.array_equal(data.take("test"), [np.asarray(Image.open(path)) for path in files])


def test_training_pictures_that_are_also_test_pictures_are_counted(tmp_path, save):
    for number in range(12):
        save(tmp_path / "train" / f"{number:02}.png")
    (tmp_path / "test").mkdir()
    for name in ("03.png", "05.png"):
        shutil.copy(tmp_path / "train" / name, tmp_path / "test" / name)
    assert load_data(tmp_path).notes == (
        "2 rows outside the given test split are exact copies of rows in it",
    )


def test_no_pictures_and_no_such_folder(tmp_path):
    (tmp_path / "table.csv").write_text("1,2")
    assert "holds no PNG, JPEG, WebP, TIFF or BMP pictures; it holds table.csv" in refusal(
        tmp_path
    )
    assert "is neither a file or folder here nor a data set" in refusal(tmp_path / "nowhere")
    assert "'' is neither a file" in refusal("")
    assert "Did you mean fashion-mini?" in refusal("fashon-mini")


def test_one_picture_one_strange_file_and_labels_for_a_folder(folder):
    assert "is a single picture" in refusal(folder / "a" / "00.png")
    (folder / "data.parquet").write_bytes(b"PAR1....")
    assert "is no data file that Diptych reads" in refusal(folder / "data.parquet")
    assert "brings its own labels" in refusal(folder, labels=[1, 2])


def test_an_orientation_in_png_is_obeyed_and_one_at_the_end_is_refused(tmp_path, save):
    many(tmp_path, save, count=11, mode="L", size=(6, 9))
    exif = Image.Exif()
    exif[0x0112] = 8
    lying = Image.fromarray(np.arange(54, dtype=np.uint8).reshape(6, 9))
    lying.save(tmp_path / "lying.png", exif=exif)
    data = load_data(tmp_path)
    assert np.array_equal(data.array[-1, ..., 0], np.rot90(np.asarray(lying)))
    content = (tmp_path / "lying.png").read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    moved = content[:start] + content[end:-12] + content[start:end] + content[-12:]
    Image.fromarray(np.zeros((9, 6), np.uint8)).save(tmp_path / "lying.png")
    (tmp_path / "late.png").write_bytes(moved)
    assert "late.png: is" in refusal(tmp_path)
    for name in tmp_path.glob("[01]*.png"):
        name.unlink()
    (tmp_path / "lying.png").unlink()
    for number in range(12):
        (tmp_path / f"late{number}.png").write_bytes(moved)
    assert "late.png: is turned by metadata at its end" in refusal(tmp_path)


def test_a_camera_file_of_several_frames_is_a_jpeg(tmp_path, save):
    many(tmp_path, save, count=11)
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "mpo.jpg", format="MPO", save_all=True, append_images=frames[1:])
    data = load_data(tmp_path)
    assert data.array[-1, 4, 4, 0] > 250
    assert "1 file holds several pictures" in data.notes[0]


def test_a_multi_page_file_gives_its_first_page(tmp_path, save):
    many(tmp_path, save, count=11, mode="L")
    pages = [Image.new("L", (8, 8), value) for value in (10, 20)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    data = load_data(tmp_path)
    assert np.all(data.array[-1] == 10)
    assert data.notes == ("1 file holds several pictures; the first of each was used",)


def test_request_gives_the_same_data_from_elsewhere(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder.parent)
    data = load_data("pictures", size=4)
    monkeypatch.chdir(os.sep)
    assert load_data(**data.request).fingerprint == data.fingerprint
