"""A small reader of the written page, so that tests ask about elements and not about text."""

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image


class Page(HTMLParser):
    """Collects elements with attributes, visible text, scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.styles = ""
        self._words: list[str] = []
        self._inside: str | None = None
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attributes, code = self.scripts[-1]
            self.scripts[-1] = (attributes, code + data)
        elif self._inside == "style":
            self.styles += data
        else:
            self._words.append(data)

    @property
    def text(self) -> str:
        """The visible words, white space made single."""
        return " ".join(" ".join(self._words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def charts(self) -> dict[str, Any]:
        """The embedded specifications, as the page's own script reads them."""
        return json.loads(next(code for a, code in self.scripts if a.get("id") == "charts"))

    def image(self, alt: str) -> Image.Image:
        """The picture with this alternative text, decoded."""
        source = next(a["src"] for a in self.all("img") if a["alt"] == alt)
        assert source is not None
        return Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1])))
