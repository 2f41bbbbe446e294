"""Two tiny live models behind the explorer, in this process or on a real port."""

import asyncio
import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from diptych import train
from diptych.explorer.models import Exhibit
from diptych.explorer.runs import open_exhibits
from diptych.explorer.server import Explorer
from diptych.explorer.serving import guarded, listen, new_server
from diptych.explorer.studio import Studio

TOKEN = "a-token-of-the-tests"
PORT = 8123


class Client:
    """Asks an ASGI application of this process, one question after the other."""

    def __init__(self, application: Any, base: str) -> None:
        self._application = application
        self._base = base

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The whole answer."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._application)
            async with httpx.AsyncClient(transport=transport, base_url=self._base) as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)


@pytest.fixture(scope="session")
def client_of() -> Callable[..., Client]:
    """A client of any application, under the right name and no token unless the base has one."""
    return lambda application, base=f"http://127.0.0.1:{PORT}": Client(application, base)


@pytest.fixture(scope="session")
def run_directories(tiny_recipe, disc_data, tmp_path_factory) -> dict[str, Path]:
    """A finished run of each kind; for reading."""
    folder = tmp_path_factory.mktemp("explored")
    return {
        kind: train(tiny_recipe(kind), disc_data, images=160, out=folder / kind).directory
        for kind in ("vae", "gan")
    }


@pytest.fixture(scope="session")
def exhibits(run_directories) -> list[Exhibit]:
    """The VAE (0) and the GAN (1), with the discs they were trained on."""
    return open_exhibits(list(run_directories.values()))


@pytest.fixture
def studio() -> Iterator[Studio]:
    studio = Studio()
    yield studio
    studio.close()


@pytest.fixture
def application(exhibits, studio):
    """The explorer behind its guard, as an ASGI application."""
    return guarded(Explorer(exhibits, studio), token=TOKEN, port=PORT)


@pytest.fixture
def client(application) -> Client:
    """Asks under the right token and name."""
    return Client(application, f"http://127.0.0.1:{PORT}/{TOKEN}")


@pytest.fixture
def at_port(exhibits) -> Callable[..., Any]:
    """Serve on a real port inside a with block; gives the port."""

    @contextmanager
    def serve(*, body_seconds: float = 5.0) -> Iterator[int]:
        studio, door = Studio(), listen(0)
        port = door.getsockname()[1]
        server = new_server(
            guarded(Explorer(exhibits, studio), token=TOKEN, port=port, body_seconds=body_seconds)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            yield port
        finally:
            server.should_exit = True
            thread.join(20)
            studio.close()
            door.close()
        assert not thread.is_alive()

    return serve


@pytest.fixture
def cells() -> Callable[..., np.ndarray]:
    """Cut a PNG of cells, eight to a row, into uint8 (n, H, W, 3)."""

    def cut(png: bytes, n: int, height: int = 12, width: int = 12) -> np.ndarray:
        with Image.open(io.BytesIO(png)) as image:
            assert image.format == "PNG"
            sheet = np.asarray(image.convert("RGB"))
        assert sheet.shape == (-(-n // 8) * height, min(n, 8) * width, 3)
        return np.stack(
            [sheet[i // 8 * height :, i % 8 * width :][:height, :width] for i in range(n)]
        )

    return cut


@pytest.fixture
def raw() -> Callable[..., bytes]:
    """Send bytes to a port and give all that comes back until the connection is closed."""

    def speak(port: int, *parts: bytes, patience: float = 20.0) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=patience) as line:
            for part in parts:
                line.sendall(part)
            heard = b""
            while more := line.recv(65536):
                heard += more
            return heard

    return speak
