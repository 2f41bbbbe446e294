"""Training: peers against ours on the same networks, and ours against the bare step and the peak.

    python -m benchmarks train [--quick] [--rounds 5] [--threads N] [--only mlp-vae,dcgan]

Every peer runs in a process of its own with torch's own allocator, as its user runs it; ours run
in another, as the execution plan sets it up. All take the same number of threads, and only one
works at a time. Rates and ratios are by processor time; images per second by the wall clock.

- x PEER: images per CPU-second over the peer's, within a round.
- of bare: the whole loop over its own forward, backward and optimizer on one resident batch.
- of peak: operations of matrix products and convolutions per CPU-second over the best product of
  `diptych doctor` in the same precision.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.apart import Failed, Missing, apart
from benchmarks.interleave import Sample, Timings, Variant, interleave
from benchmarks.table import Cell, Note, Row, percent, rows_of
from benchmarks.workloads import WORKLOADS, Workload

__all__ = ["run"]

QUICK = 8
"""A quick turn is this part of a whole one."""
ELBO_IMAGES = {"mlp-vae": 300_000, "conv-vae": 180_000}
"""Images of the trainings whose test ELBO is compared: 5 and 3 epochs of 60,000."""


def run(
    quick: bool, rounds: int, *, threads: int | None = None, only: str = ""
) -> list[Row | Note]:
    """One table per network, then the test ELBO of the VAEs."""
    from diptych.training.plan import ExecutionPlan, Wishes

    plan = ExecutionPlan.choose(Wishes(threads=threads))
    wanted = [each for each in WORKLOADS if not only or each.key in only.split(",")]
    rows: list[Row | Note] = []
    for work in wanted:
        rows += timed(work, quick, rounds, plan.threads)
    for work in wanted:
        if work.key in ELBO_IMAGES:
            rows += elbo_rows(work, quick, plan.threads)
    return rows


def timed(work: Workload, quick: bool, rounds: int, threads: int) -> list[Row | Note]:
    """The table of one network."""
    from benchmarks import ours, peers

    turn = max(2, work.turn // work.batch // (QUICK if quick else 1)) * work.batch
    settings = {"key": work.key, "threads": threads, "turn": turn}
    notes: list[Row | Note] = []
    variants: list[Variant] = []
    with contextlib.ExitStack() as stack:
        for peer in work.peers:
            try:
                variants += stack.enter_context(apart(peers.build, name=peer, **settings))
            except (Missing, Failed) as error:
                reason = str(error).strip().splitlines()[-1]
                notes.append(Note(work.title, f"{peer} is left out: {reason}"))
        variants += stack.enter_context(apart(ours.build, **settings))
        timings = interleave(variants, rounds=rounds, announce=_tell)
    title = f"{work.title}, {threads} thread{'' if threads == 1 else 's'}"
    notes = [Note(title, note.text) for note in notes if isinstance(note, Note)]
    flops = ours.flops_per_image(work.key)
    more = {name: _shares(name, timings, flops) for name in timings.samples}
    peaks = [
        f"{name.removeprefix('peak, ')} {timings.rate(name).median / 1e9:,.0f} GFLOP / CPU-s"
        for name in timings.samples
        if name.startswith("peak")
    ]
    shown = {
        name: samples for name, samples in timings.samples.items() if not name.startswith("peak")
    }
    ratios = {f"x {peer}": peer for peer in work.peers}
    rows = rows_of(title, Timings(shown), ratio_to=ratios, more=more)
    step = ", ".join(f"{count / 1e6:.1f} MFLOP{suffix}" for suffix, count in flops.items())
    about = f"Per image and step: {step}. Peak: {'; '.join(peaks)}."
    return [*rows, *notes, Note(title, f"{rounds} rounds of {turn:,} images. {about}")]


def _shares(name: str, timings: Timings, flops: dict[str, float]) -> dict[str, Cell]:
    """What part of the bare step and of the machine's peak a variant of ours reaches."""
    kind, _, rest = name.partition(", ")
    if kind not in ("ours", "bare step"):
        return {}
    precision, comma, option = rest.partition(", ")
    reached = timings.ratio(name, f"peak, {precision}").times(flops[comma + option])
    bare = percent(timings.ratio(name, f"bare step, {rest}")) if kind == "ours" else None
    return {"of bare": bare, "of peak": percent(reached)}


