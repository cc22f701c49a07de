"""The page about many pictures is true: each line of its tables is a folder here, and is tried."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.colour_finder import ColourFinder
from tests.e2e.test_many_pictures import finder, here, photo, run, tree

__all__ = ["finder", "here"]

PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "many-pictures.md"


def rows(title: str) -> dict[str, str]:
    """The lines of the table whose head begins so: first cell -> second."""
    text = PAGE.read_text("utf-8")
    table = text[text.index(f"| {title} |") :].partition("\n\n")[0]
    lines = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in table.splitlines()[2:]]
    return {line[0]: line[1] for line in lines}


def write(name: str, data: bytes = b"") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(data)


def damaged() -> None:
    write("in/cut.png", b"\x89PNG\r\n\x1a\n and no more")
    write("in/empty.jpg")
    Image.new("RGB", (400, 300)).save("in/large.png")  # --max-pixels is below that
    write("in/a.jp2.png", b"\0\0\0\x0cjP  \r\n\x87\n")


def heic() -> None:
    write("in/a.heic", b"\0\0\0\x18ftypheic" + bytes(16))


def locked() -> None:
    photo("in/locked.png", "in/folder/a.png")
    os.chmod("in/locked.png", 0)
    os.chmod("in/folder", 0)
    if os.access("in/locked.png", os.R_OK):
        pytest.skip("this user may read everything")


def nowhere() -> None:
    for name, target in {"gone.png": "none.png", "circle.png": "circle.png"}.items():
        os.symlink(target, f"in/{name}")
    os.mkfifo("in/pipe.png")


def odd_names() -> None:
    photo("in/line\nbreak\x1b.png", f"in/{'猫' * 80}.png")
    photo("in/a.png")
    os.rename(b"in/a.png", b"in/caf\xe9.png")


def twins() -> None:
    photo("in/x.png", "in/x.PNG", "in/d/x.png")


def links() -> None:
    photo("store/a.png")
    os.symlink("../store/a.png", "in/a.png")
    os.symlink("../store/a.png", "in/b.png")
    os.link("store/a.png", "in/c.png")


def without_ending() -> None:
    photo("in/a")
    write("in/README", b"text")


def hidden() -> None:
    photo("in/.thumbnails/a.png", "in/._IMG_1.jpg")


def link_to_folder() -> None:
    photo("in/d/a.png")
    os.symlink("..", "in/d/loop")


def earlier_results() -> None:
    photo("in/a.png")
    assert run("segment", "--words", "red", "in/a.png", "--out", "in/out", "-q") == 0
    assert run("edit", "in/a.png", "blur", "red", "--out", "in/out", "-q") == 0


def remarkable() -> None:
    frames = [Image.new("RGB", (14, 9), "red") for _ in range(2)]
    frames[0].save("in/two.tif", save_all=True, append_images=frames[1:])
    frames[0].save("in/cut.png")
    data = Path("in/cut.png").read_bytes()
    write("in/cut.png", data[:-8])


@dataclass(frozen=True)
class Case:
    """A folder, and how many of its files are done, fail, are passed over, are earlier results."""

    make: Callable[[], object]
    done: int = 0
    failed: int = 0
    passed_over: int = 0
    earlier: int = 0
    remarks: int = 0


ODD = {
    "a picture that is damaged": Case(damaged, failed=4),
    "HEIC where": Case(heic, failed=1),
    "a file or folder that may not be read": Case(locked, failed=2),
    "a link to nothing": Case(nowhere, failed=3),
    "a name with bytes": Case(odd_names, done=3),
    "names that differ by case alone": Case(twins, done=3),
    "two links to one file": Case(links, done=3),
    "a file without an ending": Case(without_ending, done=1, passed_over=1),
    "a file with another ending": Case(lambda: write("in/a.txt", b"text"), passed_over=1),
    "hidden files and folders": Case(hidden, passed_over=2),
    "a link to a folder": Case(link_to_folder, done=1, passed_over=1),
    "results of earlier runs": Case(earlier_results, done=1, earlier=5),
    "several frames": Case(remarkable, done=2, remarks=2),
}
ELSEWHERE = {"one file that is named twice", "a picture of `edit`"}  # below


def test_every_line_is_tried() -> None:
    for line in rows("in a folder or pattern"):
        assert sum(line.startswith(begin) for begin in {*ODD, *ELSEWHERE}) == 1, line


@pytest.mark.parametrize("begin", ODD)
def test_what_happens_with_odd_files(
    begin: str, here: Path, finder: ColourFinder, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import builtins

    load = builtins.__import__

    def without_heif(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("pillow_heif"):
            raise ImportError(name)
        return load(name, *args, **options)

    (told,) = [text for line, text in rows("in a folder or pattern").items()
               if line.startswith(begin)]  # fmt: skip
    case = ODD[begin]
    photo("in/ok.png")
    case.make()
    if begin.startswith("HEIC"):
        monkeypatch.setattr(builtins, "__import__", without_heif)
    capsys.readouterr()
    for command in ("segment", "edit"):
        line = ["segment", "--words", "red", "in"] if command == "segment" else []
        line = line or ["edit", "in", "blur", "red"]
        code = run(*line, "--out", command, "--max-pixels", 100_000, "--json")
        said = capsys.readouterr()
        document = json.loads(said.out)
        assert len(document["pictures"]) == case.done + 1
        assert len(document["failed"]) == case.failed
        assert len(document["passed_over"]) == case.passed_over
        assert code == bool(case.failed)
        for one in document["failed"]:
            shown = one["picture"]
            assert sum(shown in text for text in said.err.splitlines()) == 1
        if case.earlier:
            assert f"{case.earlier} files of earlier results left alone" in said.err
        if begin.startswith("HEIC"):
            assert "pip install 'lexiseg[heif]'" in said.err
        if case.remarks:
            assert len(said.err.splitlines()) >= case.remarks
    if not case.earlier and "name it yourself" not in told:
        assert ("done" in told) == bool(case.done)
    assert ("fails" in told) == bool(case.failed)
    assert ("passed over" in told) == bool(case.passed_over)


def test_named_twice_and_not_found(here: Path, finder: ColourFinder, capsys: Any) -> None:
    photo("in/a.png")
    os.symlink("in", "way")
    assert run("segment", "--words", "red", "in/a.png", "./in/a.png", "way/a.png", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["pictures"]) == 1
    assert run("edit", "in/a.png", "blur", "blue", "--out", "none") == 3
    assert run("edit", "in", "in/a.png", "blur", "red", "blue") == 0
    assert not tree("none")


def test_the_exit_codes_are_those_of_the_page(here: Path, finder: ColourFinder) -> None:
    assert list(rows("code")) == ["0", "1", "2", "3"]
    photo("in/a.png")
    write("in/notes.txt")
    assert run("segment", "--words", "red", "in") == 0
    assert run("segment", "--words", "blue", "in") == 3
    write("in/b.png")
    assert run("segment", "--words", "blue", "in") == 1
    assert run("segment", "--words", "red", "in/b.png") == 2
    assert run("segment", "--word", "red", "in") == 2


def test_names_are_those_of_the_page(here: Path, finder: ColourFinder) -> None:
    for number, (pictures, folders) in enumerate(rows("pictures").items()):
        names = re.findall("`([^`]+)`", pictures)
        paths = [f"{number}/{name}" for name in names]
        photo(*paths)
        assert run("segment", "--words", "red", *paths, "--out", f"out{number}", "-q") == 0
        found = [path.parent.relative_to(f"out{number}").as_posix()
                 for path in Path(f"out{number}").rglob("result.json")]  # fmt: skip
        wanted = sorted(re.findall("`([^`]+)`", folders))
        assert sorted(re.sub("-[0-9a-f]{8}$", "-", name) for name in found) == wanted
