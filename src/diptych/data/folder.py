"""A folder of pictures: every file is looked at, and every one that cannot be used is named."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from diptych.data.decode import MODES, Header, OddPictureError, decode, look
from diptych.data.fitting import Fit
from diptych.data.listing import Listing, list_folder
from diptych.data.origin import Allocate, Origin, Prepared, Progress
from diptych.errors import DataError

__all__ = ["folder_origin"]

NAMED = 10  # how many files are named before the rest is only counted
AT_ONCE = 64  # files decoded between two writes; bounds memory

Item = TypeVar("Item")
Result = TypeVar("Result")
Problems = dict[PurePosixPath, str]


def folder_origin(root: Path, name: str, fit: Fit, skip_bad: bool) -> Origin:
    """List a folder and say how it will be prepared; no file is opened yet.

    Args:
        root: the folder; its sub-folders are labels, or splits if they are called so.
        name: what the person asked for.
        fit: the size that pictures are brought to.
        skip_bad: leave unusable files out instead of refusing.

    Raises:
        DataError: the folder holds no picture or cannot be read.
    """
    try:
        listing = list_folder(root)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}.") from error
    if not listing.pictures:
        beside = f"; it holds {_some(listing.others)}" if listing.others else ""
        raise DataError(
            f"{root} holds no PNG, JPEG, WebP, TIFF or BMP pictures{beside}. "
            "Give a folder with pictures in it or in its sub-folders."
        )
    files = [(str(found.path), found.num_bytes, found.mtime_ns) for found in listing.pictures]
    identity = ["folder", str(root.resolve()), fit.size, fit.crop, skip_bad, files, listing.others]
    return Origin(
        name,
        json.dumps(identity),
        lambda allocate, progress: _prepare(listing, fit, skip_bad, allocate, progress),
    )


def _prepare(
    listing: Listing, fit: Fit, skip_bad: bool, allocate: Allocate, progress: Progress
) -> Prepared:
    """Headers first, to learn the common mode and size; then every picture, in order."""
    paths = [found.path for found in listing.pictures]
    problems: Problems = {}
    headers: dict[PurePosixPath, Header] = {}
    for path, header in _in_threads(lambda p: _attempt(look, listing.root / p), paths):
        if isinstance(header, str):
            problems[path] = header
        else:
            headers[path] = header
        progress("looking at pictures", len(headers) + len(problems), len(paths))
    if not headers:
        raise _refusal(listing, problems, fit)

    mode = _commonest([header.mode for header in headers.values()], key=len)
    height, width = fit.size or _commonest(
        [(header.height, header.width) for header in headers.values()]
    )
    for path, header in headers.items():
        if fit.size is None and (header.height, header.width) != (height, width):
            problems[path] = (
                f"is {header.height} x {header.width}, and most are {height} x {width} "
                "(height x width)"
            )
        elif objection := fit.objection(header.height, header.width):
            problems[path] = objection

    usable = [path for path in headers if path not in problems]
    channels = {kept: number for number, kept in MODES.items()}[mode]
    if not usable:
        raise _refusal(listing, problems, fit)
    images = allocate((len(usable), height, width, channels))
    kept: list[PurePosixPath] = []
    read = _in_threads(
        lambda p: _attempt(lambda file: decode(file, headers[p], mode, fit), listing.root / p),
        usable,
    )
    for done, (path, pixels) in enumerate(read, start=1):
        if isinstance(pixels, str):
            problems[path] = pixels
        else:
            images[len(kept)] = pixels
            kept.append(path)
        progress("reading pictures", done, len(usable))
    if problems and (not skip_bad or not kept):
        raise _refusal(listing, problems, fit)

    labels, class_names, label_notes = _labels(listing, kept)
    notes = [
        *_header_notes([headers[path] for path in kept], mode, (height, width), fit),
        *label_notes,
        *_folder_notes(listing, problems),
    ]
    return Prepared(images[: len(kept)], labels, class_names, listing.roles(kept), tuple(notes))


def _attempt(read: Callable[[Path], Result], path: Path) -> Result | str:
    """What `read` gives, or the words of its complaint."""
    try:
        return read(path)
    except OddPictureError as problem:
        return str(problem)


def _in_threads(
    work: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[Item, Result]]:
    """Pairs of item and result in order, few ahead; Pillow decodes without the GIL."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(items), AT_ONCE):
            batch = items[start : start + AT_ONCE]
            yield from zip(batch, pool.map(work, batch), strict=True)


