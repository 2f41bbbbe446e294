"""Find a published data set on this machine, or fetch it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from diptych.data.download import download
from diptych.data.locations import is_offline
from diptych.data.origin import Progress
from diptych.data.published import FASHION_MINI, Published, PublishedFile
from diptych.errors import DataError, MissingData

__all__ = ["fetch", "find", "find_or_fetch", "places"]

ASSETS = Path(__file__).parent / "assets"
SYSTEM = Path("/usr/share/datasets")


def places(
    name: str,
    data_dir: Path | None,
    cache_dir: Path,
    environ: Mapping[str, str],
    system: Path = SYSTEM,
) -> tuple[Path, ...]:
    """The folders where a named data set may lie, the first choice first.

    A folder that the person names may be the data set's own or one above it.
    """
    named = [data_dir] if data_dir else []
    if own := environ.get("DIPTYCH_DATA"):
        named.append(Path(own).expanduser())
    own_places = [place for folder in named for place in (folder / name, folder)]
    return (*own_places, system / name, cache_dir / "downloads" / name)


def find(published: Published, folders: Sequence[Path]) -> dict[PublishedFile, Path] | None:
    """Every file of a data set in the first folder that holds them all, packed or unpacked."""
    for folder in folders:
        here = {file: path for file in published.files if (path := _in(folder, file))}
        if len(here) == len(published.files):
            return here
    return None


def find_or_fetch(
    published: Published, data_dir: Path | None, cache_dir: Path, progress: Progress
) -> dict[PublishedFile, Path]:
    """The paths of a data set's files, fetched from the publisher if they are nowhere here.

    Args:
        published: the data set.
        data_dir: a folder to look in first.
        cache_dir: the root of the caches; downloads go to `downloads/<name>` in it.
        progress: told of every file that is fetched.

    Raises:
        DataError: `data_dir` is no folder, or the publisher's files are not the published ones.
        MissingData: the files are not here and cannot be fetched.
    """
    if published is FASHION_MINI:
        folders: tuple[Path, ...] = (ASSETS / published.name,)
    else:
        if data_dir and not data_dir.is_dir():
            raise DataError(f"the data folder {data_dir} does not exist or is no folder.")
        folders = places(published.name, data_dir, cache_dir, os.environ)
    if found := find(published, folders):
        return found
    if published is FASHION_MINI:
        raise MissingData(f"{folders[0]} lacks its files; install Diptych again.")
    if is_offline():
        raise _missing(published, folders, "DIPTYCH_OFFLINE forbids fetching it")
    try:
        fetch(published, folders[-1], progress)
    except MissingData as error:
        raise _missing(published, folders, str(error).rstrip(".")) from error
    return {file: folders[-1] / file.name for file in published.files}


def fetch(
    published: Published, folder: Path, progress: Progress, *, wait_seconds: float = 1.0
) -> None:
    """Fetch the files of a data set that a folder lacks.

    Args:
        published: the data set.
        folder: where its files go, as they are published (.gz).
        progress: told of every file.
        wait_seconds: the pause before a second attempt.

    Raises:
        MissingData, DataError: as `download`.
    """
    for file in published.files:
        if not (folder / file.name).is_file():
            address = published.address + file.name
            path = folder / file.name
            download(address, path, file.md5, progress=progress, wait_seconds=wait_seconds)


def _in(folder: Path, file: PublishedFile) -> Path | None:
    """The file in a folder, as published or unpacked; some unpackers write `.idx` for `-idx`."""
    plain = file.name.removesuffix(".gz")
    names = (file.name, plain, plain.replace("-idx", ".idx"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _missing(published: Published, folders: Sequence[Path], why: str) -> MissingData:
    """What is missing, where it was looked for, and the ways to give it."""
    names = ", ".join(file.name for file in published.files)
    megabytes = sum(file.num_bytes for file in published.files) / 1e6
    looked = ", ".join(str(folder) for folder in folders)
    return MissingData(
        f"{published.name} is not on this machine (looked in {looked}) and {why}: put {names} "
        f"({megabytes:.0f} MB, from {published.address}; unpacked files do too) into a folder and "
        "name it by --data-dir or DIPTYCH_DATA, or use fashion-mini, which needs no download."
    )
