"""Which pictures names stand for: files, folders, patterns, links, odd files, earlier results."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from lexiseg import imaging
from lexiseg.errors import PictureError
from lexiseg.planning import Selection, read_record, select_pictures
from lexiseg.planning.patterns import expand

PIXELS = np.zeros((3, 5, 3), np.uint8)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(*names: str) -> None:
    for name in names:
        imaging.write("p.png", PIXELS)
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        os.rename("p.png", name)


def results(folder: str, *names: str) -> None:
    """What an earlier run leaves in a folder."""
    pictures(*(f"{folder}/{name}" for name in names))
    document = {"schema_version": 1, "image": {"path": "p.jpg"}, "files": dict.fromkeys(names)}
    document["files"] = {name: name for name in names}
    Path(folder, "result.json").write_text(json.dumps(document))


def paths(selection: Selection) -> list[str]:
    return [picture.path for picture in selection.pictures]


def reasons(selection: Selection) -> dict[str, str]:
    return {p.path: p.reason for p in (*selection.failed, *selection.passed_over)}


def test_a_folder_stands_for_all_in_it_and_below(here: Path) -> None:
    pictures("in/b.jpg", "in/A.PNG", "in/deep/c.png", "in/x.jfif", "in/y.HEIC", "in/bare")
    pictures("in/.hidden.png", "in/.thumbs/d.png")
    Path("in/notes.txt").write_text("no picture")
    Path("in/README").write_text("P2P, BMX: no picture")
    found = select_pictures(["in"])
    assert paths(found) == [
        f"in/{name}" for name in ("A.PNG", "b.jpg", "bare", "x.jfif", "y.HEIC", "deep/c.png")
    ]
    assert found.failed == []
    assert reasons(found) == {
        "in/.hidden.png": "is hidden; passed over",
        "in/.thumbs": "is a hidden folder; passed over",
        "in/notes.txt": "is no picture by its name; passed over",
        "in/README": "is no picture by its name; passed over",
    }
    assert not found.single
    assert {picture.root for picture in found.pictures} == {"in"}


def test_what_is_named_is_taken_whatever_it_is_called(here: Path) -> None:
    pictures("a.dat", ".b.png", "odd[1].png", "~x.png")
    for name in ("a.dat", ".b.png", "odd[1].png", "~x.png"):
        found = select_pictures([name])
        assert paths(found) == [name]
        assert found.single


def test_each_once_however_it_is_named(here: Path) -> None:
    pictures("in/a.png", "in/b.png")
    os.symlink("in", "way")
    again = ["in/b.png", "in", "./in/../in/a.png", str(here / "in" / "a.png"), "in/b.png"]
    assert paths(select_pictures(again)) == ["in/b.png", "in/a.png"]
    assert select_pictures(again).passed_over == []
    found = select_pictures(["in", "way/a.png", "way"])
    assert paths(found) == ["in/a.png", "in/b.png"]
    assert reasons(found) == {
        "way/a.png": "is 'in/a.png' by another way; done once",
        "way": "is 'in' by another way; done once",
    }
    assert select_pictures(["in", "in/"]).passed_over == []


def test_links_to_one_file_are_pictures_of_their_own(here: Path) -> None:
    pictures("store/one.png")
    Path("in").mkdir()
    for name in ("a.png", "b.png"):
        os.symlink("../store/one.png", f"in/{name}")
    os.link("store/one.png", "in/c.png")
    found = select_pictures(["in"])
    assert paths(found) == ["in/a.png", "in/b.png", "in/c.png"]
    assert [picture.real for picture in found.pictures] == [
        os.path.join(os.path.realpath("in"), name) for name in ("a.png", "b.png", "c.png")
    ]


def test_odd_files_are_named_and_stop_nothing(here: Path) -> None:
    pictures("in/ok.png", "in/folder.jpg/inside.png", "elsewhere/far.png")
    os.symlink("nowhere.png", "in/broken.png")
    os.symlink("circle.png", "in/circle.png")
    os.symlink("nowhere", "in/broken")
    os.symlink("../elsewhere", "in/link")
    os.symlink("..", "in/up")
    os.mkfifo("in/pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("in/socket")
    found = select_pictures(["in"])
    assert paths(found) == ["in/ok.png", "in/folder.jpg/inside.png"]
    assert {problem.path for problem in found.failed} == {
        "in/broken.png", "in/circle.png", "in/pipe.png",
    }  # fmt: skip
    said = reasons(found)
    assert said["in/broken.png"].startswith("is a link to a file that is not there")
    assert said["in/pipe.png"].startswith("is not an ordinary file")
    assert said["in/link"] == said["in/up"] == "is a link to a folder; passed over"
    assert said["in/socket"] == said["in/broken"] == "is no picture by its name; passed over"
    assert paths(select_pictures(["in/link"])) == ["in/link/far.png"]  # named, it is followed


def test_a_folder_that_cannot_be_read_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures("in/locked/a.png", "in/z.png")
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = select_pictures(["in"])
    assert paths(found) == ["in/z.png"]
    assert reasons(found) == {
        "in/locked": "cannot be opened (Permission denied); check who may read it"
    }


def test_names_of_any_bytes(here: Path) -> None:
    pictures("ok.jpg")
    for name in (b"caf\xe9.jpg", "猫 ".encode() * 20 + b".png", b"new\nline.png", b"-x.png"):
        with open(os.path.join(b"in", name) if os.path.isdir("in") else name, "wb") as file:
            file.write(Path("ok.jpg").read_bytes())
    found = select_pictures(["."])
    assert {os.fsencode(os.path.basename(path)) for path in paths(found)} == set(
        os.listdir(os.fsencode(here))
    )


def test_one_missing_name_among_several_stops_nothing(here: Path) -> None:
    pictures("a.png")
    Path("empty").mkdir()
    found = select_pictures(["a.png", "a.pnG", "gone/b.png", "*.webp", "empty", "https://a/b.jpg"])
    assert paths(found) == ["a.png"]
    said = reasons(found)
    assert said["a.pnG"] == "does not exist; did you mean 'a.png'?"
    assert "there is no folder 'gone'" in said["gone/b.png"]
    assert said["*.webp"].startswith("is a pattern that no picture matches")
    assert said["empty"].startswith("is a folder that holds no pictures")
    assert said["https://a/b.jpg"].startswith("is an address")


def test_hints_do_not_make_many_missing_names_slow(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures("a.png")
    read: list[object] = []
    original = imaging.read
    monkeypatch.setattr(imaging, "read", lambda source: [read.append(source), original(source)])
    found = select_pictures([f"gone{i}.png" for i in range(200)])
    assert len(found.failed) == 200
    assert len(read) == 20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.jpg", "'gone.jpg' does not exist"),
        ("a.pnG", "did you mean 'a.png'"),
        ("empty", "the folder 'empty' holds no pictures"),
        ("*.webp", "no picture matches the pattern '*.webp'"),
        ("trip [9]/*.png", 'a "[" that is part of a name is written "[[]"'),
        ("http://example.com//a.jpg", "'http://example.com//a.jpg' is an address"),
    ],
)
def test_a_single_name_that_stands_for_nothing_is_refused(
    name: str, message: str, here: Path
) -> None:
    pictures("a.png")
    Path("empty").mkdir()
    with pytest.raises(PictureError) as caught:
        select_pictures([name])
    assert message in str(caught.value)


def test_earlier_results_are_no_pictures(here: Path) -> None:
    pictures("in/a.png", "in/out/a/masks/mine.png", "in/out/a/mine.png", "in/masks/b.png")
    results("in/out/a", "overlay.png", "labels.png", "masks/dog.png")
    for names in (["in"], ["in/**/*.png"], ["in/*.png", "in/*/*/*.png", "in/**"]):
        found = select_pictures(names)
        assert set(paths(found)) <= {
            "in/a.png", "in/masks/b.png", "in/out/a/mine.png", "in/out/a/masks/mine.png",
        }  # fmt: skip
        assert found.earlier > 0
    assert set(paths(select_pictures(["in/**/*.png"]))) == {
        "in/a.png", "in/masks/b.png", "in/out/a/mine.png", "in/out/a/masks/mine.png",
    }  # fmt: skip
    # A shell hands over what a pattern matches; named alone, or where all are, they are meant.
    mixed = select_pictures(["in/a.png", "in/out/a/overlay.png"])
    assert (paths(mixed), mixed.earlier) == (["in/a.png"], 1)
    assert paths(select_pictures(["in/out/a/overlay.png"])) == ["in/out/a/overlay.png"]
    assert paths(select_pictures(["in/out/*/masks/dog.png"])) == ["in/out/a/masks/dog.png"]
    os.remove("in/out/a/mine.png")
    os.remove("in/out/a/masks/mine.png")
    with pytest.raises(PictureError, match="holds nothing but results of earlier runs"):
        select_pictures(["in/out"])


def test_a_foreign_result_json_hides_nothing(here: Path) -> None:
    pictures("in/overlay.png", "in/labels.png", "far.png")
    for text in (
        "{}",
        "[]",
        "no JSON",
        '{"schema_version": 1}',
        '{"files": {"a": "overlay.png"}}',
        '{"schema_version": 1, "image": {}, "files": {"a": "../far.png", "b": {"c": 3}}}',
        "[" * 100_000,
    ):
        Path("in/result.json").write_text(text)
        assert paths(select_pictures(["in"])) == ["in/labels.png", "in/overlay.png"]


def test_records_with_files_far_behind_are_read(here: Path) -> None:
    results("out", "overlay.png")
    document = json.loads(Path("out/result.json").read_text())
    late = {"schema_version": 1, "image": {"path": "a"}, "instances": ["x" * 200_000]}
    long = {f"w{i}": f"masks/{i:050}.png" for i in range(4000)}
    for text in (
        json.dumps(late | {"files": document["files"]}),
        json.dumps(late | {"files": long}),
    ):
        Path("out/result.json").write_text(text)
        record = read_record("out")
        assert record is not None
        assert record.names == frozenset(json.loads(text)["files"].values())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(here: Path) -> None:
    pictures("in/overlay.png")
    os.mkfifo("in/result.json")
    assert read_record("in") is None
    assert paths(select_pictures(["in"])) == ["in/overlay.png"]


def test_patterns_as_shells_have_them(here: Path) -> None:
    pictures("t/a.png", "t/b.jpg", "t/u/a.png", "t/u/v/c.png", "t/.h/d.png", "trip [2024]/e.png")
    os.symlink("..", "t/u/loop")
    assert expand("t/*.png") == ("t", ["t/a.png"])
    assert expand("t/**/*.png")[1] == ["t/a.png", "t/u/a.png", "t/u/v/c.png"]
    assert expand("t/**/**/*.png")[1] == expand("t/**/*.png")[1]
    assert expand("t/**")[1] == ["t/a.png", "t/b.jpg", "t/u/a.png", "t/u/loop", "t/u/v/c.png"]
    assert expand("t/[!b].*")[1] == ["t/a.png"]
    assert expand("t/.*/*.png")[1] == ["t/.h/d.png"]
    assert expand("trip [2024]/*.png") == ("trip [2024]", ["trip [2024]/e.png"])
    assert expand("*/e.png")[1] == ["trip [2024]/e.png"]
    assert expand("trip [[]2024]/*.png")[1] == ["trip [2024]/e.png"]
    assert expand("t/u/loop/*.png")[1] == ["t/u/loop/a.png"]
    assert expand("gone/*/x.png")[1] == []
    absolute = str(here / "t" / "*.png")
    assert expand(absolute) == (str(here / "t"), [str(here / "t" / "a.png")])


def test_a_pattern_may_match_folders(here: Path) -> None:
    pictures("in/a.png", "in/deep/b.png")
    assert paths(select_pictures(["in/*"])) == ["in/a.png", "in/deep/b.png"]
    assert paths(select_pictures(["*"])) == ["in/a.png", "in/deep/b.png"]
