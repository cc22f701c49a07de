"""Processes as they are met: forked, ended, without streams, with a disk that is full."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.colour_finder import COLOURS

import lexiseg
from lexiseg import device, imaging
from lexiseg.batch.finishing import finishing
from lexiseg.cli.process import GuardedStream, interruptible
from lexiseg.errors import OptionError

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and descriptors of POSIX")
# The command with a segmenter that costs nothing; argv[1] is run before the command.
COMMAND = """
import sys
from lexiseg import loading
from tests.colour_finder import ColourFinder
loading.load = lambda config, **options: ColourFinder()
exec(sys.argv[1])
from lexiseg.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        imaging.write(tmp_path / f"in/{name}.png", np.full((9, 14, 3), COLOURS["red"], np.uint8))
    return tmp_path


def command(here: Path, *args: str, before: str = "", **options: Any) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, before, *args],
        cwd=here,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def names(here: Path) -> set[str]:
    return {path.name for path in (here / "lexiseg-out").rglob("*")}


SEGMENT = ("segment", "--words", "red", "in")


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_run_and_leaves_nothing_half_written(
    here: Path, number: signal.Signals
) -> None:
    # In the second picture, when one file of it is written.
    before = (
        "import os, signal; from lexiseg.batch import outputs; save = outputs.save_label_map\n"
        # Ignored from the start, as under nohup, it would stay ignored.
        f"signal.signal({int(number)}, signal.SIG_DFL)\n"
        "def patched(seg, path, *rest):\n"
        "    save(seg, path, *rest)\n"
        f"    if '.b.' in str(path): os.kill(os.getpid(), {int(number)})\n"
        "outputs.save_label_map = patched"
    )
    process = command(here, *SEGMENT, before=before)
    said, errors = process.communicate()
    assert process.returncode == 130
    assert errors == b"lexiseg: interrupted\n"
    assert said.count(b"->") == 1
    assert os.listdir(here / "lexiseg-out") == ["a"]


@POSIX
def test_what_is_ignored_stays_so(here: Path) -> None:
    before = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from lexiseg.batch import outputs; save = outputs.save_label_map\n"
        "def patched(*given):\n"
        "    save(*given); os.kill(os.getpid(), signal.SIGHUP)\n"
        "outputs.save_label_map = patched"
    )
    process = command(here, *SEGMENT, before=before)
    process.communicate()
    assert process.returncode == 0


def test_moments_of_work_are_finished_first() -> None:
    done = []

    def work() -> None:
        with interruptible(), finishing():
            signal.raise_signal(signal.SIGINT)
            with finishing():
                done.append(1)
            done.append(2)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == [1, 2]
    with finishing():
        done.append(3)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_thread_may_run_the_command() -> None:
    ended: list[bool] = []

    def work() -> None:
        with interruptible():
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


@POSIX
@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams_stop_nothing(here: Path, closed: tuple[int, ...]) -> None:
    """As under cron, in services, by pythonw; a library may write to the number of stderr."""
    shut = " ".join(f"{number}>&-" if number else "<&-" for number in closed)
    noisy = (
        "import os; from lexiseg import imaging; write = imaging.write\n"
        "def patched(*given, **options):\n"
        "    write(*given, **options); [os.write(n, b'noise') for n in (1, 2)]\n"
        "imaging.write = patched"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    ended = subprocess.run(
        ["sh", "-c", f'"$0" "$@" {shut}', sys.executable, "-c", COMMAND, noisy, *SEGMENT],
        cwd=here,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended
    for name in ("a", "b", "c"):
        folder = here / "lexiseg-out" / name
        assert imaging.read(folder / "masks" / "red.png").rgb.all()
        json.loads((folder / "result.json").read_text("utf-8"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_stdout_stops_nothing_and_is_said(here: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = command(here, *SEGMENT, stdout=full)
        _, errors = process.communicate()
    assert process.returncode == 1
    assert {"a", "b", "c"} <= names(here)
    assert errors == (
        b"lexiseg: what it says cannot be written to stdout (No space left on device)\n"
    )


def test_a_reader_that_goes_away_stops_nothing(here: Path) -> None:
    process = command(here, *SEGMENT, before="import time; time.sleep(0.2)")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0
    assert {"a", "b", "c"} <= names(here)


@POSIX
def test_a_file_that_the_disk_does_not_take(here: Path) -> None:
    before = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))"
    process = command(here, *SEGMENT, before=before)
    _, errors = process.communicate()
    assert process.returncode == 1
    *lines, summary = errors.decode().splitlines()
    assert len(lines) == 3
    assert all("larger than this disk allows" in line for line in lines)
    assert summary == "lexiseg: 3 of 3 pictures failed"
    assert names(here) == set()


@POSIX
@pytest.mark.parametrize("where", ["open", "replace"])
def test_a_full_disk_is_one_line_and_nothing_half_written(here: Path, where: str) -> None:
    first = command(here, *SEGMENT)
    first.communicate()
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    full = "raise OSError(28, 'No space left on device')"
    patch = {
        "open": (
            "import pathlib; keep = pathlib.Path.open\n"
            "def bad(self, mode='r', *rest, **more):\n"
            f"    if 'x' in mode: {full}\n"
            "    return keep(self, mode, *rest, **more)\n"
            "pathlib.Path.open = bad"
        ),
        "replace": f"import os\ndef bad(*a):\n    {full}\nos.replace = bad",
    }[where]
    process = command(here, *SEGMENT, before=patch)
    _, errors = process.communicate()
    assert process.returncode == 1
    line, summary = errors.decode().splitlines()
    assert "full" in line or "No space left" in line
    assert summary == "lexiseg: 3 of 3 pictures failed"
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_what_cannot_be_written_is_dropped() -> None:
    class Broken:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def write(self, text: str) -> int:
            raise self.error

        flush = write

    full: Any = GuardedStream(Broken(OSError(28, "full")))  # type: ignore[arg-type]
    assert full.write("abc") == 3
    assert full.failed is full.broken
    gone: Any = GuardedStream(Broken(BrokenPipeError()))  # type: ignore[arg-type]
    gone.write("abc")
    gone.flush()
    assert gone.failed is None


FORK = """
import multiprocessing, sys
import numpy as np
import lexiseg

seg = lexiseg.load("tiny")
photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)

def work(view):
    return seg(view or photo, "dog, grass", background=None).label_map

def edit():  # another method is loaded first
    other = lexiseg.load("clip-then-sam")
    lexiseg.edit.blur(photo, other(photo, "dog", background=None)["dog"])

if __name__ == "__main__":
    expected, view = work(None), seg.prepare(photo)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for got in pool.map_async(work, [None, None]).get(timeout=90):
            assert (got == expected).mean() > 0.999
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply_async(edit).get(timeout=60)
    print("fine")
"""


@POSIX
@pytest.mark.slow
def test_a_forked_pool_works_after_a_call(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "4"}
    ended = subprocess.run(
        [sys.executable, "-c", FORK], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "fine\n", ended.stderr


def test_a_gpu_in_a_forked_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_first_process", [])
    device.check_process("cuda:0")
    device.check_process("cuda:0")
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(OptionError, match="start processes by 'spawn'"):
        device.check_process("cuda:0")
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    device.check_process("cpu")
    device.check_process("cpu")
    assert lexiseg.__version__
