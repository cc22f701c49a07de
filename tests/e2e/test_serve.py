"""The server as a process: its answers, rude clients, and how it ends."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

import lexiseg
from lexiseg import imaging

pytest.importorskip("fastapi")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]

PHOTO = Path("examples/photos/cows.jpg")
WORDS = ["cow", "grass", "sky"]


@contextmanager
def serving(*flags: str):
    """Yield a server's process and address; it ends by SIGTERM, with exit code 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lexiseg", "serve", "--port", "0", "--quiet", *flags],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process, re.search(r"http://\S+", process.stdout.readline())[0]
    finally:
        process.terminate()
        assert process.wait(60) == 0
        process.stdout.close()


@pytest.fixture(scope="module")
def server():
    with serving("--upload-seconds", "2") as (process, address):
        wait_until_ready(address)
        yield process, address


def wait_until_ready(address: str) -> None:
    with lexiseg.Client(address) as client:
        end = time.monotonic() + 60
        while not client.ready():
            assert time.monotonic() < end
            time.sleep(0.1)


def raw(address: str, data: bytes, *, wait: float = 10.0) -> bytes:
    """Send bytes and return what comes back until the server closes, or nothing more comes."""
    parts = urlsplit(address)
    out = b""
    with socket.create_connection((parts.hostname, parts.port), wait) as sock:
        with suppress(ConnectionError):
            sock.sendall(data)
        with suppress(TimeoutError, ConnectionError):
            while chunk := sock.recv(65536):
                out += chunk
                if b"\r\n\r\n" in out and b"content-length: 0" in out:
                    break
    return out


