"""The source distribution: it holds the tests and what they need, and they run from it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
SAMPLE = [
    "tests/test_close.py", "tests/test_house.py", "tests/unit/test_docs.py",
    "tests/unit/test_benchmarks.py", "tests/unit/test_vocabularies.py",
    "tests/contract/test_operations.py", "tests/parity/test_clip_resnet.py",
]  # fmt: skip


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="the source distribution is built with hatchling")
    folder = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    (out,) = (path for path in folder.iterdir() if path.is_dir())
    return out


def test_it_holds_the_project_and_nothing_that_was_made(unpacked: Path) -> None:
    top = {path.name for path in unpacked.iterdir()}
    assert top >= {"src", "tests", "docs", "benchmarks", "examples", "Makefile", "constraints.txt"}
    made = ("__pycache__", ".pyc", ".venv", ".git", "lexiseg-out")
    held = [path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*")]
    assert [name for name in held if Path(name).name.endswith(made)] == []
    assert "src/lexiseg/models/tiny/weights/manifest.json" in held
    assert "src/lexiseg/py.typed" in held


def test_its_tests_run(unpacked: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [*command, *SAMPLE], cwd=unpacked, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]
