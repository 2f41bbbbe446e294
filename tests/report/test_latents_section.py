"""What the page takes from evidence.json, and what it does not."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import latents_study
import numpy as np
import pytest

from diptych.report.latents import LatentsSection, latents_section
from diptych.report.reading import read_study
from diptych.study.evidence import portable


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("latents")
    latents_study.write(directory)
    return directory


@pytest.fixture
def study(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "study"))


def section_of(directory: Path) -> LatentsSection | None:
    study = read_study(directory)
    return latents_section(directory, study, study.members)


def change(path: Path, edit: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    latents_study.write_json(path, content)


def test_a_sound_study_is_taken_whole(study: Path):
    section = section_of(study)
    assert section is not None
    assert [(m.number, m.title, m.searched, m.live) for m in section.models] == [
        (1, "VAE", False, True),
        (2, "GAN", True, True),
    ]
    assert section.cell == (16, 12)
    assert section.models[0].search is None
    search = section.models[1].search
    assert search is not None
    assert search.at == [0, 10, 30, 75, 150]
    assert search.picture.grid is not None
    assert (search.picture.grid.columns, search.picture.grid.rows) == (6, 4)
    payload = json.loads(json.dumps(section.payload, allow_nan=False))
    decoder = json.loads((study / "gan/page/decoder.json").read_text())
    sent = payload["models"][1]["decoder"]
    assert sent["layers"] == decoder["layers"]
    assert sent["weights"] == decoder["weights"]
    assert payload["queries"]["count"] == 12
    assert "VAE encodes" in section.sentence
    assert "GAN has no encoder" in section.sentence


def test_a_member_without_evidence_keeps_the_others_colours(study: Path):
    def without(content):
        content["members"][0]["evidence"] = None

    change(study / "study.json", without)
    section = section_of(study)
    assert section is not None
    assert [(m.number, m.title) for m in section.models] == [(2, "GAN")]


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.update(queries=None),
        lambda s: s.update(queries={"picture": "../private.png"}),
        lambda s: s.update(queries={"picture": 7}),
        lambda s: s["data"].update(kind="points", shape=[2]),
        lambda s: [m.update(evidence=None) for m in s["members"]],
        lambda s: [m.update(evidence="../../etc/passwd") for m in s["members"]],
    ],
)
def test_there_is_no_section_without_what_it_needs(study: Path, edit):
    (study.parent / "private.png").write_bytes((study / "pictures/queries.png").read_bytes())
    change(study / "study.json", edit)
    assert section_of(study) is None


def of_nans(entry):
    block = np.frombuffer(base64.b64decode(entry["codes"]), "<f2").copy()
    block[3] = np.nan
    entry["codes"] = base64.b64encode(block.tobytes()).decode()


@pytest.mark.parametrize(
    "edit",
    [
        lambda e: e.update(latents=None),
        lambda e: e.update(latents=[1]),
        lambda e: e["latents"].update(latent_dim=7),
        lambda e: e["latents"].update(path="winding"),
        lambda e: e["latents"].update(event_shape=[3, 16, 13]),
        lambda e: e["latents"]["queries"].update(codes="!!!"),
        lambda e: of_nans(e["latents"]["queries"]),
        lambda e: of_nans(e["latents"]["map"]),
        lambda e: e["latents"]["map"]["xy"].pop(),
        lambda e: e["latents"]["map"]["labels"].pop(),
        lambda e: e["latents"]["map"]["origin"].pop(),
        lambda e: e["latents"]["map"]["xy"].__setitem__(0, [1e300, 0]),
        lambda e: e["latents"]["map"].update(labels=["<script>"] * 600),
    ],
)
def test_damaged_latents_are_left_out(study: Path, edit):
    change(study / "vae/page/evidence.json", edit)
    section = section_of(study)
    assert section is not None
    assert [m.title for m in section.models] == ["GAN"]


def test_evidence_that_is_no_json_is_left_out(study: Path):
    (study / "vae/page/evidence.json").write_text("{" * 10_000)
    section = section_of(study)
    assert section is not None
    assert [m.title for m in section.models] == ["GAN"]


def first(content, op):
    return next(layer for layer in content["layers"] if layer["op"] == op)


def heavy(content):
    """A linear layer whose own buffers would fill the memory, with no weights to it."""
    content["layers"][0].update(outputs=16_000_000)


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["layers"].pop(0),
        lambda d: d["layers"].pop(-2),
        lambda d: d["layers"].clear(),
        lambda d: d["layers"].append({"op": "eval", "code": "alert(1)"}),
        lambda d: first(d, "transposed").update(crop=[1000, 1000]),
        lambda d: first(d, "transposed").update(size=[8, 7]),
        lambda d: first(d, "convolution").update(channels=[4, 1]),
        lambda d: first(d, "leaky").update(slope="x"),
        lambda d: d.update(weights=d["weights"][:-8]),
        lambda d: d.update(weights=d["weights"] + "AAAA"),
        lambda d: d.update(latent_dim=7),
        lambda d: d.update(event_shape=[1, 16, 12]),
        lambda d: d.update(schema=2),
        heavy,
    ],
)
def test_a_decoder_that_does_not_hold_together_is_not_run(study: Path, edit):
    change(study / "vae/page/decoder.json", edit)
    section = section_of(study)
    assert section is not None
    assert [m.live for m in section.models] == [False, True]
    assert section.payload["models"][0]["decoder"] is None
    assert section.models[0].why_not == "Its decoder's file is missing or damaged."


def test_a_decoder_outside_the_study_is_not_read(study: Path):
    outside = study.parent / "decoder.json"
    shutil.move(study / "vae/page/decoder.json", outside)

    def point(content):
        content["latents"]["decoder"] = {"file": "../../decoder.json"}

    change(study / "vae/page/evidence.json", point)
    section = section_of(study)
    assert section is not None
    assert not section.models[0].live


def test_an_atlas_must_have_the_size_that_it_says(written: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(portable, "MOST_MULTIPLICATIONS", 10)
    directory = tmp_path / "large"
    directory.mkdir()
    latents_study.write(directory, ("vae",))
    section = section_of(directory)
    assert section is not None
    assert not section.models[0].live
    assert "multiplications" in section.models[0].why_not
    atlas = section.payload["models"][0]["atlas"]
    assert atlas["uri"].startswith("data:image/webp;base64,")

    def shorter(content):
        content["latents"]["atlas"]["pairs"].pop()

    change(directory / "vae/page/evidence.json", shorter)
    section = section_of(directory)
    assert section is not None
    assert section.payload["models"][0]["atlas"] is None
