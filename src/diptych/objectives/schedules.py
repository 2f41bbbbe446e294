"""Schedules over the progress of the budget, which runs from 0 to 1 and always arrives."""

__all__ = ["linear_decay", "linear_warmup"]


def linear_warmup(progress: float, fraction: float) -> float:
    """min(1, progress / fraction): exactly 1 from `fraction` of the budget on.

    Counted in parts of the budget and not in steps or epochs, it ends whatever the size of the
    data, the batch or the machine.

    Args:
        progress: in [0, 1].
        fraction: in [0, 1]; 0 means no warm-up.
    """
    return 1.0 if progress >= fraction else progress / fraction


def linear_decay(progress: float, start: float = 0.0) -> float:
    """1 until `start`, then linearly to 0 at the end of the budget."""
    return 1.0 if progress <= start else max(0.0, (1.0 - progress) / (1.0 - start))
