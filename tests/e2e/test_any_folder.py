"""Folders of anything: each sound picture gets its own results, and no file of the user's changes.

The folders are drawn by hypothesis; what is expected is found by slow, obvious code.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.colour_finder import COLOURS, stand_in

from lexiseg import imaging
from lexiseg.cli import main

CAT = "猫"
NAMES = [
    b"a.png", b"A.PNG", b"a.jpg", b"a.PNG", b"IMG_1.JPG", b"img_1.jpg", b"caf\xe9.jpg",
    "café.jpg".encode(), "cafe\u0301.jpg".encode(), (CAT * 70 + ".png").encode(),
    (CAT * 70 + "犬.png").encode(), b"new\nline\x1b[2J.png", b"-rf.png", b"con.png", b"a b.png",
    b"a.png.png", b"b..jfif", b" .png", b"100%.webp", b"[x].tif", b"a:b.png", b"overlay.png",
    b"labels.png", b"result.json", b"a-blur.png", b"a-blur-1.png", b"noending", b"notes.txt",
    b".hidden.png", b"p.heic",
]  # fmt: skip
FOLDERS = [
    b"", b"d", b"D", b"d/d", b"d/d/d", b"a", b"a/masks", b"masks", b"a-blur.png", b"a.png",
    (CAT * 40).encode(), b"\xff\xfe", b".git", b"[x]", b"out", b"out/a",
]  # fmt: skip
KINDS = ["red", "red", "red", "green", "broken", "empty", "text", "locked", "pipe"]
LINKS = [b"a.png", b"../a.png", b"gone.png", b".", b"..", b"../..", b"d", b"loop.png", b"/dev/null"]
OUTS = [b"out", b"in", b"in/out", b"in/d", b"far/away"]


@dataclass(frozen=True)
class Entry:
    """A path, and what is there: a kind of file, or where a link leads."""

    path: bytes
    what: str | bytes


def entries(at_most: int) -> st.SearchStrategy[list[Entry]]:
    path = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)).map(b"/".join)
    what = st.one_of(st.sampled_from(KINDS), st.sampled_from(KINDS), st.sampled_from(LINKS))
    return st.lists(st.builds(Entry, path, what), max_size=at_most)


def content(what: str) -> bytes:
    if what == "empty":
        return b""
    if what == "text":
        return b"some text"
    rgb = np.full((9, 14, 3), COLOURS[what if what in COLOURS else "red"], np.uint8)
    with tempfile.TemporaryDirectory() as name:
        imaging.write(Path(name) / "a.png", rgb)
        data = (Path(name) / "a.png").read_bytes()
    return data[:45] if what == "broken" else data


CONTENT = {what: content(what) for what in set(KINDS)}


def build(root: bytes, listed: list[Entry]) -> None:
    """Make the files and links, as far as this system can have them beside each other."""
    for entry in listed:
        path = os.path.join(root, entry.path.lstrip(b"/"))
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.lexists(path):
                continue
            if isinstance(entry.what, bytes):
                os.symlink(entry.what, path)
            elif entry.what == "pipe":
                os.mkfifo(path)
            else:
                with open(path, "xb") as file:
                    file.write(CONTENT[entry.what])
                if entry.what == "locked":
                    os.chmod(path, 0)


def tree(root: bytes) -> dict[bytes, str]:
    """What every path holds: a hash, where a link leads, or what else it is."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                found[path] = f"-> {os.readlink(path)!r}"
            elif os.path.isfile(path):
                try:
                    with open(path, "rb") as file:
                        found[path] = hashlib.sha256(file.read()).hexdigest()
                except PermissionError:
                    found[path] = "locked"
            elif not os.path.isdir(path):
                found[path] = "neither"
    return found


