"""`lexiseg serve` as a process, on loopback: what one client gets, what fifty get, and a click."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from benchmarks.machine import ROOT, Unmeasurable, resident_mb
from benchmarks.rows.common import markdown

ABOUT = "the server: 50 clients against one, memory, and the time from a click to its mask"
NEEDS = ()
SPEED = True
PHOTOS = ROOT / "examples" / "photos"
NAMES = ("cows", "pets", "street", "plane", "railway")
WORDS = "person; dog; cow; car; grass; sky; tree"
CLIENTS = 50
SECONDS = 60
CLICKS = 40
_READY_SECONDS = 120.0


@dataclass
class Load:
    """What clients were told: seconds of each answer by its status, and how many got one."""

    clients: int
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)  # by client
    wall: float = 0.0


def run(options: Namespace) -> dict[str, Any]:
    """Start a server and ask; `--limit` gives the seconds of each load."""
    if options.method != "tiny":
        raise Unmeasurable("the server is timed with tiny, which it serves by default")
    seconds = options.limit or SECONDS
    photos = [(PHOTOS / f"{name}.jpg").read_bytes() for name in NAMES]
    with _serving(options.device) as (process, address):
        import httpx2

        with httpx2.Client(base_url=address, timeout=60, trust_env=False) as client:
            for photo in photos:  # encoded before anything is timed
                _ask(client, photo)
            clicks = _clicks(client, photos[0])
        before = round(resident_mb(process.pid)) or None
        one = _load(address, photos, 1, seconds)
        middle = round(resident_mb(process.pid)) or None
        many = _load(address, photos, CLIENTS, seconds)
        after = round(resident_mb(process.pid)) or None
    return {
        "seconds": seconds,
        "clients": CLIENTS,
        "photos": len(photos),
        "one": summary(one),
        "many": summary(many),
        "click": clicks,
        "memory_mb": {"before": before, "after_one": middle, "after_many": after},
    }


def table(result: dict[str, Any]) -> str:
    """Return a line a number."""
    one, many, click = result["one"], result["many"], result["click"]
    lines = [["answers a second", f"{one['rate']:.1f}", f"{many['rate']:.1f}"]]
    lines.append(["times the rate of one alone", "1", f"{many['rate'] / one['rate']:.2f}"])
    lines.append(
        ["clients that got an answer", *(f"{r['answered']} of {r['clients']}" for r in (one, many))]
    )
    for name in ("p50", "p95"):
        lines.append([f"seconds, {name}", f"{one[name]:.2f}", f"{many[name]:.2f}"])
    statuses = sorted({status for r in (one, many) for status in r["statuses"]})
    for status in statuses:
        counts = [str(r["statuses"].get(status, 0)) for r in (one, many)]
        lines.append([f"answers with status {status}", *counts])
    memory = result["memory_mb"]
    lines.append(["memory afterwards", *(_mb(memory[k]) for k in ("after_one", "after_many"))])
    text = markdown(["what", "one client", f"{result['clients']} clients"], lines)
    return (
        f"{text}\n\n{result['seconds']} s each, {result['photos']} photos, encoded already but "
        f"sent whole each time. Memory before: {_mb(memory['before'])}. A click on an encoded "
        f"photo: {click['server_p50_ms']:.0f} ms in the server's model (p95 "
        f"{click['server_p95_ms']:.0f} ms), {click['round_p50_ms']:.0f} ms for the client (p95 "
        f"{click['round_p95_ms']:.0f} ms), {click['clicks']} clicks."
    )


def _mb(value: int | None) -> str:
    return "-" if value is None else f"{value} MB"


@contextmanager
def _serving(device: str | None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield a server's process and address, once it is ready; it ends by SIGTERM."""
    import httpx2

    command = [sys.executable, "-m", "lexiseg", "serve", "--port", "0", "--quiet"]
    command += ["--device", device] if device else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise Unmeasurable("lexiseg serve did not start; is the extra [serve] installed?")
        end = time.monotonic() + _READY_SECONDS
        with httpx2.Client(base_url=found[0], trust_env=False) as client:
            while client.get("/readyz").status_code != 200:
                if time.monotonic() > end:
                    raise Unmeasurable(f"lexiseg serve was not ready after {_READY_SECONDS:.0f} s")
                time.sleep(0.1)
        yield process, found[0]
    finally:
        process.terminate()
        process.wait(60)


def _ask(client: Any, photo: bytes) -> Any:
    form = {"words": WORDS}
    return client.post("/v1/segment", files={"image": ("photo.jpg", photo)}, data=form)


def _load(address: str, photos: list[bytes], clients: int, seconds: float) -> Load:
    """Let clients ask one question after the other for some seconds."""
    import httpx2

    load = Load(clients)
    lock = threading.Lock()
    start = threading.Barrier(clients + 1)

    def ask(number: int) -> None:
        with httpx2.Client(base_url=address, timeout=120, trust_env=False) as client:
            start.wait()
            turn = number
            while time.perf_counter() < end[0]:
                began = time.perf_counter()
                try:
                    answer = _ask(client, photos[turn % len(photos)])
                    status = answer.status_code
                except httpx2.HTTPError:
                    status = 0  # no answer at all
                took = time.perf_counter() - began
                turn += 1
                with lock:
                    load.statuses[status] += 1
                    if status == 200:
                        load.seconds.append(took)
                        load.answered[number] += 1
                if status == 429:
                    time.sleep(float(answer.headers["retry-after"]))

    end = [0.0]
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    end[0] = began + seconds
    start.wait()
    for thread in threads:
        thread.join()
    load.wall = time.perf_counter() - began  # what had begun is answered, and counts
    return load


def summary(load: Load) -> dict[str, Any]:
    p50, p95 = percentiles(load.seconds)
    return {
        "rate": round(len(load.seconds) / load.wall, 2),
        "clients": load.clients,
        "answered": len(load.answered),
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "p50": round(p50, 3),
        "p95": round(p95, 3),
    }


def percentiles(values: list[float]) -> tuple[float, float]:
    """The median, and what 95 of 100 stay below; zeros where there is nothing."""
    if len(values) < 2:
        alone = values[0] if values else 0.0
        return alone, alone
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]


def _clicks(client: Any, photo: bytes) -> dict[str, Any]:
    """Click over an encoded photo, each click a mask of its own."""
    from lexiseg import imaging

    height, width = imaging.read_bytes(photo).size_hw
    answer = client.post(
        "/v1/refine", files={"image": ("photo.jpg", photo)}, data={"points": "[[9, 9]]"}
    )
    digest = answer.json()["image"]["digest"]
    server, around = [], []
    for number in range(CLICKS):
        x, y = (number * 0.37 + 0.1) % 1 * width, (number * 0.23 + 0.2) % 1 * height
        before = _model_seconds(client)
        began = time.perf_counter()
        answer = client.post("/v1/refine", json={"digest": digest, "points": [[x, y]]})
        around.append(1000 * (time.perf_counter() - began))
        answer.raise_for_status()
        server.append(1000 * (_model_seconds(client) - before))
    named = {"server": percentiles(server), "round": percentiles(around)}
    out: dict[str, Any] = {"clicks": CLICKS}
    for name, (p50, p95) in named.items():
        out |= {f"{name}_p50_ms": round(p50, 1), f"{name}_p95_ms": round(p95, 1)}
    return out


def _model_seconds(client: Any) -> float:
    """All seconds of clicks in the model so far, as the server counts them."""
    text = client.get("/metrics").text
    found = re.search(r'^lexiseg_model_seconds_sum\{work="refine"\} (\S+)', text, re.MULTILINE)
    return float(found[1]) if found else 0.0
