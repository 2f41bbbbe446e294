"""The live latents of the page: what the models need to be run, checked before it is inlined.

A study may come from a stranger. What is inlined here is data for `static/decoder.js`, so every
shape is followed through the layers, every count is bounded and every weight must be a number:
a decoder that does not hold together is left out, and a sentence stands in its place.
"""

import base64
import binascii
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diptych.report.pictures import Album, Picture
from diptych.report.reading import Member, Study, read_json, safe_path

__all__ = ["LatentsModel", "LatentsSection", "SearchShown", "latents_section"]

LARGEST_FILE = 16_000_000
"""Bytes of a JSON file or an atlas beyond which it is left out."""
MOST_MULTIPLICATIONS = 200_000_000
"""Per picture; more would make the page hang."""

_LEFT_OUT = "{} is not decoded here: that was left out to keep the page small."

Length = Annotated[int, Field(ge=1, le=65_536)]
Side = Annotated[int, Field(ge=1, le=2_048)]
Real = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Place = tuple[Real, Real]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Steps(_Part):
    picture: str
    columns: Length
    at: list[int]
    errors: list[list[Real]] = Field(default_factory=list)


class _Queries(_Part):
    codes: str
    errors: list[Real] = Field(default_factory=list)
    steps: _Steps | None = None


class _Map(_Part):
    codes: str
    xy: Annotated[list[Place], Field(min_length=1, max_length=5_000)]
    labels: list[Annotated[int, Field(ge=0)] | None]
    values: list[Real] | None = None
    origin: list[Real]
    directions: tuple[list[Real], list[Real]]
    axes: str = ""
    sentence: str = ""


class _File(_Part):
    file: str


class _Atlas(_Part):
    picture: str
    columns: Length
    steps: Annotated[int, Field(ge=2, le=101)]
    pairs: Annotated[list[tuple[int, int]], Field(max_length=1_000)]
    cell: tuple[Side, Side]


class _Latents(_Part):
    latent_dim: Length
    path: Literal["linear", "spherical"]
    search: bool
    event_shape: tuple[Annotated[int, Field(ge=1, le=4)], Side, Side]
    queries: _Queries
    map: _Map
    decoder: _File | None = None
    why_not: str | None = None
    atlas: _Atlas | None = None


class _Linear(_Part):
    op: Literal["linear"]
    inputs: Length
    outputs: Annotated[int, Field(ge=1, le=16_777_216)]


class _Convolution(_Part):
    op: Literal["convolution"]
    channels: tuple[Length, Length]
    size: tuple[Side, Side]


class _Transposed(_Part):
    op: Literal["transposed"]
    channels: tuple[Length, Length]
    size: tuple[Side, Side]
    crop: tuple[Side, Side]


class _Leaky(_Part):
    op: Literal["leaky"]
    slope: Real


class _Affine(_Part):
    op: Literal["affine"]
    scale: Real
    shift: Real


class _Plain(_Part):
    op: Literal["tanh", "sigmoid", "continuous-bernoulli"]


class _Decoder(_Part):
    schema_: Literal[1] = Field(alias="schema")
    latent_dim: Length
    event_shape: tuple[int, int, int]
    layers: Annotated[
        list[
            Annotated[
                _Linear | _Convolution | _Transposed | _Leaky | _Affine | _Plain,
                Field(discriminator="op"),
            ]
        ],
        Field(min_length=1, max_length=100),
    ]
    weights: str


@dataclass(frozen=True)
class SearchShown:
    """A GAN's search for codes of real images: a row for each, a column per step, the image last.

    Attributes:
        picture: the grid.
        at: the number of steps of each column but the last.
        errors: mean squared error at the start and at the end of each row.
    """

    picture: Picture
    at: list[int]
    errors: list[tuple[float, float]]


@dataclass(frozen=True)
class LatentsModel:
    """One model of the section.

    Attributes:
        number: chooses its colour, as in the panels.
        title: of the recipe.
        searched: whether it has no encoder.
        live: whether its decoder runs in the page; else an atlas is shown.
        why_not: one sentence where it does not.
        absent: one sentence where there is not even an atlas, so that it cannot be dragged.
        sentence: what its map shows.
        search: the search as it went, for a GAN.
    """

    number: int
    title: str
    searched: bool
    live: bool
    why_not: str
    sentence: str
    search: SearchShown | None
    absent: str = ""


