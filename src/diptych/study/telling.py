"""The plan of a study in lines, told before it starts."""

from diptych.study.plan import Plan, usable_cores
from diptych.study.search import describe_space
from diptych.training.budget import Budget

__all__ = ["duration", "plan_lines", "what_is_left"]


def duration(seconds: float) -> str:
    """Seconds as a person says them: "40 s", "12 min", "2 h 40 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def plan_lines(plan: Plan) -> list[str]:
    """What will be done, on what, and for how long."""
    recipes, seeds = len(plan.recipes), len(plan.seeds)
    named = ", ".join(map(str, plan.seeds))
    lines = [
        f"plan: {_count(recipes, 'recipe')} x {_count(seeds, 'seed')} ({named}) = "
        f"{_count(recipes * seeds, 'member')}, {_budget(plan)}"
    ]
    width = max(len(recipe.title) for recipe in plan.recipes)
    for recipe in plan.recipes:
        counts = plan.parameters[recipe.name]
        told = ", ".join(f"{player} {number:,}" for player, number in counts.items())
        lines.append(f"      {recipe.title:<{width}}  {told} parameters")
    lines.append(
        "      the same splits, and the same order of data at the same seed; "
        "measuring is not charged"
    )
    everything = "all panels that apply; likelihoods take minutes per member"
    metrics = ", ".join(plan.metrics) or everything
    lines.append(f"      measured: {metrics}")
    side_by_side = (
        f"{plan.jobs} members side by side, {_count(plan.share_of_cores, 'thread')} each"
        if plan.jobs > 1
        else "one member after the other"
    )
    lines.append(f"      {plan.speed}; {side_by_side}")
    if plan.jobs > usable_cores() and plan.speed.device == "cpu":
        lines.append(f"      more than the {usable_cores()} cores here: mind the memory")
    if plan.jobs > 1 and plan.equal == "time":
        lines.append(
            "      members that train while others rest are faster than the rest: for a fair "
            "comparison side by side add --equal images"
        )
    if plan.trials:
        lines += _search_lines(plan)
    return lines


def _search_lines(plan: Plan) -> list[str]:
    lines = []
    for recipe in plan.recipes:
        lines += [f"      {line}" for line in describe_space(recipe)]
    each = plan.budget
    total = f"{_count(plan.trials, 'trial')} x {_count(len(plan.recipes), 'recipe')} x {each}"
    if each.minutes is not None:
        seconds = plan.trials * len(plan.recipes) * each.minutes * 60.0
        total += f" = {duration(seconds)}, before the members are trained"
    lines.append(f"      search: {total}; chosen on validation images")
    return lines


def what_is_left(plan: Plan, budget: Budget, unfinished: int, trained: int) -> list[str]:
    """How much of the plan is done, and how long the rest takes.

    Args:
        plan: the whole.
        budget: of each member.
        unfinished: how many members are not finished.
        trained: how many of these are trained already and have only to be measured.
    """
    total = len(plan.recipes) * len(plan.seeds)
    lines = []
    if unfinished < total or trained:
        told = f"going on: {total - unfinished} of {total} members are finished"
        lines.append(told + (f", {trained} more trained and not yet measured" if trained else ""))
    left = unfinished - trained
    if budget.minutes is not None and left:
        rounds = -(-left // plan.jobs)
        seconds = rounds * budget.minutes * 60.0
        lines.append(f"training takes about {duration(seconds)} in all, measuring comes on top")
    return lines


def _budget(plan: Plan) -> str:
    if plan.needs_probe:
        return f"all shown as many images as the slowest recipe sees in {plan.budget}"
    return f"{plan.budget} each: equal {plan.equal}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
