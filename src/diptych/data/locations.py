"""Where Diptych keeps what it may make again, and whether it may use the network."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["cache_root", "is_offline"]


def cache_root(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """The folder of everything that can be made or fetched again; it need not exist yet.

    `DIPTYCH_CACHE`, else `$XDG_CACHE_HOME/diptych`, else the platform's own place:
    `~/Library/Caches/diptych` on macOS, `%LOCALAPPDATA%\\diptych` on Windows, `~/.cache/diptych`
    elsewhere.

    Args:
        environ: the environment to read, by default that of the process.
        platform: a value of `sys.platform`.
    """
    environ = os.environ if environ is None else environ
    if own := environ.get("DIPTYCH_CACHE"):
        return Path(own).expanduser()
    if shared := environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "diptych"
    if platform == "darwin":
        return Path.home() / "Library" / "Caches" / "diptych"
    if platform == "win32" and (local := environ.get("LOCALAPPDATA")):
        return Path(local) / "diptych"
    return Path.home() / ".cache" / "diptych"


def is_offline(environ: Mapping[str, str] | None = None) -> bool:
    """Whether `DIPTYCH_OFFLINE` forbids downloads: set to anything but nothing, 0, no or false."""
    environ = os.environ if environ is None else environ
    return environ.get("DIPTYCH_OFFLINE", "").strip().lower() not in {"", "0", "no", "false"}
