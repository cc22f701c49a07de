"""Where and from what a benchmark ran: processor, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class Unmeasurable(Exception):
    """What a row needs is not on this machine."""


def describe(device: str | None = None) -> dict[str, Any]:
    """Return the machine as JSON values; `load` is the mean number of busy processes, 1 minute."""
    import torch

    cpu = _cpu_fields()
    found = {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "amx": "amx_tile" in cpu.get("flags", "").split(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": metadata.version("numpy"),
    }
    if device and device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name()
    return found


def commit() -> dict[str, Any]:
    """Return the commit that was measured, and whether files under src differed from it."""
    head = output(["git", "rev-parse", "HEAD"])
    return {"id": head, "changed": bool(output(["git", "status", "--porcelain", "--", "src"]))}


@contextmanager
def checkout(base: Path) -> Iterator[Path]:
    """Give a checkout of lexiseg: the folder, or a commit's, which is made for as long as needed.

    Raises Unmeasurable where it is neither.
    """
    if (base / "src" / "lexiseg").is_dir():
        yield base.resolve()
        return
    with tempfile.TemporaryDirectory() as name:
        folder = str(Path(name) / "lexiseg")
        try:
            output(["git", "worktree", "add", "--detach", folder, str(base)])
        except Unmeasurable as error:
            raise Unmeasurable(f"{base} is no checkout of lexiseg and no commit") from error
        try:
            yield Path(folder)
        finally:
            output(["git", "worktree", "remove", "--force", folder])


def peak_mb() -> int:
    """Return the most memory that this process ever held, in megabytes of 10^6 bytes.

    What `resource` says of a child on Linux is at least what its parent held when it began.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return round(int(lines["VmHWM"].split()[0]) * 1024 / 1e6)
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024  # macOS gives bytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def resident_mb(*pids: int) -> float:
    """Return the megabytes that processes hold now; 0 where the system does not tell."""
    total = 0
    for pid in pids:
        try:
            pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        except OSError:
            continue
        total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    return total / 1e6


def output(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a command in the project's folder; return what it prints.

    environment: variables that are set for it, beside those of this process.
    Raises Unmeasurable, with the last line that it left, where it fails.
    """
    env = {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
        name = " ".join(command)
        raise Unmeasurable(f"{name[:80]}... failed ({done.returncode}): {last}")
    return done.stdout.strip()


def _cpu_fields() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    pairs = (line.partition(":") for line in path.read_text().splitlines() if ":" in line)
    fields: dict[str, str] = {}
    for key, _, value in pairs:
        fields.setdefault(key.strip(), value.strip())
    return fields
