"""Runs over folders and tables, with a segmenter that costs nothing; ended, changed, shared."""

from __future__ import annotations

import csv
import json
import re
import shutil
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.colour_finder import COLOURS, ColourFinder

import lexiseg
from lexiseg import imaging
from lexiseg.batch.work import Worker
from lexiseg.errors import OptionError, OutputError, PromptError, UnknownName
from lexiseg.export.registry import read_annotations
from lexiseg.masks import Masks

WORDS = ["red", "green"]
QUICK: dict[str, Any] = {"masks": "jsonl", "kinds": ("labels", "masks")}


def paint(path: Path, **boxes: tuple[int, int, int, int]) -> Path:
    """Write a grey picture, 14 x 20, with boxes x0, y0, x1, y1 of colours."""
    rgb = np.full((14, 20, 3), 127, np.uint8)
    for colour, (x0, y0, x1, y1) in boxes.items():
        rgb[y0:y1, x0:x1] = COLOURS[colour]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 12 pictures, in two folders, in which the process works."""
    monkeypatch.chdir(tmp_path)
    for n in range(11):
        colour = "red" if n % 2 else "green"
        paint(
            tmp_path / "in" / ("deep" if n % 3 else ".") / f"{n}.png", **{colour: (n, 2, n + 4, 9)}
        )
    paint(tmp_path / "in" / "0.bmp", red=(0, 0, 3, 3))
    return tmp_path


def results(out: Path) -> dict[str, bytes]:
    """Return every file of a run but its journal: name -> bytes."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.relative_to(out).parts[0].startswith(".")
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run(*given: Any, **options: Any) -> lexiseg.BatchResult:
    return lexiseg.run_batch(ColourFinder(), *given, **{**QUICK, **options})


def test_results_lie_as_the_pictures_do_and_are_those_of_segment(here: Path) -> None:
    result = run("in", "out", WORDS, kinds=("overlay", "labels", "masks"))
    assert (result.total, result.done, result.failed, result.found) == (12, 12, (), True)
    written = results(here / "out")
    assert {
        "deep/1/result.json",
        "deep/1/overlay.png",
        "0.png/labels.png",
        "0.bmp/masks/red.png",
    } <= set(written)
    document = json.loads(written["deep/1/result.json"])
    assert document["provenance"]["seconds"] == {}
    (only,) = document["instances"]
    table = [json.loads(line) for line in written["masks.jsonl"].splitlines()]
    assert len(table) == 12
    (row,) = [
        one for one in table if one["picture"].endswith("1.png") and "10" not in one["picture"]
    ]
    assert row["rle"] == only["rle"]
    assert (row["word"], row["colour"], row["box"], row["area"]) == (
        "red",
        "#ff0000",
        [1, 2, 4, 7],
        28,
    )
    mask = Masks.from_rle([row["rle"]], (row["height"], row["width"])).union()
    assert mask.sum() == 28
    assert mask[2:9, 1:5].all()


def test_a_second_run_does_nothing_and_changes_nothing(here: Path) -> None:
    run("in", "out", WORDS)
    before = results(here / "out")
    finder = ColourFinder()
    result = lexiseg.run_batch(finder, "in", "out", WORDS, **QUICK)
    assert (result.done, result.earlier, finder.calls) == (0, 12, [])
    assert results(here / "out") == before


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["read", "find", "write"])
@pytest.mark.parametrize("after", [0, 3, 8])
def test_a_run_that_was_ended_goes_on_to_the_same_bytes(
    here: Path, monkeypatch: pytest.MonkeyPatch, moment: str, after: int
) -> None:
    (here / "in" / "broken.png").write_bytes((here / "in" / "0.png").read_bytes()[:60])
    (here / "in" / "empty.jpg").touch()
    run("in", "whole", WORDS)
    stage: Callable[..., Any] = getattr(Worker, moment)
    count = 0

    def ended(self: Worker, *given: Any) -> Any:
        nonlocal count
        count += 1
        if count > after:
            if moment == "write":
                stage(self, *given)  # all is written, and not yet noted
            raise _Killed
        return stage(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, moment, ended)
        with pytest.raises(_Killed):
            run("in", "out", WORDS)
    assert not (here / "out" / "pictures.csv").exists()
    result = run("in", "out", WORDS)
    assert [Path(name).name for name, _ in result.failed] == ["broken.png", "empty.jpg"]
    assert results(here / "out") == results(here / "whole")


def test_what_fails_is_listed_and_tried_again(here: Path) -> None:
    broken = here / "in" / "deep" / "4.png"
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    result = run("in", "out", WORDS)
    assert len(result.failed) == 1
    (row,) = rows(here / "out" / "failures.csv")
    assert row["picture"] == str(Path("in/deep/4.png"))
    assert "is empty" in row["error"]
    broken.write_bytes(whole)
    result = run("in", "out", WORDS)
    assert (result.done, result.earlier, result.failed) == (1, 11, ())
    assert not (here / "out" / "failures.csv").exists()


