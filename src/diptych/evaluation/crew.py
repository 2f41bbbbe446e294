"""Several workers at one evaluation: the first measures, the others help with what is slow.

All workers have made the same extractors and the same model. The first one goes through the
panels as if it were alone; whenever many items have to pass a large network, it hands every
worker a strided share of them and gathers what comes back. Between two such calls the others
wait. The instruments themselves are cheap and stay with the first worker.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any

import numpy as np
import torch
import torch.distributed as group
from numpy.typing import NDArray
from torch import Tensor

from diptych.errors import DataError, DiptychError
from diptych.evaluation.extractors.features import Features
from diptych.evaluation.results import Evaluation
from diptych.evaluation.sets import Progress, silent
from diptych.models.game import Game
from diptych.models.sampling import Sampler
from diptych.training.launch import choose_together, start_workers
from diptych.training.plan import Wishes
from diptych.workers import alone, is_first_worker, worker_count, worker_rank

__all__ = ["Crew", "call_workers"]

PATIENCE = timedelta(days=30)
"""How long the others wait for their next task: likelihoods may take hours. If the first worker
dies they are ended by whoever started them."""
FEWEST = 32
"""Items for each worker below which asking costs more than it saves."""


def call_workers(devices: int) -> None:
    """Start the other workers of an evaluation, or meet them; nothing with one.

    To be called when all that is cached is in the cache: they run the same program and find it.

    Args:
        devices: processes on this machine's CPU.

    Raises:
        DiptychError: as many cannot be had.
    """
    if devices > 1:
        start_workers(devices, 1, "cpu")
        choose_together(Wishes(device="cpu", devices=devices))


class Crew:
    """The workers of one evaluation; with a single one everything is done by it.

    The first worker uses it as a context, inside which the others are at its disposal; these call
    :meth:`help` instead.

    Args:
        extractors: the same on all workers.
        model: the game whose samples are measured, or None.
        shared: names of the extractors that are slow enough to be shared.
        devices: 1 works alone, whoever else there is; else as many as were called.
    """

    def __init__(
        self,
        extractors: Sequence[Features],
        model: Game | None,
        *,
        shared: frozenset[str],
        devices: int,
    ) -> None:
        self._extractors, self._model = tuple(extractors), model
        self._count, self._rank = (worker_count(), worker_rank()) if devices > 1 else (1, 0)
        self._alone, self._lost = alone(), False
        self._ending: dict[str, Any] = {"task": "end", "evaluation": None}
        self._channel = group.new_group(timeout=PATIENCE, backend="gloo") if self.many else None
        self.extractors: tuple[Features, ...] = self._extractors
        """The extractors, of which the slow ones call for help."""
        if self.many:
            self.extractors = tuple(
                _Shared(self, place, extractor) if extractor.name in shared else extractor
                for place, extractor in enumerate(extractors)
            )

    @property
    def many(self) -> bool:
        """Whether there is anyone to help."""
        return self._count > 1

    def __enter__(self) -> "Crew":
        self._alone.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._alone.__exit__(kind, error, trace)
        # An interruption reached the others too, and a lost one hears nothing.
        if self.many and not self._lost and (error is None or isinstance(error, Exception)):
            self._tell(self._ending)

    def done(self, evaluation: Evaluation) -> None:
        """What the others return when the context ends."""
        self._ending["evaluation"] = evaluation.to_json()

    def sample(self, n: int, *, seed: int) -> Tensor:
        """n samples of the model, (n, ...) on the CPU: those of `Game.sample`, within rounding."""
        assert self._model is not None
        if not self._shares(n) or type(self._model).sample is not Game.sample:
            return self._model.sample(n, seed=seed).cpu()
        self._tell({"task": "sample", "n": n, "seed": seed})
        return self._sample(n, seed)

    def features(self, place: int, items: Tensor, progress: Progress) -> Tensor:
        """What extractor number `place` says of the items; see :meth:`Features.features`."""
        if not self._shares(len(items)):
            return self._extractors[place].features(items, progress=progress)
        shape, dtype = list(items.shape), str(items.dtype).removeprefix("torch.")
        self._tell({"task": "features", "extractor": place, "shape": shape, "dtype": dtype})
        return self._features(place, items, progress)

    def help(self) -> Evaluation:
        """Do what the first worker asks for until it is done; return what it found.

        Raises:
            DataError: it ended without a result; it says why.
        """
        assert not is_first_worker()
        with alone():
            while (message := self._tell(None))["task"] != "end":
                if message["task"] == "sample":
                    self._sample(message["n"], message["seed"])
                else:
                    items = torch.empty(message["shape"], dtype=getattr(torch, message["dtype"]))
                    self._features(message["extractor"], items, silent)
        if message["evaluation"] is None:
            raise DataError("the first worker ended without a result; what it says tells why")
        return Evaluation.from_json(message["evaluation"])

    def _shares(self, n: int) -> bool:
        return self.many and n >= FEWEST * self._count

    def _sample(self, n: int, seed: int) -> Tensor:
        assert self._model is not None
        codes = self._model.sample_codes(n, seed=seed)[self._rank :: self._count]
        return self._gathered(Sampler(self._model).decode(codes).cpu(), n)

    def _features(self, place: int, items: Tensor, progress: Progress) -> Tensor:
        items = items.contiguous()
        with self._talking():
            group.broadcast(items, src=0, group=self._channel)
        whole = len(items)

        def told(what: str, done: int, _: int) -> None:
            progress(what, min(done * self._count, whole), whole)

        extractor, refused = self._extractors[place], 0
        try:
            share = items[self._rank :: self._count].contiguous()
            found = extractor.features(share, progress=told)
        except Exception:  # whatever it is: the others must hear of it before they gather
            refused = 1
        if int(self._gathered(torch.tensor([refused]), self._count).sum()):
            # By itself, the first worker says what is wrong with them; the others go on waiting.
            return extractor.features(items, progress=progress) if self._rank == 0 else items
        return self._gathered(found, whole)

    def _gathered(self, share: Tensor, whole: int) -> Tensor:
        """The whole of which every worker has its strided share, in order."""
        padded = share.new_zeros(-(-whole // self._count), *share.shape[1:])
        padded[: len(share)] = share
        shares = [torch.empty_like(padded) for _ in range(self._count)]
        with self._talking():
            group.all_gather(shares, padded, group=self._channel)
        return torch.stack(shares, 1).flatten(0, 1)[:whole]

    def _tell(self, message: dict[str, Any] | None) -> dict[str, Any]:
        """The first worker's message, on every worker; the others pass None and wait for it."""
        content = b"" if message is None else json.dumps(message).encode()
        length = torch.tensor(len(content))
        with self._talking():
            group.broadcast(length, src=0, group=self._channel)
            text = torch.zeros(int(length), dtype=torch.uint8)
            if message is not None:
                text = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            group.broadcast(text, src=0, group=self._channel)
        told: dict[str, Any] = json.loads(text.numpy().tobytes())
        return told

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Nothing but talk happens inside, so what fails there is that someone has gone."""
        try:
            yield
        except RuntimeError as error:
            self._lost = True
            raise DiptychError(
                "a worker of this evaluation ended before its time; what it said stands above or "
                "below. Evaluate again, or with --devices 1"
            ) from error


class _Shared:
    """An extractor that calls for help; its features, name and protocol are those of the one."""

    def __init__(self, crew: Crew, place: int, one: Features) -> None:
        self._crew, self._place, self._one = crew, place, one
        self.name, self.fid_name = one.name, one.fid_name
        self.protocol, self.caveat = one.protocol, one.caveat

    def features(self, items: Tensor | NDArray[Any], /, *, progress: Progress = silent) -> Tensor:
        """As the one's, a share by each worker."""
        tensor = items if isinstance(items, Tensor) else torch.from_numpy(np.array(items))
        return self._crew.features(self._place, tensor, progress)
