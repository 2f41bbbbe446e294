"""Latents for the page: codes of held-out images, a map, and a decoder that the page can run."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diptych.data import Data, image_grid, write_png
from diptych.evaluation.sets import Progress, silent
from diptych.evaluation.streams import stream_seed
from diptych.models import GAN, Game
from diptych.models.drawing import to_bytes
from diptych.models.game import random_stream
from diptych.models.inversion import search_codes
from diptych.study.evidence.atlas import FROM_THE_PRIOR, write_atlas
from diptych.study.evidence.codes import errors_of, pack, path_of, rounded, searches
from diptych.study.evidence.map import latent_map
from diptych.study.evidence.portable import write_decoder
from diptych.study.evidence.queries import choose_queries, query_images
from diptych.training.run import Run

__all__ = ["choose_queries", "write_latents"]

WATCHED = (0, 10, 30, 75, 150)
"""Steps of the search that the page shows; the last is where it ends."""
FOLLOWED = 4
"""Images whose search is shown."""


def write_latents(
    run: Run, data: Data, folder: Path, *, seed: int = 0, progress: Progress = silent
) -> dict[str, Any] | None:
    """The entry `latents` of evidence.json; its files go into `folder`. None for points.

    Everything is drawn from streams of its own, so the same seed gives the same entry.

    Args:
        run: a trained run, its model in evaluation mode.
        data: what it was trained on.
        folder: `page/` of the run's directory.
        seed: of searches, of codes from the prior and of the check of the decoder.
        progress: told what is being done.
    """
    model = run.model.eval()
    if not model.is_image:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    images = query_images(data).to(model.device)
    progress("finding codes for the page", 0, 3)
    codes, steps = _find(model, images, folder, stream_seed(seed, "page/search"))
    progress("drawing a map of latents", 1, 3)
    drawn = latent_map(model, data, seed=seed, progress=progress)
    progress("translating the decoder", 2, 3)
    file, why_not = write_decoder(model, folder, seed=stream_seed(seed, "page/check"))
    atlas = None
    if file is None:
        prior = model.sample_codes(FROM_THE_PRIOR, seed=stream_seed(seed, "page/atlas"))
        atlas = write_atlas(model, codes, prior, folder)
    progress("translating the decoder", 3, 3)
    return {
        "latent_dim": model.latent_dim,
        "path": path_of(model, seed=stream_seed(seed, "page/path")),
        "search": searches(model),
        "event_shape": list(model.event_shape),
        "queries": {
            "codes": pack(codes),
            "errors": [round(error, 6) for error in errors_of(model, codes, images)],
            "steps": steps,
        },
        "map": drawn,
        "decoder": None if file is None else {"file": f"page/{file}"},
        "why_not": why_not,
        "atlas": atlas,
    }


def _find(
    model: Game, images: Tensor, folder: Path, seed: int
) -> tuple[Tensor, dict[str, Any] | None]:
    """Codes of the images (N, L) in half precision, and for a GAN the search as it went."""
    if not isinstance(model, GAN):
        return rounded(model.find_codes(images, seed=seed)), None
    with random_stream(seed):
        found = search_codes(model.decode_mean, images, model.latent_dim, watch=WATCHED)
    assert found.watched is not None
    return rounded(found.codes), _draw_search(model, images, found.watched, folder)


def _draw_search(model: Game, images: Tensor, watched: Tensor, folder: Path) -> dict[str, Any]:
    """Write `search.png`: a row per image, a column per step watched, the image itself last.

    Args:
        model: what decodes.
        images: (N, C, H, W); the first four are drawn.
        watched: (steps, N, L).
        folder: where to write.

    Returns:
        `steps` of queries; `errors` has a row per image and a column per step.
    """
    few = images[:FOLLOWED]
    ways = watched[:, : len(few)]
    with torch.inference_mode():
        pictures = torch.stack([model.decode_mean(codes) for codes in ways], dim=1)
    rows = torch.cat([pictures, few[:, None]], dim=1)
    sheet = image_grid(to_bytes(rows.flatten(0, 1)), columns=rows.shape[1], scale=1)
    write_png(sheet, folder / "search.png")
    errors = (pictures - few[:, None]).square().flatten(2).mean(2)
    return {
        "picture": "page/search.png",
        "columns": rows.shape[1],
        "at": list(WATCHED),
        "errors": [[round(float(e), 6) for e in row] for row in errors],
    }