def test_a_picture_that_changed_and_results_that_are_gone_are_done_again(here: Path) -> None:
    run("in", "out", WORDS)
    paint(here / "in" / "deep" / "4.png", red=(0, 0, 20, 14))
    shutil.rmtree(here / "out" / "0.png")
    result = run("in", "out", WORDS)
    assert result.done == 2
    by_name = {Path(row["picture"]).name: row for row in rows(here / "out" / "pictures.csv")}
    assert by_name["4.png"]["found"] == "red"
    assert (here / "out" / "0.png" / "result.json").is_file()


def test_shards_together_are_one_run(here: Path) -> None:
    run("in", "whole", WORDS)
    first = run("in", "out", WORDS, shard=(2, 3))
    assert (first.done, first.waiting) == (4, 8)
    assert not (here / "out" / "pictures.csv").exists()
    run("in", "out", WORDS, shard=(1, 3))
    last = run("in", "out", WORDS, shard=(3, 3))
    assert (last.done, last.earlier, last.waiting) == (4, 8, 0)
    assert results(here / "out") == results(here / "whole")


def test_of_shards_at_the_same_time_the_last_one_makes_the_tables(here: Path) -> None:
    run("in", "whole", WORDS)

    between: list[lexiseg.BatchResult] = []

    def other(done: int, total: int, name: str) -> None:
        if not between:
            between.append(run("in", "out", WORDS, shard=(2, 2)))

    result = run("in", "out", WORDS, shard=(1, 2), progress=other)
    assert (between[0].done, between[0].waiting) == (6, 5)
    assert (result.done, result.waiting) == (6, 0)
    assert results(here / "out") == results(here / "whole")


def test_other_settings_are_refused_and_anew_begins_again(here: Path) -> None:
    run("in", "out", WORDS)
    with pytest.raises(OptionError, match=r"another kinds.*--anew"):
        run("in", "out", WORDS, kinds=("labels",))
    result = run("in", "out", WORDS, kinds=("labels",), anew=True)
    assert result.done == 12
    assert not (here / "out" / "deep" / "1" / "masks").exists()


def test_other_words_are_another_task(here: Path) -> None:
    run("in", "out", WORDS)
    result = run("in", "out", ["red", "blue"])
    assert result.done == 12
    assert {row["found"] for row in rows(here / "out" / "pictures.csv")} == {"red", ""}


def test_a_table_asks_each_picture_for_its_own(here: Path) -> None:
    table = here / "in" / "list.csv"
    table.write_text(
        "picture,words,operation,with,split,words_given\n"
        "0.bmp,red; green,,,train,x\n"
        "deep/1.png,,recolour red,blue,val,\n"
        "deep/2.png,green,remove,,val,\n"
        "deep/1.png,red,,,train,again\n"
        "deep/5.png,red,remove green,,val,\n"
        ",red,,,val,\n"
        "gone.png,red,,,val,\n"
        "deep/1.png,red,enlarge red,,val,\n",
        encoding="utf-8",
    )
    result = run(table, "out", kinds=("labels",))
    listed = rows(here / "out" / "pictures.csv")
    assert [row["status"] for row in listed] == [
        "done", "done", "done", "done", "not found", "failed", "failed", "failed",
    ]  # fmt: skip
    assert [row["split"] for row in listed] == [
        "train", "val", "val", "train", "val", "val", "val", "val",
    ]  # fmt: skip
    assert listed[1]["edited"] == "deep/1-recolour.png"
    assert [row["folder"] for row in listed[:4]] == ["0", "", "", "deep/1"]
    edited = imaging.read(here / "out" / "deep" / "1-recolour.png").rgb
    assert (edited[5, 3] != imaging.read(here / "in" / "deep" / "1.png").rgb[5, 3]).any()
    errors = {row["picture"]: row["error"] for row in rows(here / "out" / "failures.csv")}
    assert "line 7" in "".join(errors.values())
    assert "gone.png" in errors["gone.png"]
    assert "enlarge" in errors["deep/1.png"]
    assert result.not_found == ("deep/5.png",)


def test_both_writes_results_beside_the_edit(here: Path) -> None:
    run("in/deep/1.png", "out", operation="blur red --radius 2", both=True, kinds=())
    assert {"1/result.json", "1-blur.png"} <= set(results(here / "out"))