def sound(root: bytes, colours: tuple[str, ...]) -> set[str]:
    """The pictures of a folder that must be done: files with a picture's name and content."""
    found = set()
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(b".")]
        for name in files:
            path = os.path.join(folder, name)
            ending = os.path.splitext(name)[1].lower()
            if name.startswith(b".") or not os.path.isfile(path):
                continue
            if ending.decode("latin-1") not in imaging.SUFFIXES and ending:
                continue
            with contextlib.suppress(PermissionError), open(path, "rb") as file:
                if file.read() in [CONTENT[colour] for colour in colours]:
                    found.add(os.fsdecode(path))
    return found


@contextlib.contextmanager
def folder_of(first: list[Entry], second: list[Entry]) -> Iterator[None]:
    """Be in a folder with `in`, whose ok.png is sound, and `out`; the model finds colours."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        os.chdir(name)
        try:
            build(b"in", [Entry(b"ok.png", "red"), *first])
            build(b"out", second)
            yield
        finally:
            os.chdir(before)
            for path, _, _ in os.walk(name):
                os.chmod(path, 0o755)


def run(*args: str | bytes) -> tuple[int, dict[str, Any], str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([os.fsdecode(arg) for arg in args])
    return code, json.loads(out.getvalue()), err.getvalue()


def under(path: bytes, folder: bytes) -> bool:
    return path.startswith(os.path.join(folder, b""))


def check(line: list[str | bytes], wanted: set[str], out: bytes) -> None:
    before = tree(b".")
    code, document, said = run(*line, "--json", "--out", out)
    assert code in (0, 1), said
    assert code == bool(document["failed"])
    done = [one["picture"] for one in document["pictures"]]
    assert len(done) == len(set(done))
    assert set(map(os.path.normpath, done)) == wanted
    for one in [*document["failed"], *document["passed_over"]]:
        assert one.get("error") or one.get("reason")
    assert all(line.startswith("lexiseg: ") and line.isprintable() for line in said.splitlines())

    places = [place for one in document["pictures"] for place in one.get("files_", one["files"])]
    if line[0] == "segment":
        places = [one["folder"] for one in document["pictures"]]
        for one in document["pictures"]:
            stored = json.loads(Path(one["folder"], "result.json").read_text("utf-8"))
            home = os.path.join(os.path.realpath(one["folder"]), stored["image"]["path"])
            assert os.path.samefile(os.path.dirname(home), os.path.dirname(one["picture"]))
            assert os.path.samefile(home, one["picture"])
    assert len({place.casefold() for place in places}) == len(wanted)

    after = tree(b".")
    assert {path: after.get(path) for path in before} == before
    assert all(under(path, os.path.join(b".", out)) for path in set(after) - set(before))
    if not os.path.islink(out):
        assert all(
            under(os.path.realpath(p), os.path.realpath(out)) for p in set(after) - set(before)
        )

    again, second, _ = run(*line, "--json", "--out", out)
    assert again == code
    assert [one["picture"] for one in second["pictures"]] == done
    last = tree(b".")
    assert set(last) == set(after)
    changed = {path for path in last if last[path] != after[path]}
    assert {os.path.basename(path) for path in changed} <= {b"result.json"}  # it tells times
    assert not changed & set(before)


def segment_any(first: list[Entry], second: list[Entry], out: bytes) -> None:
    with folder_of(first, second):
        check(["segment", "--words", "red", "in"], sound(b"in", ("red", "green")), out)


def edit_any(first: list[Entry], second: list[Entry], out: bytes) -> None:
    with folder_of(first, second):
        check(["edit", "in", "blur", "red"], sound(b"in", ("red",)), out)


PHASES = (Phase.generate, Phase.shrink)  # explaining traces every line, for minutes
FAST = settings(max_examples=6, derandomize=True, deadline=None, database=None, phases=PHASES)
SLOW = settings(
    FAST, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
ANY = given(first=entries(12), second=entries(5), out=st.sampled_from(OUTS))


def test_segment_any_folder() -> None:
    FAST(ANY(segment_any))()


def test_edit_any_folder() -> None:
    FAST(ANY(edit_any))()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("command", [segment_any, edit_any])
def test_many_folders(command: Any) -> None:
    SLOW(ANY(command))()
