"""Fetching one published file: checked, retried, and never half there."""

import errno
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from diptych.data.files import atomic_path, md5_of
from diptych.data.origin import Progress, silent
from diptych.errors import DataError, MissingData

__all__ = ["download"]

BLOCK = 1 << 16
NOT_THE_NETWORK = {
    errno.EACCES, errno.EEXIST, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS
}  # fmt: skip


class _WrongContentError(Exception):
    """What arrived is not what was published."""


def download(
    address: str,
    path: Path,
    md5: str,
    *,
    progress: Progress = silent,
    attempts: int = 3,
    wait_seconds: float = 1.0,
    timeout_seconds: float = 30.0,
) -> None:
    """Fetch a file to `path`, which appears only when its md5 is right.

    Args:
        address: the http(s) address.
        path: where the file goes; its folder is made.
        md5: the published md5 in hexadecimal.
        progress: told the bytes that have come, and the total (0 if the server does not say).
        attempts: how often to try; an answer that the file is not there ends it at once.
        wait_seconds: the pause before the second attempt; it doubles for each one after.
        timeout_seconds: how long a silent server is waited for.

    Raises:
        MissingData: the server could not be reached or did not give the file.
        DataError: it gave another file than the published one, or `path` cannot be written.
    """
    failure: Exception | None = None
    for attempt in range(attempts):
        if attempt:
            time.sleep(wait_seconds * 2 ** (attempt - 1))
        try:
            with atomic_path(path) as draft:
                _fetch(address, draft, path.name, progress, timeout_seconds)
                if (found := md5_of(draft)) != md5:
                    raise _WrongContentError(f"md5 {found} instead of {md5}")
            return
        except urllib.error.HTTPError as error:
            failure = error
            error.close()
            if 400 <= error.code < 500:
                break
        except (urllib.error.URLError, http.client.HTTPException) as error:
            failure = error
        except _WrongContentError as error:
            failure = error
        except OSError as error:
            if error.errno in NOT_THE_NETWORK:
                raise DataError(f"{path} cannot be written: {error.strerror}.") from error
            failure = error
    if isinstance(failure, _WrongContentError):
        raise DataError(
            f"{address} gave a file that is not the published one ({failure}); "
            "try again, or fetch it another way."
        ) from failure
    reason = failure.reason if isinstance(failure, urllib.error.URLError) else failure
    raise MissingData(f"{address} could not be fetched ({reason}).") from failure


def _fetch(address: str, draft: Path, name: str, progress: Progress, timeout: float) -> None:
    """Copy the body of one answer to a file and check its length."""
    with urllib.request.urlopen(address, timeout=timeout) as answer, draft.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        done = 0
        while block := answer.read(BLOCK):
            file.write(block)
            done += len(block)
            progress(f"fetching {name}", done, total)
    if total and done != total:
        raise http.client.HTTPException(f"the body ended after {done:,} of {total:,} bytes")
