"""Data sets as sources of a run: each that is registered, by its own words or others."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import published_trees
from tests.colour_finder import ColourFinder
from tests.unit.test_batch_run import QUICK

import lexiseg
from lexiseg.batch.data_sets import rows_of
from lexiseg.cli import main
from lexiseg.datasets import list_datasets, open_dataset


@pytest.mark.parametrize("name", [info.name for info in list_datasets()])
def test_every_registered_set_is_a_source(name: str, tmp_path: Path) -> None:
    published_trees.TREES[name](tmp_path)
    data = open_dataset(name, root=tmp_path)
    rows = rows_of(data, words=True)
    photos = [row.given["picture"] for row in rows]
    assert len(set(photos)) == len(photos) > 0
    assert all(Path(photo).is_file() for photo in photos)
    kind = {info.name: info.kind for info in list_datasets()}[name]
    for row in rows:
        words = row.given.get("words", ())
        assert bool(words) == (kind != "video")
        assert "background" not in words
        assert len(words) == len({word.casefold() for word in words})
    closed = kind == "semantic" and getattr(data, "background_index", None) is None
    assert (rows[0].given.get("background") == "none") == closed
    assert all(set(row.given) == {"picture"} for row in rows_of(data, words=False))


def test_phrases_are_asked_of_their_own_photo(tmp_path: Path) -> None:
    published_trees.phrasecut(tmp_path)
    data = open_dataset("phrasecut", root=tmp_path)
    for row in rows_of(data, words=True):
        said = [one.phrase for one in data if str(one.path) == row.given["picture"]]  # type: ignore[union-attr]
        assert row.given["words"] == list(dict.fromkeys(said))


def test_a_run_over_a_set_asks_its_words_or_others(tmp_path: Path) -> None:
    published_trees.voc(tmp_path)
    data = open_dataset("voc21", root=tmp_path)
    finder = ColourFinder()
    result = lexiseg.run_batch(finder, data, tmp_path / "own", **QUICK)
    assert (result.total, result.done, result.failed) == (2, 2, ())
    assert {call.names for call in finder.calls} == {data.classes[1:]}  # type: ignore[union-attr]
    lexiseg.run_batch(finder, [data], tmp_path / "others", ["red"], **QUICK)
    assert finder.calls[-1].names == ("red",)


def test_the_command_says_what_does_not_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", "photos", str(tmp_path / "out"), "--root", str(tmp_path)]) == 2
    assert "name it by --data" in capsys.readouterr().err
    assert main(["batch", "--data", "voc22", "--root", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "did you mean 'voc20' or 'voc21'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
