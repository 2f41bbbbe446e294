"""Who may ask, how much, and for how long."""

import asyncio
import socket
from importlib.resources import files

import pytest

from diptych.explorer import limits
from diptych.explorer.limits import HEADERS, Guard
from diptych.explorer.server import UPLOAD_BYTES, Explorer

TOKEN, PORT = "a-token-of-the-tests", 8123
HOST = f"127.0.0.1:{PORT}"
SAMPLE = "/api/models/0/sample"
ASKED = {"n": 1, "seed": 0, "spread": 1}


def test_every_answer_carries_the_headers(client) -> None:
    answers = [
        client.get("/"),
        client.get("/static/explore.js"),
        client.get("/api/models"),
        client.post(SAMPLE, json=ASKED),
        client.get("/nothing"),
        client.get("/", headers={"Host": "evil.example"}),
        client.post(SAMPLE, content=b"{"),
        client.request("PUT", SAMPLE, json=ASKED),
    ]
    assert [a.status_code for a in answers] == [200, 200, 200, 200, 404, 403, 400, 405]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert HEADERS["Cache-Control"] == "no-store"
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
    assert HEADERS["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/", "/api/models", "/static/explore.js", f"/{TOKEN}", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/",
        f"/{TOKEN.upper()}/", f"//{TOKEN}/", f"/x/{TOKEN}/", "/%00/", "/%C3%A9/api/models",
    ],
)  # fmt: skip
def test_without_the_token_nothing_is_here(path, application, client_of) -> None:
    answer = client_of(application).get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Nothing is here."})


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (HOST, 200), (f"localhost:{PORT}", 200), (f"LOCALHOST:{PORT}", 200),
        ("evil.example", 403), (f"evil.example:{PORT}", 403), ("127.0.0.1", 403),
        (f"127.0.0.1:{PORT + 1}", 403), (f"127.0.0.1:{PORT}.evil.example", 403), ("", 403),
        (f"[::1]:{PORT}", 403),
    ],
)  # fmt: skip
def test_only_its_own_name(host, status, client) -> None:
    assert client.get("/api/models", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [(f"http://{HOST}", 200), (f"http://localhost:{PORT}", 200), ("https://evil.example", 403),
     ("null", 403), (f"http://127.0.0.1:{PORT + 1}", 403)],
)  # fmt: skip
def test_only_its_own_page_may_ask(origin, status, client) -> None:
    assert client.post(SAMPLE, json=ASKED, headers={"Origin": origin}).status_code == status


@pytest.mark.parametrize("index", ["2", "9" * 20, "9" * 5000, "-1", "1.0", "x", "%30x", "²"])
def test_unknown_models(index, client) -> None:
    answer = client.post(f"/api/models/{index}/sample", json=ASKED)
    assert (answer.status_code, answer.json()) == (404, {"error": "Nothing is here."})


@pytest.mark.parametrize(
    ("where", "body"),
    [
        ("decode", '{"codes": [[NaN, 0, 0, 0]]}'),
        ("decode", '{"codes": [[Infinity, 0, 0, 0]]}'),
        ("decode", '{"codes": [[1e999, 0, 0, 0]]}'),
        ("decode", '{"codes": [[1e9, 0, 0, 0]]}'),
        ("decode", '{"codes": [[0, 0, 0]]}'),
        ("decode", '{"codes": [[0, 0, 0, 0, 0]]}'),
        ("decode", '{"codes": []}'),
        ("decode", '{"codes": [[]]}'),
        ("decode", '{"codes": [["0", 0, 0, 0]]}'),
        ("decode", '{"codes": [[true, 0, 0, 0]]}'),
        ("decode", '{"codes": [[null, 0, 0, 0]]}'),
        ("decode", '{"codes": ' + str([[0, 0, 0, 0]] * 65) + "}"),
        ("decode", '{"codes": [[0, 0, 0, 0]], "form": "pickle"}'),
        ("decode", "[" * 10_000),
        ("decode", ""),
        ("decode", "null"),
        ("sample", '{"n": 65, "seed": 0, "spread": 1}'),
        ("sample", '{"n": 0, "seed": 0, "spread": 1}'),
        ("sample", '{"n": 1.5, "seed": 0, "spread": 1}'),
        ("sample", '{"n": 1, "seed": -1, "spread": 1}'),
        ("sample", '{"n": 1, "seed": 9223372036854775808, "spread": 1}'),
        ("sample", '{"n": 1, "seed": 0, "spread": 0}'),
        ("sample", '{"n": 1, "seed": 0, "spread": NaN}'),
        ("sample", '{"n": 1, "seed": 0, "spread": 2.5}'),
        ("sample", '{"n": 1, "seed": 0, "spread": 1, "path": "/etc/passwd"}'),
        ("path", '{"start": [0, 0, 0, 0], "end": [0, 0, 0]}'),
        ("path", '{"start": [0, 0, 0, 0], "end": [0, 0, 0, 0], "steps": 1}'),
        ("path", '{"start": [0, 0, 0, 0], "end": [0, 0, 0, 0], "steps": 100000}'),
        ("find", "{}"),
        ("find", '{"page": 0, "upload": "x"}'),
        ("find", '{"page": -1}'),
        ("command", "{}"),
    ],
)  # fmt: skip
def test_numbers_are_checked(where, body, client) -> None:
    answer = client.post(f"/api/models/0/{where}", content=body.encode())
    assert answer.status_code == 400
    sentence = answer.json()["error"]
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "pydantic" not in sentence


