"""The FactorVAE score: which latent holds still while one factor is held fixed?"""

import torch
from torch import Tensor

from diptych.evaluation.factors.labelled import LabelledCodes, halves, labelled_codes
from diptych.evaluation.figure import Estimate

__all__ = ["factor_vae_score", "group_size_for"]

GROUPS = 800
MOST = 64
ENOUGH = 32  # codes whose variance is known well enough to tell the stillest latent
FEWEST = 8
ALIVE = 0.05
BLOCK = 50  # groups held at once


def factor_vae_score(
    codes: Tensor,
    factors: Tensor,
    *,
    generator: torch.Generator,
    groups: int = GROUPS,
    group_size: int = MOST,
    alive: float = ALIVE,
) -> Estimate | None:
    """Return how often the stillest latent names the factor that was fixed.

    A group of codes shares one value of one random factor. Its vote is the latent whose variance,
    over its variance in all codes, is least. Each latent is taken to mean the factor it was voted
    for with most often; the score is the share of right votes among new groups. Groups are drawn
    from the labelled codes, for the two purposes from two random halves of them, so that no code
    is known before.

    Args:
        codes: (N, L), of a space whose prior has variance 1.
        factors: whole numbers (N, F); constant ones are ignored.
        generator: draws halves and groups; on the CPU.
        groups: voting groups of each half.
        group_size: codes of a group at most; fewer where no factor has two values with as many.
        alive: standard deviation below which a latent is dead and may not be voted for.

    Returns:
        A share; by chance it is about 1 / F. None with a single factor, or where groups of 8
        cannot be had.

    Raises:
        DataError: unfit codes or factors, see `labelled_codes`.

    Source: Kim & Mnih 2018, arXiv:1802.05983, section 4; the threshold for dead latents is that
    of Locatello et al. 2019, arXiv:1811.12359.
    """
    data = labelled_codes(codes, factors)
    if len(data.counts) < 2:
        return None
    learn, judge = halves(data, generator)
    size = min(group_size, group_size_for(data, learn, judge))
    if size < FEWEST:
        return None
    spread = data.codes.std(0)
    living = spread >= alive
    if not bool(living.any()):
        return Estimate(
            1 / len(data.counts), note="No latent is alive, so votes are guesses.", trusted=False
        )
    scaled = data.codes[:, living] / spread[living]
    table = torch.zeros(scaled.shape[1], len(data.counts), dtype=torch.int64)
    latents, fixed = _votes(scaled, data, learn, groups, size, generator)
    table.index_put_((latents, fixed), torch.ones_like(fixed), accumulate=True)
    latents, fixed = _votes(scaled, data, judge, groups, size, generator)
    right = float((table.argmax(1)[latents] == fixed).double().mean())
    dead = int((~living).sum())
    notes = [f"{dead} dead latents were left out."] if dead else []
    if size < group_size:
        notes.append(f"Groups have {size} codes, since no more share a value.")
    return Estimate(right, note=" ".join(notes), trusted=size >= ENOUGH)


def group_size_for(data: LabelledCodes, *parts: Tensor) -> int:
    """Return how many codes of each part share a value, for two values of every factor."""
    sizes = [
        int(values[rows].bincount(minlength=2).sort(descending=True).values[1])
        for rows in parts
        for values in data.factors.unbind(1)
    ]
    return min(sizes)


def _votes(
    scaled: Tensor,
    data: LabelledCodes,
    rows: Tensor,
    groups: int,
    size: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The stillest latent of each group and the factor that was fixed, both (groups,)."""
    members = []
    for values in data.factors[rows].unbind(1):
        counts = values.bincount()
        members.append([rows[values == value] for value in (counts >= size).nonzero().flatten()])
    fixed = torch.randint(len(members), (groups,), generator=generator)
    drawn = []
    for factor in fixed.tolist():
        chosen = int(torch.randint(len(members[factor]), (1,), generator=generator))
        same = members[factor][chosen]
        drawn.append(same[torch.randperm(len(same), generator=generator)[:size]])
    parts = torch.split(torch.stack(drawn), BLOCK)
    return torch.cat([scaled[part].var(1).argmin(1) for part in parts]), fixed
