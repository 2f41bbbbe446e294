"""What the page may ask, field by field: anything else is refused with a sentence."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diptych.errors import DiptychError

__all__ = [
    "MOST_PICTURES",
    "STEPS",
    "Asked",
    "BadRequest",
    "CodesAsked",
    "CommandAsked",
    "DecodeAsked",
    "FindAsked",
    "PathAsked",
    "SampleAsked",
    "parse",
]

MOST_PICTURES = 64
"""Decoded in one request."""
MOST_PAGES = 999_999
"""Pages of held-out pictures, which are drawn with their number as the seed."""
STEPS = 33
"""Pictures from one end of a path to the other, on the page."""
FARTHEST = 100.0
"""Of a value of a code from 0; the prior's standard deviation is 1."""

Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Value = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST)]
Code = Annotated[list[Value], Field(min_length=1, max_length=4096)]
Form = Literal["cells", "picture"]
"""`cells`: pictures side by side, eight to a row, without gaps, for the page to cut apart.
`picture`: what the command line would write."""


class BadRequest(DiptychError):
    """A request that cannot be answered; the sentence says why."""


class Asked(BaseModel):
    """A body of JSON: every field of its type, finite, within bounds, and no other fields."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class CodesAsked(Asked):
    """Codes from the prior."""

    n: int = Field(ge=1, le=MOST_PICTURES)
    seed: Seed


class DecodeAsked(Asked):
    """Codes to decode."""

    codes: list[Code] = Field(min_length=1, max_length=MOST_PICTURES)
    form: Form = "cells"


class SampleAsked(Asked):
    """Samples of the prior; `spread` multiplies their codes."""

    n: int = Field(ge=1, le=MOST_PICTURES)
    seed: Seed
    spread: float = Field(gt=0, le=2)
    form: Form = "cells"


class PathAsked(Asked):
    """The way between two codes."""

    start: Code
    end: Code
    steps: int = Field(default=STEPS, ge=2, le=MOST_PICTURES)
    form: Form = "cells"


class FindAsked(Asked):
    """Codes of a page of held-out pictures, or of an uploaded picture; one of the two."""

    page: int | None = Field(default=None, ge=0, le=MOST_PAGES)
    upload: str | None = Field(default=None, max_length=40)


class CommandAsked(Asked):
    """What would make the same picture outside the page."""

    sample: SampleAsked | None = None
    walk_seed: Seed | None = None
    """The seed of both ends of a path, drawn together."""
    path: PathAsked | None = None
    decode: DecodeAsked | None = None
    page: int | None = Field(default=None, ge=0, le=MOST_PAGES)


Some = TypeVar("Some", bound=Asked)


def parse(kind: type[Some], body: bytes) -> Some:
    """Read a body of JSON.

    Raises:
        BadRequest: naming the first field that is wrong.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the request"
        raise BadRequest(f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}.") from None
