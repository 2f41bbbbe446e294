"""A page too heavy to be sent by mail is made lighter, in a fixed order, and says how."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

__all__ = ["LARGEST_PAGE", "lighten"]

LARGEST_PAGE = 15_000_000
"""Bytes that a page should stay below."""
LIVE = 3
"""Models whose decoders stay when some have to go; fewer only if even these are too many."""

Content = dict[str, Any]


def lighten(content: Content, write: Callable[[Content], str]) -> str:
    """Write a page; while it is too heavy, leave out the next thing and write it again.

    The grids of seeds that are not shown go first, then the films of training, then decoders
    beyond the first few. What is left out is told by a sentence in `content["left_out"]`.

    Args:
        content: what the templates show, by name.
        write: makes the page of it.
    """
    text = write(content)
    decoders = [_decoders(keep) for keep in range(LIVE, -1, -1)]
    for ways in ([_other_seeds], [_films], decoders):
        before = content
        for leave_out in ways:
            if len(text.encode("utf-8", "replace")) <= LARGEST_PAGE:
                return text
            lighter = leave_out(before)
            if lighter is not None:
                content = lighter
                text = write(content)
    return text


def _without(content: Content, what: str, **changed: Any) -> Content:
    told = f"{what} left out here to keep the page small, and lie in the study."
    return {**content, **changed, "left_out": [*content["left_out"], told]}


def _other_seeds(content: Content) -> Content | None:
    sides = [
        replace(side, samples=[sheet for sheet in side.samples if sheet.shown])
        for side in content["sides"]
    ]
    if sum(len(side.samples) for side in sides) == sum(len(s.samples) for s in content["sides"]):
        return None
    return _without(content, "The samples of other seeds are", sides=sides, seeds=[])


def _films(content: Content) -> Content | None:
    if not content["films"]:
        return None
    what = "The pictures of training as it happened are"
    gone = f"{what} left out here to keep the page small, and lie in the study."
    return _without(content, what, films=[], moments=[], no_films=gone)


def _decoders(keep: int) -> Callable[[Content], Content | None]:
    def leave_out(content: Content) -> Content | None:
        latents = content["latents"]
        if latents is None or all(model.absent for model in latents.models[keep:]):
            return None
        gone = sum(not model.absent for model in latents.models[keep:])
        who = f"{gone} of {len(latents.models)} models" if keep else "all models"
        return _without(content, f"The decoders of {who} are", latents=latents.thinned(keep))

    return leave_out
