"""What all questions ask of a table: recipes, their titles, their figures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from diptych.study.statistics import Reading, Sample
from diptych.study.table import Member, Row, Table
from diptych.study.verdict.wording import capital, listing

__all__ = ["Case"]

BROKEN = ("diverged", "crashed")


@dataclass(frozen=True)
class Case:
    """A table with what the rules look up in it."""

    table: Table

    @cached_property
    def recipes(self) -> tuple[str, ...]:
        """In the order of the study."""
        return tuple(dict.fromkeys(member.recipe for member in self.table.members))

    @cached_property
    def judged(self) -> tuple[str, ...]:
        """Recipes with a seed that finished."""
        return tuple(recipe for recipe in self.recipes if self.finished(recipe))

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """Titles by recipe."""
        return {member.recipe: member.title for member in self.table.members}

    @property
    def things(self) -> str:
        """What the data are: "images" or "points"."""
        return "points" if self.table.data.get("kind") == "points" else "images"

    @property
    def real(self) -> str:
        """What floors are measured on."""
        return f"unseen real {self.things}"

    @property
    def dimensions(self) -> int:
        """Numbers in one item, 1 where the shape is not known."""
        product = 1
        for side in self.table.data.get("shape") or ():
            product *= int(side)
        return product

    def members(self, recipe: str) -> tuple[Member, ...]:
        """All seeds of a recipe."""
        return tuple(member for member in self.table.members if member.recipe == recipe)

    def finished(self, recipe: str) -> tuple[Member, ...]:
        """Its seeds that finished."""
        return tuple(m for m in self.members(recipe) if m.status == "finished")

    def failed(self, recipe: str) -> tuple[Member, ...]:
        """Its seeds that diverged or crashed."""
        return tuple(m for m in self.members(recipe) if m.status in BROKEN)

    def family(self, recipe: str) -> str:
        """ "vae", "gan", "hybrid", or empty."""
        return next(member.family for member in self.members(recipe))

    def of_family(self, *families: str) -> tuple[str, ...]:
        """Recipes of these families with a seed that finished."""
        return tuple(recipe for recipe in self.judged if self.family(recipe) in families)

    def the(self, *recipes: str) -> str:
        """ "the VAE", "the VAE and the GAN"."""
        return listing(f"the {self.titles[recipe]}" for recipe in recipes)

    def at_start(self, *recipes: str) -> str:
        """The same at the start of a sentence."""
        return capital(self.the(*recipes))

    # -- figures ----------------------------------------------------------------------------------

    @cached_property
    def _rows(self) -> Mapping[str, tuple[Row, ...]]:
        places = {
            (member.recipe, member.seed): place
            for place, member in enumerate(self.table.members)
            if member.status == "finished"
        }
        found: dict[str, list[Row]] = {}
        for row in self.table.rows:
            if row.kind == "member" and (row.recipe, row.seed or 0) in places:
                found.setdefault(row.key, []).append(row)
        return {
            key: tuple(sorted(rows, key=lambda row: places[row.recipe, row.seed or 0]))
            for key, rows in found.items()
        }

    def rows(self, key: str) -> tuple[Row, ...]:
        """Figures of this key of members that finished, trusted or not."""
        return self._rows.get(key, ())

    def keys(self, base: str) -> tuple[str, ...]:
        """Keys of a metric, one per extractor, in the order in which they were measured.

        Those of the features that distances are judged by come first, so that the questions are
        answered by one extractor as far as they can be.
        """
        keys = [key for key, rows in self._rows.items() if rows[0].base == base]
        return tuple(sorted(keys, key=lambda key: self._rows[key][0].extractor != self.extractor))

    @cached_property
    def extractor(self) -> str:
        """Of the first Fréchet distance that was measured; empty if there is none."""
        distances = (rows[0] for rows in self._rows.values() if rows[0].base == "fd")
        return next((row.extractor for row in distances), "")

    def of_recipe(self, recipe: str, base: str) -> tuple[Row, ...]:
        """A recipe's trusted figures under the metric's first key, one per seed."""
        for key in self.keys(base):
            if rows := tuple(r for r in self.rows(key) if r.recipe == recipe and r.trusted):
                return rows
        return ()

    def doubted(self, recipe: str, base: str) -> bool:
        """Whether the metric was measured for a recipe, and not to be trusted."""
        measured = [r for key in self.keys(base) for r in self.rows(key) if r.recipe == recipe]
        return bool(measured) and not any(row.trusted for row in measured)

    def baselines(self, key: str, protocol: str) -> tuple[tuple[str, Row], ...]:
        """Names and trusted figures of baselines under the same protocol."""
        return tuple(
            (row.recipe, row)
            for row in self.table.rows
            if row.kind == "baseline"
            and row.key == key
            and row.protocol == protocol
            and row.trusted
        )

    def baseline_title(self, name: str) -> str:
        """Of a baseline by its name."""
        return self.table.baselines.get(name, name)


def sample_of(rows: Iterable[Row], *, target: float | None = None) -> Sample:
    """The figures of one recipe; items are shared where nothing was generated for them."""
    given = tuple(rows)
    return Sample(
        tuple(Reading(row.value, row.low, row.high) for row in given),
        shared=all(row.n_fake is None and row.n_real is not None for row in given),
        target=target,
    )
