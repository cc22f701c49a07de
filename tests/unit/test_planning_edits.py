"""Where edits go: free places, no input harmed, earlier edits of the same picture replaced."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from lexiseg import imaging
from lexiseg.edit.xmp import EDITED, origin_of, packet
from lexiseg.errors import OutputError
from lexiseg.planning import (
    EditPlaces,
    Job,
    OutputFolder,
    edit_ending,
    edit_origin,
    plan_edits,
    plan_named_edit,
    select_pictures,
)

RGB = np.full((3, 5, 3), 90, np.uint8)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def edited(path: str, picture: str | None, number: int | None = None) -> None:
    """What an earlier edit of a picture left; None for one that does not tell of which."""
    origin = None
    if picture is not None:
        folder = os.path.realpath(os.path.dirname(path) or ".")
        origin = edit_origin(os.path.realpath(picture), folder, number)
    imaging.write(path, RGB, xmp=packet([{"operation": "blur"}], EDITED, origin=origin))


def plan(*names: str, out: str = "out", numbered: bool = False) -> list[Job]:
    pictures = select_pictures(names).pictures
    places = EditPlaces(OutputFolder(out, [p.path for p in pictures]), numbered=numbered)
    return plan_edits(pictures, places, ["-blur.png"] * len(pictures))


def targets(*names: str, **options: bool) -> list[str]:
    return [job.target.as_posix() for job in plan(*names, **options)]


def test_edits_lie_as_pictures_do(here: Path) -> None:
    touch("a/x.jpg", "a/x.png", "a/deep/x.jpg", "b/y.jpg", "b/Y.JPG")
    assert targets("a/x.jpg") == ["out/x-blur.png"]
    assert targets("a") == ["out/x.jpg-blur.png", "out/x.png-blur.png", "out/deep/x-blur.png"]
    first, second = targets("b")
    assert first.startswith("out/Y.JPG-")
    assert second.startswith("out/y.jpg-")
    assert first.casefold() != second.casefold()


def test_names_of_many_operations_stay_short() -> None:
    assert edit_ending(["blur"]) == "-blur.png"
    assert edit_ending(["blur", "blur", "remove", "style", "mask"]).endswith("-style-mask.png")
    assert edit_ending(["pixelate"] * 99) == f"-{'-'.join(['pixelate'] * 5)}-more.png"


def test_the_edit_of_the_same_picture_is_replaced_and_no_other(here: Path) -> None:
    touch("a/x.jpg", "b/x.png")
    edited("out/x-blur.png", "a/x.jpg")
    assert targets("a/x.jpg") == ["out/x-blur.png"]
    (job,) = plan("b/x.png")
    assert job.target.name.startswith("x.png-")
    assert "the edit of another picture is there" in job.remark
    edited("out/x-blur.png", None)  # saved from Python: not told of which
    assert targets("b/x.png") == ["out/x-blur.png"]
    imaging.write("out/x-blur.png", RGB)
    (job,) = plan("a/x.jpg")
    assert "'x-blur.png' is there, which lexiseg did not write" in job.remark


def test_numbered_files_belong_to_a_place(here: Path) -> None:
    touch("x.jpg", "y.jpg")
    edited("out/x-blur-1.png", "x.jpg", 1)
    edited("out/x-blur-12.png", "x.jpg", 12)
    edited("out/x-blur-3.png", "x.jpg")  # named so by somebody: not number 3 of an edit
    (x,) = select_pictures(["x.jpg"]).pictures
    places = EditPlaces(OutputFolder("out", ["x.jpg"]), numbered=True)
    place = os.path.realpath("out/x-blur.png")
    names = sorted(os.path.basename(path) for path in places.earlier(place, x.real))
    assert names == ["x-blur-1.png", "x-blur-12.png"]
    assert "'x-blur-3.png' is there" in (places.obstacle(place, x.real) or "")
    os.remove("out/x-blur-3.png")
    assert targets("x.jpg", numbered=True) == targets("x.jpg") == ["out/x-blur.png"]
    touch("out/y-blur-7.png")
    assert targets("y.jpg") == ["out/y-blur.png"]  # gives one file, so that 7 is safe
    assert targets("y.jpg", numbered=True) != ["out/y-blur.png"]
    # What came since the folder was listed counts, where it would be written over.
    touch("out/x-blur-2.png")
    why = places.obstacle(place, x.real, ["x-blur-2.png"])
    assert why == "'x-blur-2.png' is there, which lexiseg did not write"


def test_an_input_is_never_replaced(here: Path) -> None:
    touch("x.jpg")
    edited("out/x-blur.png", "x.jpg")
    for name in ("out/x-blur.png", "./out/../out/x-blur.png", "out/X-BLUR.png"):
        places = EditPlaces(OutputFolder("out", ["x.jpg", name]), numbered=False)
        (job,) = plan_edits(select_pictures(["x.jpg"]).pictures, places, ["-blur.png"])
        assert "an input of this run lies there" in job.remark, name
    os.symlink("out/x-blur.png", "link.png")
    places = EditPlaces(OutputFolder("out", ["link.png"]), numbered=False)
    (job,) = plan_edits(select_pictures(["x.jpg"]).pictures, places, ["-blur.png"])
    assert "an input of this run lies there" in job.remark


def test_links_folders_and_pipes_are_left_alone(here: Path) -> None:
    touch("a.jpg", "b.jpg", "c.jpg", "precious.png")
    Path("out/b-blur.png").mkdir(parents=True)
    os.symlink("../precious.png", "out/a-blur.png")
    os.mkfifo("out/c-blur.png")
    remarks = [job.remark for job in plan("a.jpg", "b.jpg", "c.jpg")]
    for remark, kind in zip(remarks, ("link", "folder", "device or pipe"), strict=True):
        assert f"is a {kind}" in remark


@pytest.mark.parametrize("numbered", [False, True])
def test_a_named_file(here: Path, numbered: bool) -> None:
    touch("a/x.jpg", "mine.png", "a/pets-1.png")
    edited("try.png", "a/pets-1.png")

    def job(name: str, picture: str = "a/x.jpg") -> Job:
        (one,) = select_pictures([picture]).pictures
        path = Path(name)
        out = OutputFolder(path.parent, [picture])
        places = EditPlaces(out, numbered=numbered, of_any_picture=True)
        return plan_named_edit(one, path, places)

    assert job("new.png").target == Path("new.png")
    assert job("try.png").target == Path("try.png")  # an edit, of whatever
    with pytest.raises(OutputError, match=r"'mine\.png' is there, which lexiseg did not write"):
        job("mine.png")
    with pytest.raises(OutputError, match="is the photo itself"):
        job("a/../a/x.jpg")
    if numbered:
        with pytest.raises(OutputError, match="an input of this run lies there"):
            job("a/pets.png", "a/pets-1.png")
    else:
        assert job("a/pets.png", "a/pets-1.png").target == Path("a/pets.png")


def test_the_file_keeps_its_origin_in_every_format(here: Path) -> None:
    from lexiseg.edit import blur

    mask = np.zeros((40, 57), np.bool_)
    mask[10:30, 10:30] = True
    result = blur(np.full((40, 57, 3), 90, np.uint8), mask)
    for suffix in imaging.WRITABLE_SUFFIXES:
        path = result.save(f"a{suffix}", origin="abc/2")
        assert origin_of(imaging.read_xmp(path)) == "abc/2", suffix
        again = blur(path, mask)
        path = again.save(f"b{suffix}")
        assert origin_of(imaging.read_xmp(path)) == "", suffix  # not that of the edit before
    for name, data in {"empty": b"", "text": b"abc", "png": b"\x89PNG\r\n\x1a\n\0\0\0"}.items():
        Path(name).write_bytes(data)
        assert imaging.read_xmp(name) is None
    assert imaging.read_xmp("gone") is None
    assert imaging.read_xmp(".") is None


def test_edits_are_no_pictures_of_a_folder(here: Path) -> None:
    touch("in/a.jpg", "in/b-blur.png")
    edited("in/a-blur.png", "in/a.jpg")
    edited("in/a-cutout-2.png", "in/a.jpg", 2)
    edited("in/a-remove-more.png", "in/a.jpg")
    edited("in/mine.png", "in/a.jpg")  # named by somebody
    found = select_pictures(["in"])
    assert [one.path for one in found.pictures] == ["in/a.jpg", "in/b-blur.png", "in/mine.png"]
    assert found.earlier == 3
    assert [one.path for one in select_pictures(["in/a-blur.png"]).pictures] == ["in/a-blur.png"]
