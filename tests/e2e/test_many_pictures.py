"""Many pictures in one run: nothing is lost, nothing stops half way, every odd file is named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.colour_finder import COLOURS, ColourFinder, stand_in

from lexiseg import imaging
from lexiseg.batch import outputs
from lexiseg.cli import main
from lexiseg.errors import DiskFull


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> ColourFinder:
    return stand_in(monkeypatch)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photo(*names: str, colour: str = "red", height: int = 9) -> None:
    rgb = np.full((height, 14, 3), COLOURS[colour], np.uint8)
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        kept = Path(name).parent / "kept.png"
        imaging.write(kept, rgb)
        kept.rename(name)


def run(*args: object) -> int:
    return main([str(arg) for arg in args])


def tree(folder: str = ".") -> dict[str, str]:
    """Every file's path and the hash of what is in it; links as what they say."""
    found = {}
    for path in Path(folder).rglob("*"):
        if path.is_symlink():
            found[os.fspath(path)] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[os.fspath(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def words_of(folder: str) -> set[str]:
    files = json.loads(Path(folder, "result.json").read_text("utf-8"))["files"]
    return set(files["masks"])


def test_a_photo_is_never_overwritten(here: Path, finder: ColourFinder, capsys: Any) -> None:
    photo("out/a/overlay.png", "a.png")
    before = tree()
    assert run("segment", "--words", "red", "a.png", "out/a/overlay.png", "--out", "out") == 0
    after = tree()
    assert {name: after[name] for name in before} == before
    said = capsys.readouterr()
    assert "a.png: its results go to 'out/a.png-" in said.err
    assert "an input of this run lies there" in said.err
    # An example is an input as well.
    assert run("segment", "a.png", "--like", "thing=out/a/overlay.png", "--out", "out") in (0, 3)
    after = tree()
    assert {name: after[name] for name in before} == before


def test_the_output_folder_may_be_the_input_folder(here: Path, finder: ColourFinder) -> None:
    photo("in/s.jpg", "in/s.png", "in/t.png")
    before = tree()
    for _ in range(2):
        assert run("segment", "--words", "red", "in", "--out", "in", "-q") == 0
        after = tree()
        assert {name: after[name] for name in before} == before
        folders = {path.name.partition("-")[0] for path in Path("in").iterdir() if path.is_dir()}
        assert folders == {"s.jpg", "s.png", "t"}
        assert len(finder.calls) in (3, 6)


def test_runs_apart_do_not_replace_results_of_another_picture(
    here: Path, finder: ColourFinder, capsys: Any
) -> None:
    photo("a/x.jpg")
    photo("b/x.png", colour="green")
    assert run("segment", "a/x.jpg", "red") == 0
    first = tree("lexiseg-out")
    capsys.readouterr()
    assert run("segment", "b/x.png", "green") == 0
    assert "the results of another picture are there" in capsys.readouterr().err
    assert first.items() <= tree("lexiseg-out").items()
    assert run("segment", "a/x.jpg", "red", "green") == 0  # the same picture's are replaced
    assert len(os.listdir("lexiseg-out")) == 2


def test_a_run_that_was_cut_off_is_replaced_whole_by_the_next(
    here: Path, finder: ColourFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo("a.png")
    assert run("segment", "a.png", "red", "blue", "--heatmap") == 0
    replace = os.replace

    def killed(source: Any, target: Any) -> None:
        if Path(target).parts[-2:] == ("a", "overlay.png"):
            raise SystemExit(9)  # as if the power had gone
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    assert run("segment", "a.png", "red", "--cutout") == 9
    half = json.loads(Path("lexiseg-out/a/result.json").read_text("utf-8"))
    assert half["complete"] is False
    monkeypatch.setattr(os, "replace", replace)
    assert run("segment", "a.png", "red") == 0
    assert set(tree("lexiseg-out")) == {
        f"lexiseg-out/a/{name}"
        for name in ("overlay.png", "labels.png", "masks/red.png", "result.json")
    }
    assert "complete" not in json.loads(Path("lexiseg-out/a/result.json").read_text("utf-8"))


def test_names_that_stopped_whole_folders(here: Path, finder: ColourFinder, capsys: Any) -> None:
    photo("in/IMG_1.JPG", "in/IMG_1.jpg", "in/ok.png", "in/p.jfif", f"in/{'猫' * 70}.png")
    photo("in/deep/ok.png", "in/new\nline\x1b[2J.png")
    with open(b"in/caf\xe9.jpg", "wb") as file:
        file.write(Path("in/ok.png").read_bytes())
    assert run("segment", "--words", "red", "in", "--json") == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert len(document["pictures"]) == 8
    folders = {picture["folder"] for picture in document["pictures"]}
    assert len({folder.casefold() for folder in folders}) == 8
    for picture in document["pictures"]:
        stored = json.loads(Path(picture["folder"], "result.json").read_text("utf-8"))
        home = Path(picture["folder"], stored["image"]["path"])
        assert os.path.samefile(home, picture["picture"])
        assert stored["image"]["file_name"] == Path(picture["picture"]).name
    assert not {"\x1b", "\r"} & set(said.err + said.out)
    before = tree()
    assert run("segment", "--words", "red", "in", "-q") == 0
    assert set(tree()) == set(before)
    assert run("segment", "--words", "red", "in") == 0
    said = capsys.readouterr()
    assert not {"\x1b", "\r"} & set(said.err + said.out)
    assert len(said.out.splitlines()) == 8 * 4


def test_every_file_that_is_not_done_is_named(
    here: Path, finder: ColourFinder, capsys: Any
) -> None:
    photo("in/ok.jpg", "in/.hidden.png")
    Path("in/notes.txt").write_text("a list")
    Path("in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    Path("in/IMG.HEIC").write_bytes(b"\0\0\0\x18ftypheic and no more")
    os.symlink("gone.png", "in/link.png")
    assert run("segment", "--words", "red", "in", "--json") == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert [picture["picture"] for picture in document["pictures"]] == ["in/ok.jpg"]
    failed = {"in/broken.png", "in/IMG.HEIC", "in/link.png"}
    assert {picture["picture"] for picture in document["failed"]} == failed
    passed_over = {"in/.hidden.png", "in/notes.txt"}
    assert {one["file"] for one in document["passed_over"]} == passed_over
    *lines, summary = said.err.splitlines()
    assert len(lines) == len(failed | passed_over)
    for name in failed | passed_over:
        assert sum(name in line for line in lines) == 1
    assert summary == "lexiseg: 3 of 4 pictures failed; 2 files passed over"
    assert run("segment", "--words", "red", "in", "-q") == 1
    assert len(capsys.readouterr().err.splitlines()) == len(failed) + 1


def test_one_bad_name_among_many_is_exit_code_1(
    here: Path, finder: ColourFinder, capsys: Any
) -> None:
    photo("s.png")
    Path("bad").mkdir()
    Path("bad/empty.png").touch()
    assert run("segment", "--words", "red", "s.png", "nothere.jpg") == 1
    assert Path("lexiseg-out/s/result.json").is_file()
    assert "'nothere.jpg' does not exist" in capsys.readouterr().err
    assert run("segment", "--words", "red", "bad") == 1  # a folder, though of one file
    assert run("segment", "--words", "red", "gone1.jpg", "gone2.jpg") == 1
    assert run("segment", "--words", "red", "nothere.jpg") == 2
    assert run("segment", "--words", "red", "bad/empty.png") == 2


def test_a_fault_with_one_picture_does_not_stop_the_others(
    here: Path, finder: ColourFinder, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    photo("in/a.png", "in/c.png")
    photo("in/b.png", height=10)
    call = ColourFinder.__call__

    def faulty(self: ColourFinder, image: Any, *args: Any, **options: Any) -> Any:
        if image.picture.size_hw[0] == 10:
            raise MemoryError if "memory" in os.environ else ZeroDivisionError("oh\nno")
        return call(self, image, *args, **options)

    monkeypatch.setattr(ColourFinder, "__call__", faulty)
    assert run("segment", "--words", "red", "in") == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("lexiseg: in/b.png: a fault in lexiseg")
    assert sorted(os.listdir("lexiseg-out")) == ["a", "c"]
    monkeypatch.setenv("memory", "1")
    assert run("segment", "--words", "red", "in") == 1
    assert "in/b.png: not enough memory" in capsys.readouterr().err


def test_a_full_disk_ends_the_run_and_leaves_nothing_half_written(
    here: Path, finder: ColourFinder, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    photo("in/a.png", "in/deep/b.png", "in/deep/c.png", "in/deep/d.png")
    save = outputs.save_label_map

    def full(seg: Any, path: Path, *rest: Any) -> None:
        if "deep" in str(path):
            raise DiskFull(f"{str(path)!r} cannot be written: the disk is full")
        save(seg, path, *rest)

    monkeypatch.setattr(outputs, "save_label_map", full)
    assert run("segment", "--words", "red", "in", "--json") == 1
    said = capsys.readouterr()
    assert [one["picture"] for one in json.loads(said.out)["failed"]] == [
        "in/deep/b.png", "in/deep/c.png", "in/deep/d.png",
    ]  # fmt: skip
    first, summary = said.err.splitlines()
    assert "the disk is full" in first
    assert summary == "lexiseg: 3 of 4 pictures failed"
    assert os.listdir("lexiseg-out") == ["a"]


def test_links_out_of_the_output_folder_are_not_written_through(
    here: Path, finder: ColourFinder
) -> None:
    photo("in/a.png", "in/sub/b.png", "precious/overlay.png", "precious/masks/red.png")
    Path("out").mkdir()
    os.symlink("../precious", "out/a")
    os.symlink("../precious", "out/sub")
    before = tree()
    assert run("segment", "--words", "red", "in", "--out", "out") == 0
    after = tree()
    assert {name: after[name] for name in before} == before
    assert len(os.listdir("out")) == 4


def test_two_links_to_one_file_have_results_of_their_own(here: Path, finder: ColourFinder) -> None:
    photo("store/one.png")
    Path("in").mkdir()
    for name in ("a.png", "b.png"):
        os.symlink("../store/one.png", f"in/{name}")
    assert run("segment", "--words", "red", "in") == 0
    assert sorted(os.listdir("lexiseg-out")) == ["a", "b"]


def test_a_tree_with_earlier_results_in_it(here: Path, finder: ColourFinder) -> None:
    photo("tree/a.png", "tree/sub/b.png")
    for _ in range(2):
        assert run("segment", "--words", "red", "tree/**/*.png", "--out", "tree/out") == 0
        assert sorted(os.listdir("tree/out")) == ["a", "sub"]
    shutil.copytree("tree/out/a", "tree/copied")
    assert run("segment", "--words", "red", "tree", "--out", "tree/out") == 0
    assert sorted(os.listdir("tree/out")) == ["a", "sub"]
    assert words_of("tree/out/a") == {"red"}


def test_the_colours_of_a_profile_are_those_of_the_drawings(
    here: Path, finder: ColourFinder
) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rgb = np.full((9, 14, 3), COLOURS["red"], np.uint8)
    imaging.write("a.png", rgb, icc=profile)
    assert run("segment", "a.png", "red", "--cutout", "-v") == 0
    for name in ("overlay.png", "cutouts/red.png", "looked-at.png"):
        assert imaging.read(f"lexiseg-out/a/{name}").icc == profile
    assert imaging.read("lexiseg-out/a/labels.png").icc is None


def test_remarks_of_the_reader_are_said_once(here: Path, finder: ColourFinder, capsys: Any) -> None:
    deep = np.full((9, 14), 255, np.uint16)
    imaging.write("dark.png", deep)
    photo("plain.png")
    assert run("segment", "--words", "red", "dark.png", "plain.png") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lexiseg: dark.png: a 16-bit picture that is dark")
    result = json.loads(Path("lexiseg-out/dark/result.json").read_text("utf-8"))
    assert result["image"]["notes"] == [line.partition("dark.png: ")[2]]
    assert run("segment", "--words", "red", "dark.png", "plain.png", "-q") == 0
    assert capsys.readouterr().err == ""
