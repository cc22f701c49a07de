"""`lexiseg edit` over many pictures: on the same plan as `segment`, with files for folders."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.colour_finder import ColourFinder
from tests.e2e.test_many_pictures import finder, here, photo, run, tree

from lexiseg import imaging
from lexiseg.errors import DiskFull

__all__ = ["finder", "here"]


def test_a_folder_is_mirrored(here: Path, finder: ColourFinder, capsys: Any) -> None:
    photo("in/a.jpg", "in/a.png", "in/deep/a.jpg")
    photo("in/grey.png", colour="blue")
    Path("in/notes.txt").write_text("a list")
    before = tree("in")
    assert run("edit", "in", "recolour", "red", "--with", "white") == 0
    assert set(tree("lexiseg-out")) == {
        "lexiseg-out/a.jpg-recolour.png", "lexiseg-out/a.png-recolour.png",
        "lexiseg-out/deep/a-recolour.png",
    }  # fmt: skip
    said = capsys.readouterr()
    assert said.out.count("  recolour: red 100.0%\n") == 3
    passed, nothing, summary = said.err.splitlines()
    assert passed == "lexiseg: 'in/notes.txt' is no picture by its name; passed over"
    assert nothing.startswith("lexiseg: in/grey.png: nothing found in the picture for 'red'")
    assert summary == "lexiseg: 4 pictures done; nothing found in 1; 1 file passed over"
    after = tree()
    assert run("edit", "in", "recolour", "red", "--with", "white", "-q") == 0
    assert tree() == after
    assert tree("in") == before


def test_pictures_come_first_of_any_kind(here: Path, finder: ColourFinder) -> None:
    photo("a.png", "b/c.jpg", "b/d.png", "mask/e.png")
    assert run("edit", "a.png", "b/*.jpg", "mask", "mask", "red", "--out", "o1") == 0
    assert finder.calls[-1].names == ("mask", "red")  # the first name of an operation is one
    assert run("edit", "a.png", "b/*.jpg", "./mask", "mask", "red", "--out", "o2") == 0
    assert set(tree("o1")) == {"o1/a-mask.png", "o1/b/c-mask.png"}
    assert set(tree("o2")) == {"o2/a-mask.png", "o2/b/c-mask.png", "o2/mask/e-mask.png"}


def test_the_exit_codes(here: Path, finder: ColourFinder, capsys: Any) -> None:
    photo("in/a.png")
    photo("in/b.png", colour="green")
    assert run("edit", "in", "blur", "red") == 0
    assert run("edit", "in", "blur", "blue") == 3
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == (
        "lexiseg: nothing found in 2 pictures for 'blue', so nothing is written; try a lower "
        "--threshold, or other --words"
    )
    Path("in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    assert run("edit", "in", "blur", "blue") == 1
    assert run("edit", "in", "blur", "red", "--out", "new") == 1
    assert list(tree("new")) == ["new/a-blur.png"]
    assert run("edit", "in/a.png", "gone.png", "blur", "red") == 1
    assert run("edit", "gone.png", "blur", "red") == 2
    assert run("edit", "in", "blur", "red", "--out", "one.png") == 2
    assert run("edit", "in/a.png", "blur", "red", "--out", "one.gif") == 2
    assert not os.path.exists("one.gif")
    assert not os.path.exists("one.png")


def test_json_of_many(here: Path, finder: ColourFinder, capsys: Any) -> None:
    photo("in/a.png")
    photo("in/b.png", colour="green")
    Path("in/c.png").touch()
    Path("in/d.txt").touch()
    assert run("edit", "in", "cutout", "red", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert [one["picture"] for one in said["pictures"]] == ["in/a.png"]
    assert said["pictures"][0]["files"] == [str(Path("lexiseg-out/a-cutout.png"))]
    assert [one["picture"] for one in said["not_found"]] == ["in/b.png"]
    assert [one["picture"] for one in said["failed"]] == ["in/c.png"]
    assert [one["file"] for one in said["passed_over"]] == ["in/d.txt"]


def test_no_input_is_replaced(here: Path, finder: ColourFinder, capsys: Any) -> None:
    photo("A/pets-1.png", "A/w.png")
    before = tree()
    line = ["edit", "A/pets-1.png", "cutout", "red", "--instances"]
    assert run(*line, "--out", "A/pets.png") == 2
    assert "an input of this run lies there" in capsys.readouterr().err
    assert (
        run("edit", "A/pets-1.png", "replace", "red", "--with", "A/w.png", "--out", "A/w.png") == 2
    )
    assert run("edit", "A/pets-1.png", "blur", "red", "--out", "A/w.png") == 2  # not lexiseg's
    assert tree() == before
    # An edit of the run is an input, too, where it is named.
    assert run("edit", "A/w.png", "blur", "red", "--out", "A") == 0
    made = Path("A/w-blur.png").read_bytes()
    assert run("edit", "A/w.png", "A/w-blur.png", "blur", "red", "--out", "A") == 0
    assert run("edit", "A/w.png", "replace", "red", "--with", "A/w-blur.png", "--out", "A") == 0
    assert Path("A/w-blur.png").read_bytes() == made


def test_runs_apart_do_not_replace_edits_of_another_picture(
    here: Path, finder: ColourFinder, capsys: Any
) -> None:
    photo("a/x.jpg")
    photo("b/x.png", colour="green")
    assert run("edit", "a/x.jpg", "blur", "red") == 0
    first = tree("lexiseg-out")
    capsys.readouterr()
    assert run("edit", "b/x.png", "blur", "green") == 0
    assert "the edit of another picture is there" in capsys.readouterr().err
    assert first.items() < tree("lexiseg-out").items()
    assert len(tree("lexiseg-out")) == 2
    assert run("edit", "b/x.png", "blur", "green") == 0
    assert run("edit", "a/x.jpg", "blur", "red") == 0
    assert len(tree("lexiseg-out")) == 2


def stripes() -> None:
    import numpy as np

    rgb = np.zeros((12, 30, 3), np.uint8)
    rgb[:, :10] = (255, 0, 0)
    rgb[:, 10:20] = (0, 255, 0)
    rgb[:, 20:] = (0, 0, 255)
    imaging.write("a.png", rgb)


def test_numbered_files_are_replaced_as_a_whole(here: Path, finder: ColourFinder) -> None:
    stripes()
    line = ["edit", "a.png", "cutout", "red", "green", "blue", "--instances", "--edges", "hard"]
    assert run(*line) == 0
    three = {f"lexiseg-out/a-cutout-{n}.png" for n in (1, 2, 3)}
    assert set(tree("lexiseg-out")) == three
    Path("lexiseg-out/a-cutout-4.png").write_bytes(b"mine")
    assert run("edit", "a.png", "cutout", "red", "--edges", "hard") == 0  # one file: 4 is safe
    assert set(tree("lexiseg-out")) == {"lexiseg-out/a-cutout.png", "lexiseg-out/a-cutout-4.png"}
    os.remove("lexiseg-out/a-cutout-4.png")
    assert run("edit", "a.png", "cutout", "red", "blue", "--instances", "--edges", "hard") == 0
    assert set(tree("lexiseg-out")) == {f"lexiseg-out/a-cutout-{n}.png" for n in (1, 2)}
    # Attempts that somebody named are results of their own.
    for name in ("t.png", "t-1.png", "t-2.png", "t.png"):
        assert run("edit", "a.png", "cutout", "red", "--edges", "hard", "--out", name) == 0
    assert {"t.png", "t-1.png", "t-2.png"} <= set(tree())


def test_a_word_without_instances_has_its_pixels(
    here: Path, finder: ColourFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    stripes()
    call = ColourFinder.__call__

    def mapped(self: ColourFinder, *args: Any, **options: Any) -> Any:
        out = call(self, *args, **options)
        return replace(out, masks=out.masks[[]], labels=out.labels[[]], scores=out.scores[[]])

    monkeypatch.setattr(ColourFinder, "__call__", mapped)
    assert run("edit", "a.png", "cutout", "red", "--instances", "--edges", "hard") == 0
    assert imaging.read("lexiseg-out/a-cutout.png").size_hw == (12, 10)


def test_a_full_disk_leaves_no_half_of_an_edit(
    here: Path, finder: ColourFinder, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from lexiseg.edit import EditResult

    photo("in/a.png", "in/b.png", "in/c.png")
    save = EditResult.save

    def full(self: EditResult, path: Any, number: int = 0, **options: Any) -> Path:
        if Path(path).name.startswith("b"):
            save(self, path, number, **options)
            raise DiskFull(f"{str(path)!r} cannot be written: the disk is full")
        return save(self, path, number, **options)

    monkeypatch.setattr(EditResult, "save", full)
    assert run("edit", "in", "blur", "red") == 1
    error, summary = capsys.readouterr().err.splitlines()
    assert "'lexiseg-out/b-blur.png' cannot be written" in error  # not some hidden folder
    assert summary == "lexiseg: 2 of 3 pictures failed"
    assert os.listdir("lexiseg-out") == ["a-blur.png"]


def test_what_png_cannot_hold_is_said_of_each(
    here: Path, finder: ColourFinder, capsys: Any
) -> None:
    from PIL import Image

    frames = [Image.new("RGB", (14, 9), colour) for colour in ("red", "red")]
    frames[0].save("a.tif", save_all=True, append_images=frames[1:])
    photo("b.png")
    assert run("edit", "a.tif", "b.png", "blur", "red") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("lexiseg: a.tif: ") for line in lines)
    assert "not written" in lines[1]