def test_unknown_jobs_and_uploads(client) -> None:
    assert client.get("/api/jobs/nothing").status_code == 404
    assert client.post("/api/jobs/nothing/cancel", json={}).status_code == 404
    assert client.post("/api/models/0/find", json={"upload": "nothing"}).status_code == 404


PATHS = [
    "static/../server.py", "static/..%2fserver.py", "static/%2e%2e/server.py",
    "static/%2e%2e%2fserver.py", "static/..%252fserver.py", "static//etc/passwd",
    "static/%2fetc%2fpasswd", "static/..%5cserver.py", "static/explore.js/../../server.py",
    "static/explore.js%00.css", "static/", "static", "static/.", "static/secret.css",
    "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "api/models/0/../../../run.json",
    "api/models/0/run.json", "api/models/0/pictures/..%2f0", "file:///etc/passwd",
]  # fmt: skip


def test_nothing_else_is_readable(at_port, raw) -> None:
    """Raw requests: clients tidy such paths before they send them."""
    with at_port() as port:
        for path in PATHS:
            heard = raw(
                port,
                f"GET /{TOKEN}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                "Connection: close\r\n\r\n".encode(),
            )
            assert heard.split(b" ")[1] == b"404", (path, heard[:200])
            assert heard.endswith(b'{"error":"Nothing is here."}'), (path, heard)
        whole = raw(
            port,
            f"GET /{TOKEN}/static/explore.css HTTP/1.1\r\nHost: localhost:{port}\r\n"
            "Connection: close\r\n\r\n".encode(),
        )
        assert whole.startswith(b"HTTP/1.1 200")
        assert b"server:" not in whole.lower()


def test_the_page_is_the_packages_own(client) -> None:
    folder = files("diptych.explorer") / "static"
    names = sorted(file.name for file in folder.iterdir())
    assert "index.html" in names
    for name in names:
        assert client.get(f"/static/{name}").content == (folder / name).read_bytes()