def elbo_rows(work: Workload, quick: bool, threads: int) -> list[Row | Note]:
    """The test ELBO of pythae's training and of ours, on as many images, over seeds."""
    images = ELBO_IMAGES[work.key] // (50 if quick else 1)
    seeds = 2 if quick else 3
    title = f"{work.title}: test -ELBO in nats per image after {images:,} images"
    settings = {"key": work.key, "threads": threads, "images": images, "seeds": seeds}
    rows: list[Row | Note] = []
    for build in (_pythae_trainings, _our_trainings):
        try:
            with apart(build, **settings) as variants:
                found = [(variant.name, _sample(variant)) for variant in variants]
        except (Missing, Failed) as error:
            rows.append(Note(title, f"left out: {str(error).strip().splitlines()[-1]}"))
            continue
        names = dict.fromkeys(name.partition(", seed")[0] for name, _ in found)
        for name in names:
            own = [sample for key, sample in found if key.partition(", seed")[0] == name]
            values = [sample.amount for sample in own]
            cells: dict[str, Cell] = {
                "variant": name,
                "mean": f"{statistics.fmean(values):.2f}",
                "seeds": ", ".join(f"{value:.2f}" for value in values),
                "CPU-s each": statistics.median(sample.cpu for sample in own),
            }
            rows.append(Row(title, cells))
    return rows


def _sample(variant: Variant) -> Sample:
    done = variant.work()
    if not isinstance(done, Sample):
        raise TypeError(f"{variant.name} was not timed in its own process")
    _tell(f"{variant.name}: {done.amount:.2f} nats, {done.cpu:.0f} CPU-s")
    return done


def negative_elbo(
    encode: Callable[[Any], tuple[Any, Any]], decode: Callable[[Any], Any], images: Any
) -> float:
    """The mean over images of -ELBO in nats, at one sample of z each, in fp32.

    Args:
        encode: images (N, 1, 28, 28) in [0, 1] to mean and log-variance, (N, 20) each.
        decode: codes (N, 20) to the logits of pixels.
        images: (M, 1, 28, 28).
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    random = torch.Generator().manual_seed(0)
    total = 0.0
    with torch.inference_mode():
        for batch in torch.split(images, 500):
            mean, log_variance = encode(batch)
            noise = torch.randn(mean.shape, generator=random)
            logits = decode(mean + (0.5 * log_variance).exp() * noise).view_as(batch)
            kl = 0.5 * (log_variance.exp() + mean**2 - 1.0 - log_variance).sum()
            total += float(binary_cross_entropy_with_logits(logits, batch, reduction="sum") + kl)
    return total / len(images)


def _rows_for(images: int, whole: Any) -> tuple[Any, int]:
    """The images that are trained on and the number of epochs that make up the budget."""
    epochs = max(1, images // len(whole))
    return whole[: images // epochs], epochs


def _pythae_trainings(
    key: str, *, threads: int, images: int, seeds: int
) -> dict[str, Callable[[], float]]:
    import torch

    from benchmarks.peers import pythae_trainer
    from benchmarks.workloads import floats, pictures

    torch.set_num_threads(threads)
    train, epochs = _rows_for(images, floats(pictures((1, 28, 28))))
    test = floats(pictures((1, 28, 28), "test"))

    def training(seed: int) -> Callable[[], float]:
        def work() -> float:
            trainer = pythae_trainer(key, train, epochs=epochs, seed=seed)
            trainer.train()
            model = trainer.model.eval()

            def encode(x: Any) -> tuple[Any, Any]:
                output = model.encoder(x)
                return output.embedding, output.log_covariance

            return negative_elbo(encode, model.decoder.layers, test)

        return work

    return {f"pythae, seed {seed}": training(seed) for seed in range(seeds)}


def _our_trainings(
    key: str, *, threads: int, images: int, seeds: int
) -> dict[str, Callable[[], float]]:
    import torch

    from benchmarks.ours import loop_of, prepared, workload
    from benchmarks.workloads import floats, pictures
    from diptych.training.plan import ExecutionPlan, Wishes

    work = workload(key)
    train, epochs = _rows_for(images, pictures(work.shape))
    test = floats(pictures(work.shape, "test"))

    def of_game(game: Any) -> float:
        game.eval()

        def encode(x: Any) -> tuple[Any, Any]:
            posterior = game.encode(x)
            return posterior.mean, posterior.variance.log()

        return negative_elbo(encode, game.decoder, test)

    def trainings(precision: str, seed: int) -> Iterator[tuple[str, Callable[[], float]]]:
        state: Any = None

        def live() -> float:
            nonlocal state
            plan = ExecutionPlan.choose(Wishes(precision=precision, threads=threads))
            torch.manual_seed(seed)
            state = prepared(work, work.game(), plan, train, seed=seed)
            loop_of(state, epochs * len(train))()
            return of_game(state.game)

        def averaged() -> float:
            return of_game(state.average.game)

        yield f"ours, {precision}, seed {seed}", live
        yield f"ours, {precision}, averaged weights, seed {seed}", averaged

    return {
        name: work_of
        for precision in ("fp32", "bf16")
        for seed in range(seeds)
        for name, work_of in trainings(precision, seed)
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
