"""The chart code that travels inside the page, and the licences that travel with it.

Versions and hashes are recorded in `vendor/README.md`.
"""

import base64
import hashlib
from pathlib import Path

__all__ = ["SCRIPTS", "VENDOR", "content_hash", "licences", "scripts"]

VENDOR = Path(__file__).parent / "vendor"
SCRIPTS = ("vega", "vega-lite", "vega-embed")
"""In the order in which they must run."""


def scripts() -> list[str]:
    """The three scripts as they are put between script tags."""
    return [script_text((VENDOR / f"{name}.min.js").read_text("utf-8")) for name in SCRIPTS]


def script_text(code: str) -> str:
    """Code made safe to stand in a page: no source map to look for, nothing that ends the tag."""
    lines = [line for line in code.splitlines() if not line.startswith("//# sourceMappingURL=")]
    code = "\n".join(lines) + "\n"
    if "</script" in code.lower() or "<!--" in code:
        raise ValueError("a script contains text that would end its own tag")
    return code


def content_hash(text: str) -> str:
    """The hash by which the page's content security policy admits one inline script."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def licences() -> list[tuple[str, str]]:
    """Name and licence text of everything vendored."""
    texts = [(name, (VENDOR / f"{name}.LICENSE.txt").read_text("utf-8")) for name in SCRIPTS]
    bundled = (VENDOR / "bundled.LICENSES.txt").read_text("utf-8")
    return [*texts, ("packages inside vega and vega-embed", bundled)]