def test_a_symlink_in_the_folder_of_the_page_leads_nowhere(
    exhibits, studio, client_of, tmp_path, monkeypatch
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = tmp_path / "package" / "static"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("page")
    (folder / "link.js").symlink_to(secret)
    monkeypatch.setattr("diptych.explorer.server.files", lambda _: folder.parent)
    client = client_of(Explorer(exhibits, studio).application())
    assert client.get("/").text == "page"
    assert client.get("/static/link.js").status_code == 404
    (folder / "late.js").symlink_to(secret)
    assert client.get("/static/late.js").status_code == 404


def test_oversized_bodies(client) -> None:
    large = b'{"codes": [[' + b"0," * limits.BODY_BYTES + b"0]]}"
    answer = client.post("/api/models/0/decode", content=large)
    assert (answer.status_code, answer.json()["error"]) == (
        413, "The request is larger than 2 MiB.",
    )  # fmt: skip
    answer = client.post("/api/uploads", content=b"x" * (UPLOAD_BYTES + 1))
    assert answer.status_code == 413
    for lie in ("-1", "many", "1e9", str(10**30)):
        answer = client.post("/api/models/0/decode", content=b"", headers={"Content-Length": lie})
        assert answer.status_code == 413


def test_a_body_without_a_length_is_counted_as_it_comes(at_port, raw) -> None:
    head = "POST /{}/api/{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with at_port() as port:
        for path, most in (("models/0/decode", limits.BODY_BYTES), ("uploads", UPLOAD_BYTES)):
            # No more than it reads before it refuses, or the reset would overtake the answer.
            body = b"%x\r\n" % (most + 1) + b"x" * (most + 1)
            heard = raw(port, head.format(TOKEN, path, port).encode(), body)
            assert heard.startswith(b"HTTP/1.1 413"), heard[:100]
            assert b"larger than" in heard


def test_a_slow_body_is_given_up_and_others_are_served(at_port, raw) -> None:
    head = (
        f"POST /{TOKEN}/api/models/0/decode HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        "Content-Length: 100\r\n\r\n{"
    )
    with at_port(body_seconds=0.3) as port:
        slow = socket.create_connection(("127.0.0.1", port), timeout=20)
        with slow:
            slow.sendall((head % port).encode())
            served = raw(
                port,
                f"GET /{TOKEN}/api/models HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                "Connection: close\r\n\r\n".encode(),
            )
            assert served.startswith(b"HTTP/1.1 200")
            heard = b""
            while more := slow.recv(65536):
                heard += more
        assert heard.startswith(b"HTTP/1.1 408")
        assert b"did not arrive in time" in heard


@pytest.mark.parametrize("said", [b"", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_client_that_asks_nothing_is_hung_up_on(said, at_port, raw, monkeypatch) -> None:
    monkeypatch.setattr(limits, "SILENT_SECONDS", 0.1)
    with at_port() as port:
        assert raw(port, said) == b""


def test_a_slow_second_request_is_hung_up_on(at_port, raw, monkeypatch) -> None:
    monkeypatch.setattr(limits, "SILENT_SECONDS", 0.2)
    with at_port() as port:
        heard = raw(
            port,
            f"GET /{TOKEN}/static/explore.js HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode(),
            b"GET / HT",
        )
    assert heard.count(b"HTTP/1.1 ") == 1


def test_an_enormous_head_is_refused(at_port, raw) -> None:
    with at_port() as port:
        heard = raw(port, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n" + b"\r\n")
    assert b" 400 " in heard[:20] or b" 403 " in heard[:20]


def asked_of(guard: Guard, *messages: dict) -> list[dict]:
    """Give an ASGI application messages, and then silence; return what it sends."""
    sent: list[dict] = []

    async def converse() -> None:
        waiting = list(messages)

        async def receive() -> dict:
            if not waiting:
                await asyncio.sleep(3600)
            return waiting.pop(0)

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": f"/{TOKEN}/x",
            "headers": [(b"host", HOST.encode())],
        }  # fmt: skip
        await guard(scope, receive, send)

    asyncio.run(converse())
    return sent


def guard_of(app, **kwargs) -> Guard:
    return Guard(app, token=TOKEN, port=PORT, upload_path="/up", upload_bytes=100, **kwargs)


def test_a_body_that_drips_is_timed_as_a_whole() -> None:
    reached = []
    guard = guard_of(lambda *_: reached.append(1), body_seconds=0.05)
    drip = {"type": "http.request", "body": b"x", "more_body": True}
    sent = asked_of(guard, drip, drip)
    assert [sent[0]["status"], reached] == [408, []]


def test_a_client_that_leaves_is_not_answered_by_the_models() -> None:
    reached = []
    guard = guard_of(lambda *_: reached.append(1))
    sent = asked_of(guard, {"type": "http.disconnect"})
    assert [sent[0]["status"], reached] == [400, []]


def test_what_takes_too_long_is_given_up(monkeypatch) -> None:
    async def forever(*_) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.05)
    guard = guard_of(forever)
    sent = asked_of(guard, {"type": "http.request", "body": b""})
    assert sent[0]["status"] == 503


def test_too_many_at_once_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(limits, "MOST_AT_ONCE", 0)
    sent = asked_of(guard_of(None), {"type": "http.request", "body": b""})
    assert sent[0]["status"] == 503


def test_websockets_are_closed(application) -> None:
    sent: list[dict] = []

    async def converse() -> None:
        async def send(message: dict) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": f"/{TOKEN}/", "headers": [(b"host", HOST.encode())]}
        await application(scope, None, send)

    asyncio.run(converse())
    assert sent == [{"type": "websocket.close", "code": 1008}]
