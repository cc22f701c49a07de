"""Example pictures on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lexiseg.cli import main
from lexiseg.errors import PictureError, PromptError
from lexiseg.prompts import Like, Vocabulary
from lexiseg.prompts.written import read_prompts


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "a.b=c.png"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    return str(path)


def likes(found: list[str | Like]) -> list[Like]:
    return [one for one in found if isinstance(one, Like)]


def test_files_boxes_and_names(photo: str) -> None:
    plain = str(Path(photo).rename(Path(photo).with_name("ex.png")))
    found = likes(read_prompts([], [plain, f"mug={plain}:1,2,11.5,6", f"mug={plain}"]))
    assert [one.title for one in found] == ["like ex.png", "mug"]
    assert [e.box_xyxy for e in found[1].examples] == [(1.0, 2.0, 11.5, 6.0), None]
    assert Vocabulary.parse([*found, "sky"]).names == ("like ex.png", "mug", "sky")


def test_examples_of_an_asked_word_are_mixed_with_it(photo: str) -> None:
    plain = str(Path(photo).rename(Path(photo).with_name("ex.png")))
    first, second = read_prompts(["sofa|couch", "sky"], [f"sofa={plain}"])
    assert isinstance(first, Like)
    assert second == "sky"
    (word, _) = Vocabulary.parse([first, second]).words
    assert (word.name, word.synonyms, len(word.examples)) == ("sofa", ("sofa", "couch"), 1)


def test_what_is_not_there_is_refused(photo: str) -> None:
    with pytest.raises(PictureError, match="not a file"):
        read_prompts([], ["no such.png"])
    with pytest.raises(PromptError):
        read_prompts([], [""])


def test_words_of_a_vocabulary_with_examples() -> None:
    rgb = np.zeros((4, 6, 3), np.uint8)
    like = Like.of(rgb, rgb, name="thing")
    found = Vocabulary.parse([["a", " b"][0], like])
    assert found.names == ("a", "thing")
    assert [q.text for q in found.queries() if q.class_id < 2] == ["a"]
    assert len(found.words[1].examples) == 2
    for bad in (["thing", like], [like, like]):
        with pytest.raises(PromptError, match="twice"):
            Vocabulary.parse(bad)
    with pytest.raises(PromptError, match="one picture"):
        Like.of(rgb, rgb, box=(0, 0, 1, 1))
    with pytest.raises(PromptError, match="at least one"):
        Like(())
    with pytest.raises(PromptError, match="0 to 1"):
        Like.of(rgb, weight=1.5)


@pytest.mark.parametrize(
    ("more", "method"),
    [([], "clipseg"), (["cat"], "dense"), (["--instances", "parts"], "dense")],
)
def test_examples_alone_go_to_the_method_that_learns_from_them(
    tmp_path: Path, more: list[str], method: str
) -> None:
    photos = Path(__file__).parents[2] / "examples" / "photos"
    like = f"animal={photos / 'cows.jpg'}:75,175,195,265"
    args = ["segment", str(photos / "pets.jpg"), *more, "--like", like]
    assert main([*args, "--out", str(tmp_path), "--quiet"]) in (0, 3)
    told = json.loads((tmp_path / "pets" / "result.json").read_text("utf-8"))
    assert told["provenance"]["method"] == method
