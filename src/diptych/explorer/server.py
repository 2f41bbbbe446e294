"""The explorer's page and what it may ask, over HTTP; `limits.Guard` stands before it."""

import asyncio
import base64
import io
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from torch import Tensor

from diptych.data import image_grid
from diptych.errors import DiptychError
from diptych.explorer import commands
from diptych.explorer.asked import (
    STEPS,
    BadRequest,
    CodesAsked,
    CommandAsked,
    DecodeAsked,
    FindAsked,
    PathAsked,
    SampleAsked,
    parse,
)
from diptych.explorer.classes import class_means
from diptych.explorer.models import Exhibit, as_pixels, as_tensor
from diptych.explorer.studio import Busy, Pulse, Studio
from diptych.explorer.uploads import MOST_BYTES, Upload, fit_upload, read_upload
from diptych.models.drawing import picture_of

__all__ = ["UPLOAD_BYTES", "UPLOAD_PATH", "Explorer"]

UPLOAD_PATH = "/api/uploads"
UPLOAD_BYTES = MOST_BYTES + (64 << 10)
"""Of a request: the file and what multipart wraps it in."""
CELLS = 8
"""Pictures per row where the page cuts them apart."""
MOST_UPLOADS = 4
"""Kept at a time; older ones are forgotten."""
ANSWER_SECONDS = 60.0
SEARCH_SECONDS = 120.0
CLASSES_SECONDS = 600.0

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}

Result = TypeVar("Result")


def _static() -> dict[str, tuple[bytes, str]]:
    """The page's own files by name, read once: no path from outside ever meets the disk."""
    folder = files("diptych.explorer") / "static"
    return {
        file.name: (file.read_bytes(), _TYPES[file.name.rpartition(".")[2]])
        for file in folder.iterdir()
        if file.name.rpartition(".")[2] in _TYPES
        and not (isinstance(file, Path) and file.is_symlink())
    }


