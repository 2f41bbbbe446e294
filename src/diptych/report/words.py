"""The page's sentences and the way it writes numbers."""

import math
import re
from collections.abc import Iterable

from diptych.report.panels import Panel
from diptych.report.reading import Figure, Member, Study
from diptych.study.verdict.wording import listing

__all__ = [
    "ABSENT",
    "ARROWS",
    "STATES",
    "brief",
    "budget_sentence",
    "cause",
    "conditions",
    "curve_sentence",
    "decimals_for",
    "duration",
    "figure_counts",
    "listing",
    "names_in",
    "no_pictures",
    "no_reconstruction",
    "number",
    "subject",
    "times",
    "trouble",
    "whole",
]

ABSENT = "\N{EN DASH}"
"""What a table shows for nothing."""

TIMES = "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}"

ARROWS = {
    "lower": ("↓", "lower is better"),
    "higher": ("↑", "higher is better"),
    "closer": ("≈", "closer to the floor is better"),
}

STATES = {
    "clear": "clear",
    "tie": "alike",
    "undecided": "cannot tell",
    "not measured": "not measured",
}
"""The state of an answer as it stands on the page."""


def whole(value: float | None) -> str:
    """A count with thousands separated, or a dash."""
    return ABSENT if value is None or not math.isfinite(value) else f"{value:,.0f}"


def number(value: float | None, decimals: int) -> str:
    """A figure with fixed decimals, thousands separated, a true minus sign, or a dash."""
    if value is None or not math.isfinite(value):
        return ABSENT
    text = f"{abs(value):,.{decimals}f}"
    negative = value < 0 and any(digit in text for digit in "123456789")
    return f"\N{MINUS SIGN}{text}" if negative else text


def decimals_for(values: list[float | None]) -> int:
    """Decimals to write a row of figures with.

    Three digits of the largest (one decimal from 10 to 999), and at least two digits of the
    smallest that is not nought.
    """
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v) and v != 0]
    if not sizes:
        return 0
    largest = math.floor(math.log10(max(sizes)))
    smallest = math.floor(math.log10(min(sizes)))
    usual = 2 - largest if largest <= 0 else 1 if largest <= 2 else 0
    return min(8, max(usual, 1 - smallest))


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: `48 s`, `3 min 02 s`, `1 h 20 min`."""
    if seconds is None or not math.isfinite(seconds):
        return ABSENT
    if seconds < 10:
        return f"{seconds:.1f} s"
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    return f"{total // 3600} h {total % 3600 // 60:02d} min"


def subject(study: Study, titles: list[str]) -> str:
    """What was compared, on what, under which budget, at how many seeds: the line over it all."""
    who = listing(titles) or "Nothing yet"
    each = " each" if len(study.members) > 1 and _budget(study) else ""
    seeds = len({member.seed for member in study.members})
    at = f", {seeds} seeds" if seeds > 1 else ""
    return f"{who} on {study.data.name}{_budget(study)}{each}{at}"


def _budget(study: Study) -> str:
    if study.budget.minutes is not None:
        minutes = f"{study.budget.minutes:g}"
        return f", {minutes} minute{'' if minutes == '1' else 's'}"
    if study.budget.images is not None:
        return f", {study.budget.images:,} images"
    return ""


def conditions(study: Study) -> str:
    """Same data, same budget, same instruments: one sentence."""
    data = study.data
    things = "points" if data.kind == "points" else "pictures"
    training = data.splits.get("train", data.count)
    several = len(study.members) > 1
    parts = ["Trained on"]
    parts.append("the same" if several else "")
    parts.append(f"{whole(training)} {things}" if training is not None else things)
    if data.cell:
        colours = {1: "grey", 3: "colour", 4: "colour with alpha"}.get(data.shape[0], "")
        size = f"{data.cell[1]}{TIMES}{data.cell[0]} pixels"
        parts.append(f"({size}, {colours})" if colours else f"({size})")
    parts.append("under one budget" if several else "")
    if device := study.machine.get("device"):
        threads = study.machine.get("threads")
        name = "a CPU" if device == "cpu" else "a GPU" if device == "cuda" else str(device)
        plural = "" if threads == 1 else "s"
        parts.append(f"on {name}" + (f" with {threads} thread{plural}" if threads else ""))
    sentence = " ".join(part for part in parts if part)
    return sentence + (", then measured with the same instruments." if several else ".")


def brief(text: str, most: int = 230, *, names: Iterable[str] = ()) -> str:
    """An answer for a card: without its brackets of numbers, as many sentences as are short.

    The first sentence is always whole. Brackets without a digit stay.

    Args:
        text: the whole answer.
        most: characters beyond which no sentence is added to the first.
        names: titles and the like, whose own brackets stay whatever they hold.
    """
    ending = sorted((name for name in names if "(" in name), key=len, reverse=True)
    name = "|".join(map(re.escape, ending)) or r"(?!)"
    bracket = re.compile(rf"(?P<name>{name})|\s*\((?:{name}|[^()])*\)")

    def cut(found: re.Match[str]) -> str:
        whole = found["name"] is not None or not re.search(r"\d", found[0])
        return found[0] if whole else ""

    before = ""
    while before != text:  # brackets within brackets: from the inside out
        before, text = text, bracket.sub(cut, text)
    sentences = re.split(r"(?<=[.!?])\s+(?=[^\W\d_])", text.strip())
    kept = sentences[:1]
    for sentence in sentences[1:]:
        if len(" ".join([*kept, sentence])) > most:
            break
        kept.append(sentence)
    return " ".join(kept)


def names_in(study: Study) -> list[str]:
    """What sentences about a study may call by a name of its own: recipes, baselines, classes."""
    titles = [member.title for member in study.members]
    return list(dict.fromkeys([*titles, *(b.title for b in study.baselines), *study.data.classes]))


def cause(reason: str) -> str:
    """Why a training did not finish, without its place and that it diverged: said beside it."""
    return re.sub(r"^.*?\btraining diverged: ", "", reason).rstrip(".")


def trouble(member: Member, *, seeds: int = 1) -> str:
    """One sentence if the member did not finish, else nothing."""
    who = f"{member.title}, seed {member.seed}," if seeds > 1 else member.title
    said = cause(member.reason)
    reason = f": {said}" if said else ""
    match member.status:
        case "finished":
            return ""
        case "waiting":
            return f"{who} was not trained yet."
        case "interrupted":
            return f"{who} was interrupted before its budget was used{reason}."
        case "diverged":
            return f"{who} diverged{reason}. It was not measured."
        case "crashed":
            return f"{who} crashed{reason}. It was not measured."
        case other:
            return f"{who} did not finish ({other}){reason}."


def no_pictures(title: str, member: Member) -> str:
    """What stands where a member's pictures would; the whole reason stands at the top."""
    if member.status == "finished":
        return f"No pictures: {title} left none."
    what = {
        "waiting": "was not trained yet",
        "interrupted": "was interrupted",
        "diverged": "diverged",
        "crashed": "crashed",
    }.get(member.status, "did not finish")
    return f"No pictures: {title} {what}."