@dataclass(frozen=True)
class LatentsSection:
    """What `templates/latents.html.j2` shows and `static/latents.js` runs.

    Attributes:
        models: those of the members shown that have latents.
        cell: height and width of a picture in pixels.
        scale: whole factor by which the large pictures are enlarged.
        classes: names by label; empty without labels.
        payload: JSON for the script tag with the id `latents`.
    """

    models: list[LatentsModel]
    cell: tuple[int, int]
    scale: int
    classes: list[str]
    payload: dict[str, Any]

    @property
    def draggable(self) -> bool:
        """Whether any model can be shown between its ends."""
        return not all(model.absent for model in self.models)

    def thinned(self, keep: int) -> "LatentsSection":
        """The same with the decoders and atlases of the first `keep` models alone."""
        rest = slice(keep, None)
        models = [
            replace(m, live=False, absent=m.absent or _LEFT_OUT.format(m.title))
            for m in self.models[rest]
        ]
        without = {"decoder": None, "atlas": None}
        payloads = [entry | without for entry in self.payload["models"][rest]]
        payload = self.payload | {"models": [*self.payload["models"][:keep], *payloads]}
        return replace(self, models=[*self.models[:keep], *models], payload=payload)

    @property
    def sentence(self) -> str:
        """How the codes of real images were found, and what the errors are."""
        encoded = [model.title for model in self.models if not model.searched]
        searched = [model.title for model in self.models if model.searched]
        found = []
        if encoded:
            verb = "encodes" if len(encoded) == 1 else "encode"
            found.append(f"{_listed(encoded)} {verb} a held-out image.")
        if searched:
            verb = "has" if len(searched) == 1 else "have"
            found.append(f"{_listed(searched)} {verb} no encoder: the code was searched for.")
        error = "The error is the mean squared difference between the image and its decoded code"
        return " ".join([*found, f"{error}, per value in [0, 1]."])


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def latents_section(
    directory: Path, study: Study, shown: Sequence[Member]
) -> LatentsSection | None:
    """Gather the live latents of the members shown, one of each recipe.

    Args:
        directory: of the study; nothing outside it is read.
        study: as `read_study` gives it.
        shown: the members, in the order of the panels.

    Returns:
        None where there is nothing to show: points, or no member with latents.
    """
    cell = study.data.cell
    queries = None if cell is None else _queries(directory, study)
    if cell is None or queries is None:
        return None
    models, payloads = [], []
    for number, member in enumerate(shown, start=1):
        found = _model(directory, member, number, queries["count"], cell)
        if found is not None:
            models.append(found[0])
            payloads.append(found[1])
    if not models:
        return None
    classes = list(study.data.classes)
    payload = {"cell": list(cell), "classes": classes, "queries": queries, "models": payloads}
    return LatentsSection(models, cell, max(1, round(168 / cell[1])), classes, payload)


def _queries(directory: Path, study: Study) -> dict[str, Any] | None:
    """The held-out images as one row of pictures with their labels."""
    content = _read_json(safe_path(directory, "study.json"))
    entry = content.get("queries") if isinstance(content, dict) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("picture"), str):
        return None
    picture = Album(directory, study.data.cell).picture(entry["picture"])
    if picture is None or picture.grid is None or picture.grid.margin or picture.grid.rows != 1:
        return None
    labels = entry.get("labels")
    count = picture.grid.columns
    if not isinstance(labels, list) or len(labels) != count:
        labels = [None] * count
    known = len(study.data.classes)
    return {
        "uri": picture.uri,
        "count": count,
        "labels": [x if isinstance(x, int) and 0 <= x < known else None for x in labels],
    }


def _model(
    directory: Path, member: Member, number: int, count: int, cell: tuple[int, int]
) -> tuple[LatentsModel, dict[str, Any]] | None:
    """What the page shows of one member and what its script needs; None without usable latents."""
    content = _read_json(safe_path(directory, member.evidence))
    try:
        latents = _Latents.model_validate(content["latents"])
        drawn = latents.map
        _check_codes(latents.queries.codes, count, latents.latent_dim)
        _check_codes(drawn.codes, len(drawn.xy), latents.latent_dim)
    except (ValidationError, ValueError, TypeError, KeyError):
        return None
    lengths = {len(drawn.labels), len(drawn.xy), len(drawn.values or drawn.xy)}
    sizes = {len(drawn.origin), *(len(row) for row in drawn.directions), latents.latent_dim}
    if len(lengths) > 1 or len(sizes) > 1 or latents.event_shape[1:] != cell:
        return None
    home = member.directory
    decoder = None
    why_not = latents.why_not or ""
    if latents.decoder is not None:
        decoder = _decoder(safe_path(directory, f"{home}/{latents.decoder.file}"), latents)
        why_not = "" if decoder else "Its decoder's file is missing or damaged."
    atlas = None if decoder else _atlas(directory, home, latents.atlas)
    shown = LatentsModel(
        number=number,
        title=member.title,
        searched=latents.search,
        live=decoder is not None,
        why_not=why_not,
        sentence=drawn.sentence,
        search=_search(directory, home, latents.queries.steps, cell),
        absent="" if decoder or atlas else _absent(member.title, why_not),
    )
    errors = latents.queries.errors if len(latents.queries.errors) == count else None
    return shown, {
        "number": number,
        "title": member.title,
        "search": latents.search,
        "path": latents.path,
        "latents": latents.latent_dim,
        "queries": {"codes": latents.queries.codes, "errors": errors},
        "map": drawn.model_dump(exclude={"sentence", "axes"}),
        "decoder": decoder,
        "atlas": atlas,
    }