class Explorer:
    """Live models, the thread that touches them, and the pictures that were uploaded.

    Args:
        exhibits: the models, in the order of the page.
        studio: their thread.
    """

    def __init__(self, exhibits: Sequence[Exhibit], studio: Studio) -> None:
        self._exhibits = tuple(exhibits)
        self._studio = studio
        self._uploads: OrderedDict[str, Upload] = OrderedDict()
        self._files = _static()

    def application(self) -> Starlette:
        """The routes, without the token."""
        model = "/api/models/{index}"
        routes = [
            Route("/", self._page),
            Route("/static/{name}", self._page),
            Route("/api/models", self._models),
            Route(f"{model}/codes", self._codes, methods=["POST"]),
            Route(f"{model}/decode", self._decode, methods=["POST"]),
            Route(f"{model}/sample", self._sample, methods=["POST"]),
            Route(f"{model}/path", self._path, methods=["POST"]),
            Route(f"{model}/pictures/{{page}}", self._pictures),
            Route(f"{model}/find", self._find, methods=["POST"]),
            Route(f"{model}/classes", self._classes, methods=["POST"]),
            Route(f"{model}/command", self._command, methods=["POST"]),
            Route(UPLOAD_PATH, self._upload, methods=["POST"]),
            Route("/api/jobs/{name}", self._job),
            Route("/api/jobs/{name}/cancel", self._cancel, methods=["POST"]),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={
                BadRequest: _told(400),
                Busy: _told(503),
                DiptychError: _told(422),
                HTTPException: _http_error,
            },
        )

    async def _page(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in self._files:
            raise HTTPException(404)
        content, kind = self._files[name]
        return Response(content, headers={"Content-Type": kind})

    async def _models(self, _: Request) -> Response:
        exhibits = self._exhibits
        facts = await self._ask(lambda: [_facts(i, each) for i, each in enumerate(exhibits)])
        return JSONResponse({"models": facts, "steps": STEPS})

    async def _codes(self, request: Request) -> Response:
        exhibit, asked = self._exhibit(request), parse(CodesAsked, await request.body())
        codes = await self._ask(lambda: exhibit.codes(asked.n, asked.seed).tolist())
        return JSONResponse({"codes": codes})

    async def _decode(self, request: Request) -> Response:
        exhibit, asked = self._exhibit(request), parse(DecodeAsked, await request.body())
        _check_lengths(exhibit, asked.codes)
        columns = commands.columns(len(asked.codes))
        return await self._png(
            lambda: exhibit.decode(exhibit.tensor(asked.codes)), asked.form, columns
        )

    async def _sample(self, request: Request) -> Response:
        exhibit, asked = self._exhibit(request), parse(SampleAsked, await request.body())
        _check_spread(exhibit, asked.spread)
        columns = commands.columns(asked.n)
        return await self._png(
            lambda: exhibit.sample(asked.n, asked.seed, asked.spread), asked.form, columns
        )

    async def _path(self, request: Request) -> Response:
        exhibit, asked = self._exhibit(request), parse(PathAsked, await request.body())
        _check_lengths(exhibit, [asked.start, asked.end])

        def walk() -> Tensor:
            start, end = torch.split(exhibit.tensor([asked.start, asked.end]), 1)
            return exhibit.path(start, end, asked.steps)

        return await self._png(walk, asked.form, asked.steps)

    async def _pictures(self, request: Request) -> Response:
        exhibit, page = self._with_data(request), _number(request.path_params["page"])

        def draw() -> dict[str, Any]:
            images, labels = exhibit.pictures(page)
            return {"picture": _inline(images), "count": len(images), "labels": labels}

        return JSONResponse(await self._ask(draw))

    async def _upload(self, request: Request) -> Response:
        content = await _uploaded(request)

        def read() -> dict[str, Any]:
            upload = read_upload(content)
            models = []
            for exhibit in self._exhibits:
                pixels, notes = fit_upload(upload, exhibit.model.event_shape)
                models.append({"picture": _inline(as_tensor(pixels[None])), "notes": notes})
            name = secrets.token_urlsafe(9)
            self._uploads[name] = upload
            while len(self._uploads) > MOST_UPLOADS:
                self._uploads.popitem(last=False)
            return {"upload": name, "models": models}

        return JSONResponse(await self._ask(read))

    async def _find(self, request: Request) -> Response:
        exhibit, asked = self._exhibit(request), parse(FindAsked, await request.body())
        if (asked.page is None) == (asked.upload is None):
            raise BadRequest("Name a page of held-out pictures, or an upload: one of the two.")
        if asked.upload is not None and asked.upload not in self._uploads:
            raise HTTPException(404)
        if asked.page is not None:
            self._with_data(request)

        def search(pulse: Pulse) -> dict[str, Any]:
            if asked.page is not None:
                images, _ = exhibit.pictures(asked.page)
            else:
                upload = self._uploads[asked.upload or ""]
                pixels, _ = fit_upload(upload, exhibit.model.event_shape)
                images = as_tensor(pixels[None])
            found = exhibit.find(images, pulse)
            return {
                "codes": found.codes.tolist(),
                "errors": found.errors,
                "pictures": _inline(images),
                "again": _inline(found.again),
            }

        job = self._studio.start(search, limit=SEARCH_SECONDS)
        return JSONResponse({"job": job.id}, status_code=202)

    async def _classes(self, request: Request) -> Response:
        exhibit = self._with_data(request)

        def average(pulse: Pulse) -> dict[str, Any]:
            found = class_means(exhibit, pulse)
            means = {name: mean.tolist() for name, mean in found.means.items()}
            return {"means": means, "counts": found.counts, "sentence": found.sentence}

        job = self._studio.start(average, limit=CLASSES_SECONDS)
        return JSONResponse({"job": job.id}, status_code=202)

    async def _job(self, request: Request) -> Response:
        job = self._studio.job(request.path_params["name"])
        if job is None:
            raise HTTPException(404)
        return JSONResponse(
            {
                "state": job.state,
                "passes": job.passes,
                "seconds": round(job.seconds, 2),
                "error": job.error,
                "result": job.result if job.state == "done" else None,
            }
        )

    async def _cancel(self, request: Request) -> Response:
        job = self._studio.job(request.path_params["name"])
        if job is None:
            raise HTTPException(404)
        job.cancelled = True
        return JSONResponse({"state": job.state})

    async def _command(self, request: Request) -> Response:
        exhibit, asked = self._exhibit(request), parse(CommandAsked, await request.body())
        text: str | None
        if asked.sample is not None:
            sample = asked.sample
            _check_spread(exhibit, sample.spread)
            text = commands.sample_command(exhibit, sample.n, sample.seed, sample.spread)
        elif asked.walk_seed is not None:
            text = commands.walk_command(exhibit, asked.walk_seed, STEPS)
        elif asked.path is not None:
            path = asked.path
            _check_lengths(exhibit, [path.start, path.end])
            text = commands.path_lines(exhibit, path.start, path.end, path.steps)
        elif asked.page == 0 and (text := commands.reconstruct_command(exhibit)):
            pass
        elif asked.decode is not None:
            _check_lengths(exhibit, asked.decode.codes)
            text = commands.decode_lines(exhibit, asked.decode.codes)
        else:
            raise BadRequest("Say what was shown: a sample, a path or codes.")
        return JSONResponse({"text": text})

    def _exhibit(self, request: Request) -> Exhibit:
        index = _number(request.path_params["index"])
        if index >= len(self._exhibits):
            raise HTTPException(404)
        return self._exhibits[index]

    def _with_data(self, request: Request) -> Exhibit:
        exhibit = self._exhibit(request)
        if exhibit.data is None:
            raise BadRequest(f"There are no pictures to choose from: {exhibit.without}.")
        return exhibit

    async def _ask(self, work: Callable[[], Result]) -> Result:
        """Have the studio do it; who leaves, or waits too long, is struck from its list."""
        future = self._studio.ask(work)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asyncio.wrap_future(future)

    async def _png(self, make: Callable[[], Tensor], form: str, columns: int) -> Response:
        """Images as cells, or as a picture of so many columns."""

        def draw() -> bytes:
            images = make()
            if form == "cells":
                return _encoded(_cells(images))
            return _encoded(picture_of(images, columns=columns))

        return Response(await self._ask(draw), media_type="image/png")


def _number(text: str) -> int:
    """A number in a path, of a length that costs nothing to read."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 6):
        raise HTTPException(404)
    return int(text)


async def _uploaded(request: Request) -> bytes:
    """The one file of a multipart form."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadRequest("Send the picture as the field `picture` of a multipart form.")
    try:
        async with request.form(max_files=1, max_fields=4) as form:
            file = form.get("picture")
            if isinstance(file, UploadFile):
                return await file.read()
    except (MultiPartException, HTTPException):
        raise BadRequest("The form is malformed: send one file, as the field `picture`.") from None
    raise BadRequest("Send the picture as the field `picture` of a multipart form.")


def _facts(index: int, exhibit: Exhibit) -> dict[str, Any]:
    """What the page must know of a model."""
    model, data, usage = exhibit.model, exhibit.data, exhibit.usage
    return {
        "index": index,
        "title": exhibit.title,
        "family": model.family,
        "directory": str(exhibit.directory),
        "seed": exhibit.run.info["seed"],
        "trained_on": exhibit.run.info["data"]["name"],
        "shape": list(model.event_shape),
        "latent_dim": model.latent_dim,
        "encodes": exhibit.encodes,
        "straight": exhibit.walks_straight,
        "most_spread": exhibit.most_spread,
        "order": usage.order,
        "amounts": usage.amounts,
        "unit": usage.unit,
        "usage": usage.sentence,
        "data": None if data is None else data.name,
        "held_out": exhibit.is_own,
        "classes": [] if data is None else list(data.class_names),
        "without": exhibit.without,
    }


def _check_lengths(exhibit: Exhibit, codes: Sequence[Sequence[float]]) -> None:
    latents = exhibit.model.latent_dim
    for code in codes:
        if len(code) != latents:
            raise BadRequest(
                f"A code of {exhibit.title} has {latents} values, and one with {len(code)} came."
            )


def _check_spread(exhibit: Exhibit, spread: float) -> None:
    if spread > exhibit.most_spread:
        raise BadRequest(
            f"Codes of {exhibit.title} can be scaled by at most {exhibit.most_spread:g}, "
            f"not {spread:g}."
        )


def _cells(images: Tensor) -> Image.Image:
    return image_grid(as_pixels(images), columns=min(CELLS, len(images)), gap=0, scale=1)


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _inline(images: Tensor) -> str:
    return base64.b64encode(_encoded(_cells(images))).decode()


def _told(status: int) -> Callable[[Request, Exception], JSONResponse]:
    """A handler that tells an error's sentence."""
    return lambda _, error: JSONResponse({"error": str(error)}, status_code=status)


def _http_error(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    sentence = "Nothing is here." if status == 404 else "That cannot be asked here."
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": sentence}, status_code=status, headers=headers)
