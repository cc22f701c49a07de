"""Where results go: free places, no input harmed, no link followed, earlier results replaced."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lexiseg.planning import (
    EditPlaces,
    Job,
    OutputFolder,
    Selected,
    picture_path,
    plan_edits,
    plan_folders,
    results_obstacle,
    select_pictures,
)

NAMES = frozenset({"overlay.png", "labels.png", "masks/dog.png"})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"  # beside it lies nothing: a test reaches there
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def plan(*names: str, out: str = "out", others: tuple[str, ...] = ()) -> list[Job]:
    pictures = select_pictures(names).pictures
    reads = [*(picture.path for picture in pictures), *others]
    return plan_folders(pictures, OutputFolder(out, reads), NAMES)


def targets(*names: str, **options: Any) -> list[str]:
    return [job.target.as_posix() for job in plan(*names, **options)]


def results(folder: str, picture: str, *names: str) -> None:
    """What an earlier run left in a folder, of a picture."""
    touch(*(f"{folder}/{name}" for name in names))
    path = picture_path(os.path.realpath(picture), os.path.realpath(folder))
    document = {"schema_version": 1, "image": {"path": path}, "files": {n: n for n in names}}
    Path(folder, "result.json").write_text(json.dumps(document))


def test_results_lie_as_pictures_do_below_their_common_parent(here: Path) -> None:
    touch("a/x.jpg", "a/deep/x.jpg", "b/x.jpg", "b/y.jpg", "c/z.jpg")
    assert targets("a/x.jpg") == targets(str(here / "a" / "x.jpg")) == ["out/x"]
    assert targets("a") == ["out/x", "out/deep/x"]
    assert targets("a", "b/y.jpg") == ["out/a/x", "out/a/deep/x", "out/b/y"]
    assert targets("c") == targets("c/*.jpg") == ["out/z"]
    assert targets("*/x.jpg") == ["out/a/x", "out/b/x"]
    assert targets("../*/a/x.jpg") == [f"out/{here.name}/a/x"]
    assert all(not job.remark for job in plan("a", "b", "c"))


def test_the_same_run_again_goes_to_the_same_places(here: Path) -> None:
    touch("in/IMG.JPG", "in/IMG.jpg", "in/b.png")
    first = plan("in")
    for job in first:
        results(str(job.target), job.real, "overlay.png", "masks/dog.png")
    assert plan("in") == first
    # And where pictures and results moved together.
    os.mkdir("moved")
    os.rename("in", "moved/in")
    os.rename("out", "moved/out")
    moved = targets("moved/in", out="moved/out")
    assert moved == [f"moved/{job.target.as_posix()}" for job in first]
    assert sum(bool(job.remark) for job in first) == 2
    assert "the same but for case" in first[0].remark


def test_results_of_another_picture_are_not_replaced(here: Path) -> None:
    touch("a/x.jpg", "b/x.png", "c/x.jpg")
    results("out/x", "a/x.jpg", "overlay.png")
    assert targets("a/x.jpg") == ["out/x"]
    (job,) = plan("b/x.png")
    assert job.target.name.startswith("x.png-")
    assert "'out/x' is not free: the results of another picture are there" in job.remark
    results(str(job.target), "b/x.png", "overlay.png")
    assert plan("b/x.png") == [job]
    assert targets("c/x.jpg") != [job.target.as_posix()]
    # Results that do not say of what they are, of an older version, are taken as the same.
    text = '{"schema_version": 1, "image": {"file_name": "x.jpg"}, "files": {"a": "overlay.png"}}'
    Path("out/x/result.json").write_text(text)
    assert targets("c/x.jpg") == ["out/x"]


def test_what_lexiseg_did_not_write_is_not_replaced(here: Path) -> None:
    touch("x.jpg", "out/x/overlay.png", "y.jpg", "out/y/notes.txt", "out/y/masks/mine.png", "z.jpg")
    (x,) = plan("x.jpg")
    assert x.target.name.startswith("x.jpg-")
    assert "'overlay.png' is there, which lexiseg did not write" in x.remark
    assert targets("y.jpg") == ["out/y"]
    results("out/z", "z.jpg", "overlay.png")
    assert targets("z.jpg") == ["out/z"]
    touch("out/z/masks/Dog.png")
    (z,) = plan("z.jpg")
    assert "'masks/Dog.png' is there" in z.remark


def test_a_file_in_the_way_makes_the_name_longer(here: Path) -> None:
    touch("in/s.jpg", "in/s.png")
    first, second = plan("in", out="in")
    assert first.target.name.startswith("s.jpg-")
    assert second.target.name.startswith("s.png-")
    assert "'in/s.jpg' is not free" in first.remark
    touch("out/y", "y.jpg")
    (y,) = plan("y.jpg")
    assert "there is a file of that name" in y.remark


def test_results_never_go_where_an_input_lies(here: Path) -> None:
    touch("x.jpg", "out/x/overlay.png", "ex.png")
    results("out/x", "x.jpg", "overlay.png")
    (x,) = plan("x.jpg", others=("out/x/overlay.png",))
    assert "an input of this run lies there" in x.remark
    # Under another name: a link to it, a link in its path, dots.
    os.symlink("out/x/overlay.png", "link.png")
    os.symlink("out", "way")
    for name in ("link.png", "way/x/overlay.png", "./out/../out/x/overlay.png"):
        (job,) = plan("x.jpg", others=(name,))
        assert "an input of this run lies there" in job.remark, name
    assert targets("x.jpg", others=("ex.png",)) == ["out/x"]
    # An output folder whose name begins like that of an input's folder is another one.
    touch("out2/q/a.jpg")
    assert targets("out2/q/a.jpg", "x.jpg")[1] == "out/x"


def test_links_in_the_output_folder_are_not_followed(here: Path) -> None:
    touch("in/a.jpg", "in/sub/b.jpg", "in/c.jpg", "precious/overlay.png")
    Path("out").mkdir()
    for name in ("a", "sub"):
        os.symlink("../precious", f"out/{name}")
    results("out/c", "in/c.jpg", "overlay.png")
    os.symlink("../../precious", "out/c/masks")
    a, c, b = plan("in")
    assert a.target.as_posix().startswith("out/a.jpg-")
    assert b.target.as_posix().startswith("out/b.jpg-")  # not below the link
    assert c.target.as_posix().startswith("out/c.jpg-")
    assert "there is a link of that name" in a.remark
    assert "'out/sub' is a link" in b.remark
    assert "it holds a link called 'masks'" in c.remark
    # The output folder itself may be one: whoever gave it meant it.
    os.symlink("precious", "way")
    assert targets("in/c.jpg", out="way") == ["way/c"]


def test_a_place_that_was_taken_meanwhile_is_noticed(here: Path) -> None:
    touch("x.jpg", "y.jpg")
    real = os.path.realpath("x.jpg")
    assert results_obstacle("out/x", real, NAMES) is None
    results(os.path.realpath("out/x"), "y.jpg", "overlay.png")
    why = results_obstacle(os.path.realpath("out/x"), real, NAMES)
    assert why == "the results of another picture are there"


def count_calls(work: Callable[[], object]) -> int:
    """How many functions a piece of work calls, Python's and C's: a time that no clock tells."""
    total = 0

    def count_call(frame: Any, event: str, argument: Any) -> None:
        nonlocal total
        total += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        work()
    finally:
        sys.setprofile(None)
    return total


@pytest.mark.parametrize("kind", ["folders", "edits", "folders, case twins", "edits, case twins"])
def test_planning_is_linear(here: Path, kind: str) -> None:
    """Ten times as many pictures, all in one folder, take ten times as long."""

    def calls(count: int) -> int:
        endings = ["jpg", "JPG"] if "twins" in kind else ["jpg"]
        names = [f"{i // len(endings)}.{endings[i % len(endings)]}" for i in range(count)]
        pictures = [Selected(f"in/{name}", "in", str(here / "in" / name)) for name in names]
        out = OutputFolder("out", (picture.path for picture in pictures))
        if kind.startswith("edits"):
            places = EditPlaces(out, numbered=True)
            return count_calls(lambda: plan_edits(pictures, places, ["-blur.png"] * len(pictures)))
        return count_calls(lambda: plan_folders(pictures, out, NAMES))

    touch("in/0.jpg", "out/0-blur-1.png")
    results("out/0", "in/0.jpg", "overlay.png")
    assert calls(2000) < 10.5 * calls(200)


def test_selecting_is_linear(here: Path) -> None:
    few = [f"few/{i % 7}/{i}.jpg" for i in range(40)]
    many = [f"many/{i % 7}/{i}.jpg" for i in range(400)]
    touch(*few, *many)
    for one, ten in (["few"], ["many"]), (["few/**/*.jpg"], ["many/**/*.jpg"]), (few, many):
        short = count_calls(lambda: select_pictures(one))  # noqa: B023
        assert count_calls(lambda: select_pictures(ten)) < 10.5 * short  # noqa: B023