def test_a_client_gets_what_the_command_writes(server, tmp_path):
    _, address = server
    done = subprocess.run(
        [sys.executable, "-m", "lexiseg", "segment", str(PHOTO), *WORDS, "--out", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with lexiseg.Client(address) as client:
        for image in (PHOTO, PHOTO.read_bytes(), imaging.read(PHOTO).rgb):
            out = client.segment(image, WORDS)
            for word in out.found:
                mask = imaging.read(tmp_path / "cows" / "masks" / f"{word}.png").rgb[:, :, 0] > 0
                np.testing.assert_array_equal(out.mask(word), mask)
        edited = client.edit(PHOTO, "blur", out["cow"], radius=4)
        assert edited.save(tmp_path / "edited.png").is_file()
        assert edited.picture.size_hw == out.size_hw
        with pytest.raises(lexiseg.errors.NothingFound):
            client.edit(PHOTO, "blur", "zebra")
        with pytest.raises(lexiseg.errors.PictureError):
            client.segment(b"no picture", WORDS)
        with pytest.raises(lexiseg.errors.OptionError):
            edited.save(tmp_path / "edited.jpg")
        assert client.models()["method"] == "dense"


def test_nobody_there_is_told_in_a_line():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with lexiseg.Client(address) as client:
            assert not client.ready()
            with pytest.raises(lexiseg.errors.ServerError, match="no answer"):
                client.models()
    with pytest.raises(lexiseg.errors.OptionError):
        lexiseg.Client("localhost:8008")


def test_a_port_that_is_taken_is_told(server):
    port = str(urlsplit(server[1]).port)
    done = subprocess.run(
        [sys.executable, "-m", "lexiseg", "serve", "--port", port],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--port" in done.stderr


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
        (b"\x16\x03\x01 this is no HTTP\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", b"4"),
        (b"POST /v1/segment HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
         b"content-length: 99999999999\r\n\r\n", b"413"),
        (b"POST /v1/segment HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
         b"content-length: 100\r\n\r\n{", b"408"),  # the rest never comes
        (b"GET /heal", b"408"),
    ],
)  # fmt: skip
def test_rude_clients_get_4xx(server, data, status):
    process, address = server
    answer = raw(address, data)
    assert re.match(rb"HTTP/1\.1 " + status, answer), answer[:200]
    assert process.poll() is None
    wait_until_ready(address)


KEYS = [
    "words", "points", "boxes", "masks", "threshold", "thresholds", "examples", "background",
    "digest", "image", "flat", "steps", "format", "a", "b",
]  # fmt: skip


ROUTES = [f"/v1/{name}" for name in ("segment", "edit", "refine", "export", "track", "frames")]


def mutated(rng: random.Random) -> dict[str, object]:
    """A request that is nearly right."""
    value = rng.choice(
        [None, True, -1, 1e308, "x" * 3000, "\0", [], [[]], {}, "@/etc/passwd", "😀"]
    )
    body: dict[str, object] = {"words": "cow", "points": [], "masks": "rle"}
    key = rng.choice(KEYS)
    body[key] = value
    return body


@pytest.mark.timeout(300)
def test_a_thousand_malformed_requests(server):
    import httpx

    process, address = server
    rng = random.Random(5)
    tiny = imaging.encode("a.png", np.full((20, 30, 3), 90, np.uint8))
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        for number in range(1000):
            path = rng.choice(ROUTES)
            body = json.dumps(mutated(rng)).encode()
            how = number % 4
            of_json = {"content-type": "application/json"}
            if how == 0:
                cut = rng.randrange(len(body))
                body = body[:cut] + bytes([rng.randrange(256)]) + body[cut + 1 :]
                answer = client.post(path, content=body, headers=of_json)
            elif how == 1:
                answer = client.post(path, content=body, headers=of_json)
            elif how == 2:
                name = "frames" if path in ROUTES[-2:] else "image"
                answer = client.post(path, files={name: ("a", tiny)}, data={"request": body})
            else:
                damaged = bytearray(tiny)
                damaged[rng.randrange(len(tiny))] ^= 1 << rng.randrange(8)
                fields = {key: "" if value is None else str(value) for key, value in
                          mutated(rng).items()}  # fmt: skip
                answer = client.post(path, files={"image": ("a", bytes(damaged))}, data=fields)
            assert answer.status_code < 500, (path, body[:200], answer.text[:300])
            if answer.status_code >= 400:
                assert "\n" not in answer.json()["error"]["message"]
    assert process.poll() is None


@pytest.mark.timeout(300)
def test_connections_that_are_opened_and_left(server):
    process, address = server
    parts = urlsplit(address)
    before = memory_of(process.pid)
    for _ in range(20):  # 10,000 in all
        left = []
        for _ in range(500):
            with suppress(OSError):
                left.append(socket.create_connection((parts.hostname, parts.port), 5))
        for sock in left:
            sock.close()
    wait_until_ready(address)
    if before:
        assert memory_of(process.pid) < before + (60 << 20)


def memory_of(pid: int) -> int:
    """Resident bytes of a process, 0 where the system does not tell."""
    with suppress(OSError, ValueError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


@pytest.mark.timeout(300)
def test_sigterm_answers_what_was_accepted():
    with serving() as (process, address):
        wait_until_ready(address)
        answers: list[int] = []
        lost: list[str] = []
        started = threading.Barrier(7)

        def ask(number: int) -> None:
            with lexiseg.Client(address) as client:
                started.wait()
                try:
                    answers.append(len(client.segment(PHOTO, [*WORDS, f"word {number}"])))
                except lexiseg.errors.LexisegError as error:
                    lost.append(str(error))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        started.wait()
        with lexiseg.Client(address) as client:
            end = time.monotonic() + 30
            while waiting_at(client) < 3 and time.monotonic() < end and len(answers) < 3:
                time.sleep(0.01)
        time.sleep(0.3)  # all six are accepted by now
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert lost == []
        assert len(answers) == 6


def waiting_at(client: lexiseg.Client) -> float:
    text = client._http.get("/metrics").text
    return float(re.search(r"^lexiseg_queue_length (\S+)", text, re.M)[1])


@pytest.mark.timeout(600)
def test_the_openapi_document_holds_under_schemathesis(tmp_path):
    pytest.importorskip("schemathesis")
    with serving() as (_, address):
        wait_until_ready(address)
        command = Path(sys.executable).with_name("schemathesis")
        done = subprocess.run(
            [command, "run", f"{address}/openapi.json", "--max-examples", "30", "--phases",
             "examples,fuzzing", "--checks", "not_a_server_error", "--seed", "5", "--no-color",
             "--exclude-path", "/v1/release"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.timeout(300)
def test_several_processes_answer_at_one_address():
    with serving("--workers", "2") as (process, address):
        wait_until_ready(address)
        want = lexiseg.load("tiny")(PHOTO, WORDS).masks.to_rle()
        masks: list[object] = []
        lost: list[str] = []

        def ask() -> None:
            with lexiseg.Client(address) as client:
                try:
                    masks.append(client.segment(PHOTO, WORDS).masks.to_rle())
                except lexiseg.errors.LexisegError as error:
                    lost.append(str(error))

        def ask_together(count: int) -> list[threading.Thread]:
            threads = [threading.Thread(target=ask) for _ in range(count)]
            for thread in threads:
                thread.start()
            return threads

        end = time.monotonic() + 120
        seen: set[str] = set()
        with lexiseg.Client(address) as client:
            while seen != {"0", "1"} and time.monotonic() < end:  # until both have worked
                for thread in ask_together(4):
                    thread.join()
                text = client._http.get("/metrics").text
                seen = set(re.findall(r'model_seconds_count{process="(\d)",work="segment"}', text))
        assert seen == {"0", "1"}
        # One that dies is started again.
        victim = worker_of(process.pid)
        if victim is not None:
            os.kill(victim, signal.SIGKILL)
            while worker_of(process.pid) in (victim, None) and time.monotonic() < end:
                time.sleep(0.1)
            assert worker_of(process.pid) not in (victim, None)
        lost.clear()  # what the killed process had accepted
        wait_until_ready(address)
        last = ask_together(6)
        time.sleep(0.5)  # all are accepted by now
        process.send_signal(signal.SIGTERM)
        for thread in last:
            thread.join(60)
        assert lost == []
        assert all(one == want for one in masks)


def worker_of(pid: int) -> int | None:
    """The first process of a server that serves; None where the system does not tell."""
    with suppress(OSError, ValueError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in map(int, children):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    return None


def test_workers_are_counted(capsys):
    from lexiseg.cli import main

    assert main(["serve", "--workers", "0"]) == 2
    assert "--workers is 0" in capsys.readouterr().err
