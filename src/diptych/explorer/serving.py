"""A server on 127.0.0.1 until Ctrl-C."""

import secrets
import signal
import socket
from collections.abc import Callable, Sequence

import uvicorn
from starlette.types import ASGIApp

from diptych.errors import DiptychError
from diptych.explorer.limits import Guard, ImpatientProtocol
from diptych.explorer.models import Exhibit
from diptych.explorer.server import UPLOAD_BYTES, UPLOAD_PATH, Explorer
from diptych.explorer.studio import Studio

__all__ = ["guarded", "listen", "new_server", "serve"]

LOCAL = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """A socket that listens on a port of this machine alone; 0 takes a free one.

    Raises:
        DiptychError: the port cannot be had.
    """
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((LOCAL, port))
        door.listen(64)
    except OSError as error:
        door.close()
        raise DiptychError(
            f"port {port} of {LOCAL} cannot be had ({(error.strerror or str(error)).lower()}); "
            "name another with --port, or leave it out and a free one is taken"
        ) from None
    return door


def guarded(explorer: Explorer, *, token: str, port: int, body_seconds: float = 15.0) -> ASGIApp:
    """The whole application: the explorer behind its guard."""
    return Guard(
        explorer.application(),
        token=token,
        port=port,
        upload_path=UPLOAD_PATH,
        upload_bytes=UPLOAD_BYTES,
        body_seconds=body_seconds,
    )


def new_server(app: ASGIApp) -> uvicorn.Server:
    """A server of one worker, quiet (addresses hold the token), strict and impatient."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=ImpatientProtocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=64,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=16 << 10,
        )
    )


def serve(exhibits: Sequence[Exhibit], *, port: int = 0, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C or SIGTERM, which is its ordinary end.

    Args:
        exhibits: the live models.
        port: where to listen; 0 takes a free port.
        ready: called with the address, once it is answered.

    Raises:
        DiptychError: the port cannot be had.
    """
    door = listen(port)
    token = secrets.token_urlsafe(24)
    studio = Studio()
    port = door.getsockname()[1]
    server = new_server(guarded(Explorer(exhibits, studio), token=token, port=port))
    # uvicorn ends on a signal and then raises it again; SIGTERM shall end like Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ready(f"http://{LOCAL}:{port}/{token}/")
        server.run(sockets=[door])
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)
        studio.close()
        door.close()
