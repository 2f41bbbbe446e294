"""`diptych explore` as a real process: its address, its answer, its end, and its refusals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress

import pytest

from diptych.cli import explore as command


@pytest.fixture
def explored(environment, runs, tmp_path):
    """Start the command; it is killed if it does not end by itself."""
    processes = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "diptych", "explore", *map(str, arguments)],
            env={**environment, "DISPLAY": "", "WAYLAND_DISPLAY": ""}, cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def test_it_prints_its_address_answers_and_ends(explored, runs) -> None:
    process = explored(runs["vae"], runs["gan"])
    address = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address), process.stderr.read()
    with urllib.request.urlopen(f"{address}api/models", timeout=60) as answer:
        models = json.load(answer)["models"]
    assert [model["title"] for model in models] == ["Tiny VAE", "Tiny GAN"]
    with pytest.raises(urllib.error.HTTPError, match="404") as refusal:
        urllib.request.urlopen(f"{address[:-2]}/api/models", timeout=60)
    refusal.value.close()
    port = int(address.split(":")[2].partition("/")[0])
    for other in own_addresses():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((other, port), timeout=5).close()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, ""), err
    assert err.splitlines()[-1] == "stopped"
    assert "Traceback" not in err


def own_addresses() -> list[str]:
    """Addresses of this machine other than the loopback, where it has any."""
    with suppress(OSError):
        found = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)}
        return [address for address in found if not address.startswith(("127.", "::1"))]
    return []


def test_a_busy_port(refused, runs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("explore", runs["vae"], "--port", port, "--no-open")
    assert said == (
        f"diptych: port {port} of 127.0.0.1 cannot be had (address already in use); name another "
        "with --port, or leave it out and a free one is taken"
    )


def test_a_missing_extra(refused, runs, monkeypatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "uvicorn" else name)
    said = refused("explore", runs["vae"], "--no-open")
    assert said == "diptych: explore needs a small web server: pip install 'diptych[explore]'"


def test_what_is_no_run(refused, runs, tmp_path) -> None:
    assert "there is no run directory" in refused("explore", tmp_path / "nothing", "--no-open")
    assert "is not a run" in refused("explore", tmp_path, "--no-open")
    said = refused("explore", runs["vae"], "--data", tmp_path / "none", "--no-open")
    assert "is neither a file or folder here" in said


@pytest.mark.parametrize(
    ("flags", "display", "opened"),
    [((), ":0", True), ((), "", False), (("--no-open",), ":0", False)],
)
def test_the_browser(flags, display, opened, diptych, runs, monkeypatch) -> None:
    """It is opened where there is a screen for it and nobody asked otherwise."""
    shown: list[str] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("webbrowser.open", shown.append)

    def run_briefly(server, sockets) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("uvicorn.Server.run", run_briefly)
    ended = diptych("explore", runs["gan"], *flags)
    assert ended.code == 0, ended
    assert shown == ([ended.out.strip()] if opened else [])
    assert ended.err.endswith("stopped\n")
