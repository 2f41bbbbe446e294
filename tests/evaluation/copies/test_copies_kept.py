"""What the panel keeps on the disk gives the figures of the panel that measured it, to the bit."""

import torch

from diptych.evaluation.copies import panel as panel_module
from diptych.evaluation.copies.kept import kept_file, read_kept, write_kept
from diptych.evaluation.copies.panel import copies_panel
from diptych.evaluation.extractors.features import PointFeatures
from diptych.evaluation.sets import Sets


def images(count, seed):
    small = torch.rand(count, 1, 5, 5, generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(small, (16, 16), mode="bicubic")
    return large.clamp(0, 1).mul(255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


SETS = Sets(images(120, 1), images(120, 2), images(120, 3), images(200, 4))


def measured(folder, sets=SETS, seed=0):
    return copies_panel(
        sets,
        described=sets.map(lambda items: items.flatten(1).float()),
        extractor=PointFeatures(),
        base={},
        seed=seed,
        cache_dir=folder,
    )


def as_json(figures):
    return [figure.to_json() for figure in figures]


def test_the_second_model_finds_everything_there(tmp_path, monkeypatch):
    first = measured(tmp_path)
    (file,) = tmp_path.iterdir()
    other = Sets(images(120, 9), SETS.real, SETS.floor, SETS.train)
    fresh = measured(tmp_path / "elsewhere", other)
    monkeypatch.setattr(panel_module, "_ceilings", None)  # would fail if it were called
    assert as_json(measured(tmp_path)) == as_json(first)
    assert as_json(measured(tmp_path, other)) == as_json(fresh)
    assert file.stat().st_size < 1e6


def test_other_data_seed_or_number_are_other_files(tmp_path):
    variants = [
        (SETS, 0),
        (SETS, 1),
        (Sets(SETS.fake[:119], SETS.real, SETS.floor, SETS.train), 0),
        (Sets(SETS.fake, images(120, 5), SETS.floor, SETS.train), 0),
        (Sets(SETS.fake, SETS.real, None, SETS.train), 0),
        (Sets(SETS.fake, SETS.real, SETS.floor, images(200, 6)), 0),
    ]
    for count, (sets, seed) in enumerate(variants, start=1):
        shared = as_json(measured(tmp_path / "shared", sets, seed))
        assert len(list((tmp_path / "shared").iterdir())) == count
        assert shared == as_json(measured(tmp_path / str(count), sets, seed))


def test_a_damaged_file_is_made_again(tmp_path):
    first = as_json(measured(tmp_path))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        b"",
        whole.replace(b"value", b"valve"),
        whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
    ):
        assert damaged != whole
        file.write_bytes(damaged)
        assert read_kept(file) is None
        assert as_json(measured(tmp_path)) == first
        assert read_kept(file) is not None


def test_features_name_the_file_too(tmp_path):
    described = SETS.map(lambda items: items.flatten(1).float())
    scaled = SETS.map(lambda items: items.flatten(1).float() * 2)
    names = {
        kept_file(tmp_path, SETS, of, seed=0, n=120, planted=120) for of in (described, scaled)
    }
    assert len(names) == 2


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    assert as_json(measured(blocked)) == as_json(measured(tmp_path / "folder"))


def test_it_comes_back_to_the_bit(tmp_path):
    measured(tmp_path)
    (file,) = tmp_path.iterdir()
    kept = read_kept(file)
    write_kept(tmp_path / "again.safetensors", kept)
    again = read_kept(tmp_path / "again.safetensors")
    assert kept.floors == again.floors
    assert kept.ceilings == again.ceilings
    assert kept.state.keys() == again.state.keys()
    assert all(torch.equal(kept.state[name], again.state[name]) for name in kept.state)
