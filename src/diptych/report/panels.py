"""Members brought together by recipe: one panel of the page per recipe, its seeds behind it."""

from dataclasses import dataclass

from diptych.report.reading import Figure, Member, Study

__all__ = ["Panel", "panels_of"]


@dataclass(frozen=True)
class Panel:
    """One recipe of the study, at every seed.

    Attributes:
        number: from 1, in the order of the study; it chooses the colour.
        members: one per seed, in the order of the study.
        shown: the seed whose pictures stand on the page: the first that finished, else the first.
    """

    recipe: str
    title: str
    family: str
    number: int
    members: tuple[Member, ...]
    shown: Member

    @property
    def finished(self) -> list[Member]:
        """The members that were trained to the end."""
        return [member for member in self.members if member.status == "finished"]

    @property
    def turns(self) -> list[str]:
        """What its players do, as the first member that says so does."""
        return next((member.turns for member in self.members if member.turns), [])

    def figures(self, key: str) -> list[tuple[Member, Figure]]:
        """That figure of every member that finished and has it."""
        found = []
        for member in self.finished:
            found += [(member, f) for f in member.figures if f.key == key][:1]
        return found


def panels_of(study: Study) -> list[Panel]:
    """The recipes of a study in the order in which its members name them."""
    by_recipe: dict[str, list[Member]] = {}
    for member in study.members:
        by_recipe.setdefault(member.recipe, []).append(member)
    panels = []
    for number, (recipe, members) in enumerate(by_recipe.items(), 1):
        done = [member for member in members if member.status == "finished"]
        drawn = [member for member in members if member.pictures]
        shown = [*done, *drawn, *members][0]
        families = [member.family for member in members if member.family]
        panels.append(
            Panel(recipe, shown.title, (families or [""])[0], number, tuple(members), shown)
        )
    return panels