def test_places_of_results_stay_when_a_folder_grows(here: Path) -> None:
    paint(here / "few" / "x.png", red=(0, 0, 5, 5))
    run("few", "out", WORDS)
    paint(here / "few" / "x.bmp", green=(0, 0, 5, 5))
    run("few", "out", WORDS)
    listed = {row["picture"]: row["folder"] for row in rows(here / "out" / "pictures.csv")}
    assert listed[str(Path("few/x.png"))] == "x"
    assert (here / "out" / listed[str(Path("few/x.bmp"))] / "result.json").is_file()


def test_a_folder_that_grows_is_watched(here: Path) -> None:
    rounds: list[int] = []

    def stop() -> bool:
        rounds.append(len(rows(here / "out" / "pictures.csv")))
        if len(rounds) == 1:
            paint(here / "in" / "late.png", red=(0, 0, 5, 5))
        return len(rounds) == 40 or rounds[-1] == 13

    result = run("in", "out", WORDS, watch=0.05, stop=stop)
    assert rounds[0] <= 12
    assert rounds[-1] == result.total == 13


def test_words_that_cannot_be_asked_are_refused_before_anything_is_written(here: Path) -> None:
    with pytest.raises(UnknownName):
        run("in", "out", ["red"], operation="enlarge red")
    with pytest.raises(PromptError):
        run("in", "out", ["red", "red"])
    assert not (here / "out").exists() or not list((here / "out").iterdir())


def test_two_runs_do_not_write_into_one_folder(here: Path) -> None:
    held: list[Exception] = []

    def second(done: int, total: int, name: str) -> None:
        if done == 3:
            try:
                run("in", "out", WORDS)
            except OutputError as error:
                held.append(error)

    run("in", "out", WORDS, progress=second)
    assert "another run works" in str(held[0])


def test_an_input_that_lies_in_the_output_folder_stays(here: Path) -> None:
    """Names that the run gives itself, and pictures of the run, are no places for results."""
    paint(here / "out" / "pictures.csv.png", red=(0, 0, 5, 5))
    before = (here / "out" / "pictures.csv.png").read_bytes()
    result = run("out", "out", WORDS)
    assert result.failed == ()
    assert (here / "out" / "pictures.csv.png").read_bytes() == before
    (row,) = rows(here / "out" / "pictures.csv")
    assert (here / "out" / row["folder"] / "result.json").is_file()


def test_the_contact_sheet_needs_nothing_else_and_allows_nothing_else(here: Path) -> None:
    paint(here / "in" / 'a "quoted" <b>&.png', red=(0, 0, 5, 5))
    run("in", "out", WORDS)
    page = (here / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure") == 13
    assert "<b>&" not in page
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    named = re.search(r"script-src 'sha256-(.*?)'", policy)
    assert named is not None
    assert b64decode(named[1]) == sha256(script.encode()).digest()
    assert "default-src 'none'" in policy
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert not re.search(r"\son\w+=", page)
    words = [
        json.loads(text.replace("&quot;", '"')) for text in re.findall(r'data-words="(.*?)"', page)
    ]
    assert sorted(map(tuple, words)) == [("green",)] * 6 + [("red",)] * 7


def read_parquet(path: Path) -> Any:
    return pytest.importorskip("pyarrow.parquet").read_table(path)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools'
def test_the_table_of_masks_opens_elsewhere(here: Path) -> None:
    pandas, duckdb = pytest.importorskip("pandas"), pytest.importorskip("duckdb")
    mask_tools = pytest.importorskip("pycocotools.mask")
    lines = [
        {"picture": f"deep/{n}.png", "words": ["red", "green"], "score": n / 2, "tags": ["a", n]}
        for n in (1, 2, 4, 5)
    ]
    table = here / "in" / "list.jsonl"
    table.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    run("in/list.jsonl", "out", masks="parquet")
    path = here / "out" / "masks.parquet"
    frame = pandas.read_parquet(path)
    assert frame["score_given"].tolist() == [0.5, 1.0, 2.0, 2.5]
    assert frame["tags"].tolist() == ['["a", 1]', '["a", 2]', '["a", 4]', '["a", 5]']
    for row in frame.itertuples():
        mask: NDArray[np.uint8] = mask_tools.decode(row.rle)
        assert mask.shape == (14, 20)
        assert mask.sum() == row.area
    found = duckdb.sql(
        f"select word, count(*), sum(area) from '{path}' group by word order by word"
    )
    assert found.fetchall() == [("green", 2, 56), ("red", 2, 56)]


def test_formats_are_made_of_all_results(here: Path) -> None:
    run("in", "out", WORDS, formats=("coco",))
    found = [*read_annotations(here / "out" / "coco" / "instances.json", "in")]
    # Formats call files by their names without endings, so one of two twins keeps both of its.
    assert {"0.bmp", "0.png.png", "deep/1.png"} < {one.file_name for one in found}
    assert sum(len(one.seg) for one in found) == 12
    with pytest.raises(UnknownName):
        run("in", "other", WORDS, formats=("cocoo",))