def _commonest(values: Sequence[Item], key: Callable[[Item], int] | None = None) -> Item:
    """The value met most often; among equals the one with the larger key, then the first met."""
    counts = Counter(values)
    return max(counts, key=lambda value: (counts[value], key(value) if key else 0))


def _refusal(listing: Listing, problems: Problems, fit: Fit) -> DataError:
    """One sentence, then the first files and what is wrong with each."""

    def mended_by_option(path: PurePosixPath) -> bool:
        return "and most are" in problems[path] or "whose aspect" in problems[path]

    # Damaged files first: a remedy below would not help them, and many odd sizes would hide them.
    worst_first = sorted(problems, key=lambda path: (mended_by_option(path), path))
    lines = [f"  {path}: {problems[path]}" for path in worst_first[:NAMED]]
    if len(problems) > NAMED:
        lines.append(f"  and {len(problems) - NAMED:,} more")
    remedies = []
    if fit.size is None and any("and most are" in reason for reason in problems.values()):
        remedies.append(
            "--size N brings all pictures to one size (with --crop where the aspect differs)"
        )
    if any("whose aspect" in reason for reason in problems.values()):
        remedies.append("--crop cuts the middle out of pictures of another aspect")
    remedies.append("mend or remove these files, or go on without them by --skip-bad")
    advice = "; ".join(remedies)
    return DataError(
        f"{len(problems):,} of {len(listing.pictures):,} pictures in {listing.root} "
        "cannot be used:\n" + "\n".join(lines) + "\n" + advice[0].upper() + advice[1:] + "."
    )


def _labels(
    listing: Listing, paths: list[PurePosixPath]
) -> tuple[NDArray[np.int64] | None, tuple[str, ...], list[str]]:
    """Labels from sub-folders, if every picture lies in one."""
    classes = listing.classes(paths)
    named = [name for name in classes if name is not None]
    if not named:
        return None, (), []
    if len(named) < len(classes):
        loose = len(classes) - len(named)
        return None, (), [f"{loose:,} pictures lie in no sub-folder, so there are no labels"]
    names = sorted(set(named))
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[name] for name in named], np.int64), tuple(names), []


def _header_notes(headers: list[Header], mode: str, size: tuple[int, int], fit: Fit) -> list[str]:
    """How the pictures were changed to be alike."""
    stored = Counter(header.source for header in headers)
    notes = [
        f"{stored[source]:,} {words}"
        for source, words in {
            "16-bit": "16-bit pictures were reduced to 8 bits",
            "float": "float pictures in 0..1 were scaled to 0..255",
            "palette": "palette pictures were written out in full",
            "1-bit": "1-bit pictures were written as 0 and 255",
        }.items()
        if stored[source]
    ]
    for other, count in sorted(Counter(header.mode for header in headers).items()):
        if other != mode:
            notes.append(f"{count:,} {other} pictures were converted to {mode} without loss")
    if fit.size is not None:
        resized = sum((header.height, header.width) != size for header in headers)
        enlarged = sum(header.height < size[0] or header.width < size[1] for header in headers)
        if resized:
            how = "cropped to the aspect and resized" if fit.crop else "resized"
            notes.append(f"{resized:,} pictures were {how} to {size[0]} x {size[1]}")
        if enlarged:
            notes.append(f"{enlarged:,} of them were smaller than that and were enlarged")
    if several := sum(header.frames > 1 for header in headers):
        holds = "1 file holds" if several == 1 else f"{several:,} files hold"
        notes.append(f"{holds} several pictures; the first of each was used")
    return notes


def _folder_notes(listing: Listing, problems: Problems) -> list[str]:
    """What was left out."""
    notes = []
    if problems:
        which = _some([f"{path} {problems[path]}" for path in sorted(problems)])
        notes.append(f"{_counted(len(problems), 'unusable picture')} left out: {which}")
    if listing.others:
        notes.append(
            (
                "1 file that is no picture was"
                if len(listing.others) == 1
                else f"{len(listing.others):,} files that are no pictures were"
            )
            + f" ignored: {_some(listing.others)}"
        )
    if listing.repeated:
        notes.append(f"links to folders already read were not followed: {_some(listing.repeated)}")
    return notes


def _counted(many: int, noun: str) -> str:
    return f"1 {noun} was" if many == 1 else f"{many:,} {noun}s were"


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
