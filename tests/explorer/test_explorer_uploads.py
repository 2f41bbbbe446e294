"""Pictures of strangers: what is taken, how it is brought to a model, and what is refused."""

import base64
import io
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from diptych import load_data
from diptych.errors import DataError
from diptych.explorer import uploads
from diptych.explorer.uploads import fit_upload, read_upload
from diptych.training.batches import images_from_bytes

RNG = np.random.default_rng(3)
COLOUR = RNG.integers(0, 256, (30, 20, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (24, 24), dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return (
        len(content).to_bytes(4, "big") + name + content
        + zlib.crc32(name + content).to_bytes(4, "big")
    )  # fmt: skip


def bomb(side: int) -> bytes:
    """A few bytes that say they are an enormous grey PNG."""
    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_it_is_decoded_as_training_data_are(mode, form, tmp_path) -> None:
    """The same bytes as `load_data` makes of a folder with this very file."""
    image = Image.fromarray(COLOUR).resize((40, 40)).convert(mode)
    content = encoded(image, form, **({"lossless": True} if form == "WEBP" else {}))
    upload = read_upload(content)
    assert upload.notes == ()
    suffix = form.lower()
    (tmp_path / f"a.{suffix}").write_bytes(content)
    data = load_data(tmp_path, size=16, split=False)
    pixels, notes = fit_upload(upload, data.shape)
    assert np.array_equal(pixels, data.array[0])
    assert notes == ("40 x 40 pixels were resized to 16 x 16",)


def test_a_jpeg_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upload = read_upload(encoded(COLOUR, "JPEG", exif=exif))
    assert upload.image.size == (30, 20)


def test_what_a_model_does_not_know_is_given_up_and_told() -> None:
    pixels, notes = fit_upload(read_upload(encoded(COLOUR)), (1, 12, 12))
    assert pixels.shape == (12, 12, 1)
    assert "its colours became grey, which is all that the model knows" in notes
    assert "its middle was cut out" in notes
    clear = np.zeros((12, 12, 4), np.uint8)
    pixels, notes = fit_upload(read_upload(encoded(clear)), (3, 12, 12))
    assert (pixels == 255).all()
    assert notes == ("its transparent parts were laid over white",)
    pixels, notes = fit_upload(read_upload(encoded(clear)), (1, 12, 12))
    assert pixels.shape == (12, 12, 1)
    assert (pixels == 255).all()


def test_what_loses_nothing_needs_no_word() -> None:
    for channels, picture in (
        (1, np.dstack([GREY] * 3)),
        (3, GREY),
        (4, np.dstack([GREY] * 3)),
        (2, GREY),
        (1, np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])),
    ):
        pixels, notes = fit_upload(read_upload(encoded(picture)), (channels, 24, 24))
        assert notes == ()
        assert pixels.shape == (24, 24, channels)
        assert np.array_equal(pixels[..., 0], GREY)
        if channels in (2, 4):
            assert (pixels[..., -1] == 255).all()


def test_the_first_of_an_animation_is_taken() -> None:
    frames = [Image.fromarray(np.full((12, 12, 3), level, np.uint8)) for level in (40, 200)]
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        content = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
        upload = read_upload(content)
        assert upload.notes == ("it holds 2 pictures, and the first was taken",)
        assert (np.asarray(upload.image) == 40).all()


def test_sixteen_bits_are_reduced_and_told() -> None:
    upload = read_upload(encoded(GREY.astype(np.uint16) * 257))
    assert upload.notes == ("it is stored as 16-bit and was brought to 8 bits",)
    assert np.array_equal(np.asarray(upload.image), GREY)


BAD = {
    "nothing": (b"", "empty"),
    "text": (b"I am a picture, says my name", "no PNG, JPEG or WebP"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no PNG, JPEG or WebP"),
    "gif": (encoded(GREY, "GIF"), "no PNG, JPEG or WebP"),
    "tiff": (encoded(GREY, "TIFF"), "no PNG, JPEG or WebP"),
    "cut short": (encoded(COLOUR)[:700], "damaged or cut short"),
    "cut short jpeg": (encoded(COLOUR, "JPEG")[:-100], "damaged or cut short"),
    "head alone": (b"\x89PNG\r\n\x1a\n", "is not a PNG"),
    "jpeg head alone": (b"\xff\xd8\xff\xe0", "is not a PNG"),
    "broken": (encoded(GREY)[:60] + b"\0" * 40 + encoded(GREY)[100:], "damaged"),
    "cmyk": (encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "colour mode CMYK"),
    "large": (bomb(5_000), "at most 16 million"),
    "larger": (bomb(12_000), "million pixels"),
    "bomb": (bomb(60_000), "million pixels"),
    "heavy": (b"\x89PNG\r\n\x1a\n" + b"x" * (5 << 20), "more than 5 MiB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_a_sentence(name, client) -> None:
    content, words = BAD[name]
    with pytest.raises(DataError, match=words) as refusal:
        read_upload(content)
    assert "\n" not in str(refusal.value)
    answer = client.post("/api/uploads", files={"picture": ("holiday.png", content, "image/png")})
    assert answer.status_code == 422
    assert answer.json() == {"error": str(refusal.value)}


def test_nothing_is_decoded_beyond_the_limit(monkeypatch) -> None:
    def decode(*_) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(uploads, "decode", decode)
    with pytest.raises(DataError, match="16 million"):
        read_upload(bomb(4_001))


def test_no_file_is_left_behind(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    read_upload(encoded(GREY))
    with pytest.raises(DataError):
        read_upload(encoded(COLOUR)[:700])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "request_",
    [
        {"content": b"x"},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        {"data": {"picture": "text"}, "files": {"other": ("a", b"x")}},
        {"files": [("picture", ("a", b"x")), ("picture", ("b", b"y"))]},
        {"files": {"other": ("a", b"x")}},
    ],
)
def test_a_malformed_form_gets_a_sentence(request_, client) -> None:
    answer = client.post("/api/uploads", **request_)
    assert answer.status_code == 400, answer.text
    assert "the field `picture`" in answer.json()["error"]


def test_uploaded_then_found(client, exhibits, cells) -> None:
    answer = client.post("/api/uploads", files={"picture": ("x", encoded(GREY))}).json()
    pixels, notes = fit_upload(read_upload(encoded(GREY)), (1, 12, 12))
    assert answer["models"][0]["notes"] == list(notes)
    for model in answer["models"]:
        shown = cells(base64.b64decode(model["picture"]), 1)[0]
        assert np.array_equal(shown[..., :1], pixels)
    job = client.post("/api/models/0/find", json={"upload": answer["upload"]}).json()["job"]
    while (seen := client.get(f"/api/jobs/{job}").json())["state"] != "done":
        assert seen["state"] in ("waiting", "working")
    images = images_from_bytes(torch.from_numpy(pixels[None]))
    codes = exhibits[0].model.find_codes(images)
    assert torch.equal(torch.tensor(seen["result"]["codes"]), codes)


def test_old_uploads_are_forgotten(client) -> None:
    names = [
        client.post("/api/uploads", files={"picture": ("x", encoded(GREY))}).json()["upload"]
        for _ in range(5)
    ]
    found = [
        client.post("/api/models/0/find", json={"upload": name}).status_code for name in names
    ]
    assert found == [404, 202, 202, 202, 202]