def times(ratio: float) -> str:
    """`1.4 times`, or `about as` where there is nothing to tell apart."""
    return f"{number(ratio, 1 if ratio < 10 else 0)} times"


def budget_sentence(study: Study, panels: list[Panel]) -> str:
    """What equal budgets made unequal: images at equal time, or time at equal images."""
    done = [panel for panel in panels if panel.finished]
    by_images = study.budget.equal == "images" or study.budget.minutes is None
    things = "points" if study.data.kind == "points" else "images"

    def mean(panel: Panel, of_time: bool) -> float | None:
        values = [m.train_seconds if of_time else m.images_seen for m in panel.finished]
        known = [float(value) for value in values if value is not None]
        return sum(known) / len(known) if known else None

    spent = [(mean(panel, of_time=by_images), panel) for panel in done]
    known = sorted(((v, p) for v, p in spent if v), key=lambda pair: pair[0])
    if len(known) < 2:
        return ""
    (least, slow), (most, quick) = known[0], known[-1]
    if by_images:
        start = f"Every member was shown as many {things}; the time they took is not the same"
        if most / least < 1.05:
            return f"Every member was shown as many {things}, and they took about the same time."
        return (
            f"{start}: {quick.title} trained {times(most / least)} as long as {slow.title} "
            f"({duration(most)} against {duration(least)})."
        )
    if most / least < 1.05:
        return f"Every member trained as long, and they saw about as many {things}."
    return (
        f"Every member trained as long; the {things} they saw are not as many: in the same time "
        f"{quick.title} saw {times(most / least)} as many as {slow.title} "
        f"({whole(most)} against {whole(least)})."
    )


def no_reconstruction(member: Member) -> str:
    """Why there is no reconstruction to show."""
    if member.family == "gan":
        return (
            f"{member.title} has no encoder, and no search for the codes of pictures was kept, "
            "so there is nothing to show here."
        )
    return f"{member.title} left no reconstructions."


def curve_sentence(member: Member) -> str:
    """How to read this member's curves: one plain sentence."""
    match member.family:
        case "vae":
            return (
                "The loss is the negative ELBO and it does fall as the model improves; "
                "a KL that sinks to zero would mean the code is not used."
            )
        case "gan":
            return (
                "A GAN's losses do not fall as its pictures improve, since the two players only "
                "hold each other in balance: look for trouble here, such as logits that drift "
                "far apart or a loss that sticks at zero, and judge quality by the figures."
            )
        case "hybrid":
            return (
                "The reconstruction and KL terms fall as a VAE's do, the adversarial losses "
                "balance as a GAN's do and tell nothing about quality by themselves."
            )
        case _:
            return "These are the terms that were lowered, as logged while training."


def figure_counts(figure: Figure) -> str:
    """How many real and made images a figure was measured on."""
    if figure.n_real is None and figure.n_fake is None:
        return ""
    if figure.n_fake is None or figure.n_real is None:
        return whole(figure.n_real if figure.n_fake is None else figure.n_fake)
    return f"{whole(figure.n_fake)} against {whole(figure.n_real)}"
