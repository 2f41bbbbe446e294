"""Which metrics are asked for: by panel, by name, or all."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from diptych.errors import DataError
from diptych.evaluation.fidelity.panel import ALIASES
from diptych.evaluation.figure import PANELS, Figure, Metric, PanelName

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """A choice of panels and of single metrics.

    Attributes:
        panels: taken whole.
        keys: single metrics by key.
        known: the panel of every metric.
        named: whether anything was chosen; if not, all that applies is measured.
    """

    panels: frozenset[PanelName]
    keys: frozenset[str]
    known: dict[str, PanelName]
    named: bool = False

    @classmethod
    def of(cls, names: Iterable[str], metrics: Iterable[Metric]) -> "Selection":
        """The choice that a person wrote; nothing written is everything.

        Args:
            names: of panels, metrics or groups: ``["fid", "blur"]``.
            metrics: all there are.

        Raises:
            DataError: a name is none of these.
        """
        known = {metric.key: metric.panel for metric in metrics}
        panels: set[PanelName] = set()
        keys: set[str] = set()
        names = [name.lower() for name in ([names] if isinstance(names, str) else names)]
        for name in names:
            panel = next((each for each in PANELS if each == name), None)
            if panel is not None:
                panels.add(panel)
            elif name in ALIASES:
                keys |= ALIASES[name]
            elif name in known:
                keys.add(name)
            else:
                choices = [*PANELS, *ALIASES, *known]
                close = difflib.get_close_matches(name, choices, n=1)
                hint = (
                    f"did you mean {close[0]}?"
                    if close
                    else f"the panels are {', '.join(PANELS)}; docs/metrics.md names all metrics"
                )
                raise DataError(f"there is no metric or panel called {name!r}; {hint}")
        if not names:
            panels = set(PANELS)
        return cls(frozenset(panels), frozenset(keys), known, bool(names))

    def wants(self, panel: PanelName) -> bool:
        """Whether anything of the panel is asked for."""
        return panel in self.panels or any(self.known[key] == panel for key in self.keys)

    def within(self, panel: PanelName) -> frozenset[str] | None:
        """The keys asked for in a panel; None for all of them."""
        if panel in self.panels:
            return None
        return frozenset(key for key in self.keys if self.known[key] == panel)

    def keeps(self, figure: Figure) -> bool:
        """Whether a measured figure was asked for."""
        return figure.panel in self.panels or figure.protocol.parts.get("metric") in self.keys