def _absent(title: str, why_not: str) -> str:
    why = why_not.rstrip(".") or "Its decoder was not kept"
    return (
        f"{title} cannot be shown on the way from A to B: {why[:1].lower()}{why[1:]}, and there "
        "are no pictures made beforehand."
    )


def _check_codes(text: str, count: int, latent_dim: int) -> None:
    """Raise ValueError unless these are `count` finite codes in half precision."""
    if len(_halves(text)) != count * latent_dim:
        raise ValueError("another number of codes")


def _halves(text: str) -> "np.ndarray[Any, np.dtype[np.float16]]":
    """The numbers of a block; ValueError if it is damaged or not every one is finite."""
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), "<f2")
    except binascii.Error:
        raise ValueError("not base64") from None
    if not np.isfinite(values).all():
        raise ValueError("not a number")
    return values


def _decoder(path: Path | None, latents: _Latents) -> dict[str, Any] | None:
    """The content of decoder.json if every shape fits the next; None if it does not."""
    try:
        decoder = _Decoder.model_validate(_read_json(path))
        weights, multiplications = _follow(decoder)
        whole = len(_halves(decoder.weights)) == weights
    except (ValidationError, ValueError):
        return None
    same = (decoder.latent_dim, decoder.event_shape) == (latents.latent_dim, latents.event_shape)
    if not whole or not same or multiplications > MOST_MULTIPLICATIONS:
        return None
    return decoder.model_dump(by_alias=True, exclude={"schema_"})


def _follow(decoder: _Decoder) -> tuple[int, int]:
    """How many weights the layers take and how many multiplications they make.

    Raises:
        ValueError: a layer does not fit the one before.
    """
    values, weights, multiplications = decoder.latent_dim, 0, 0
    for layer in decoder.layers:
        if isinstance(layer, _Linear):
            needed, given = layer.inputs, layer.outputs
            own = layer.inputs * layer.outputs
            multiplications += own
            weights += own + layer.outputs
        elif isinstance(layer, _Convolution | _Transposed):
            before, after = layer.channels
            needed = before * math.prod(layer.size)
            up = isinstance(layer, _Transposed)
            crop = layer.crop if isinstance(layer, _Transposed) else layer.size
            if up and any(c > 2 * s for c, s in zip(crop, layer.size, strict=True)):
                raise ValueError("a crop that is larger than the picture")
            given = after * math.prod(crop)
            own = before * after * (16 if up else 9)
            multiplications += own * math.prod(layer.size)
            weights += own + after
        else:
            needed = given = values
        if needed != values:
            raise ValueError("a layer that does not fit the one before")
        values = given
    if values != math.prod(decoder.event_shape):
        raise ValueError("another size of picture")
    return weights, multiplications


def _atlas(directory: Path, home: str, atlas: _Atlas | None) -> dict[str, Any] | None:
    """The atlas as a data URI if its picture has the size that its numbers say."""
    path = None if atlas is None else safe_path(directory, f"{home}/{atlas.picture}")
    if atlas is None or path is None or path.stat().st_size > LARGEST_FILE:
        return None
    height, width = atlas.cell
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
            size = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if size != (atlas.columns * (width + 2) - 2, len(atlas.pairs) * (height + 2) - 2):
        return None
    if atlas.columns != atlas.steps:
        return None
    uri = f"data:image/webp;base64,{base64.b64encode(content).decode('ascii')}"
    return {
        "uri": uri,
        "steps": atlas.steps,
        "pairs": [list(pair) for pair in atlas.pairs],
        "cell": [height, width],
    }


def _search(
    directory: Path, home: str, steps: _Steps | None, cell: tuple[int, int]
) -> SearchShown | None:
    """The pictures of a search; None if there are none or they do not fit what is said of them."""
    if steps is None or len(steps.at) + 1 != steps.columns:
        return None
    picture = Album(directory, cell).picture(f"{home}/{steps.picture}")
    if picture is None or picture.grid is None or picture.grid.columns != steps.columns:
        return None
    errors = [(row[0], row[-1]) for row in steps.errors if row]
    return SearchShown(picture, steps.at, errors)


def _read_json(path: Path | None) -> Any:
    """The content of a file; None if it is absent, too large or no JSON."""
    if path is None:
        return None
    try:
        return read_json(path, LARGEST_FILE)
    except (OSError, ValueError, RecursionError):
        return None
