"""What a study tells while it works. Free of torch."""

from collections.abc import Mapping

__all__ = ["Watcher"]


class Watcher:
    """Told what a study is doing; this one keeps quiet. Members are named by their title."""

    def say(self, sentence: str) -> None:
        """A line of its own: the plan, what was chosen, what went wrong."""

    def begin(self, member: str) -> None:
        """Work on a member begins."""

    def row(self, member: str, row: Mapping[str, float]) -> None:
        """A row of metrics of a member in training."""

    def measuring(self, member: str, what: str, done: int, total: int) -> None:
        """How far measuring is; the member is "" for what belongs to all."""

    def end(self, member: str) -> None:
        """Work on a member has ended, well or not."""
