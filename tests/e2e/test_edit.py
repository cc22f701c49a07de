"""`lexiseg edit`: what it writes, what it says, and how it ends; the model finds colours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lexiseg import imaging, loading
from lexiseg.cli import main
from lexiseg.edit.xmp import EDITED, digital_source
from lexiseg.masks import Masks
from lexiseg.prompts import Vocabulary
from lexiseg.results import Provenance, Segmentation, UnknownWord

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SIZE_HW = (40, 60)


class ColourFinder:
    """Finds red, green and blue; knows no unicorn."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.config: Any = None

    def __call__(self, picture: imaging.Picture, vocabulary: Vocabulary) -> Segmentation:
        self.vocabulary = vocabulary
        names = vocabulary.names
        self.asked.append(list(names))
        label_map = np.full(picture.size_hw, -1, np.int16)
        for k, name in enumerate(names):
            label_map[(picture.rgb == COLOURS.get(name, (1, 2, 3))).all(axis=-1)] = k
        found = [k for k in range(len(names)) if (label_map == k).any()]
        return Segmentation(
            words=names,
            labels=np.array([names[k] for k in found], dtype=np.str_),
            scores=np.full(len(found), 0.9, np.float32),
            masks=Masks.from_labels(label_map, found),
            label_map=label_map,
            word_scores=np.zeros(len(names), np.float32),
            unknown=tuple(UnknownWord(n, ("horse", "goat"), 0.2) for n in names if n == "unicorn"),
            provenance=Provenance(method="colours", encoder="eye"),
        )


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> ColourFinder:
    found = ColourFinder()

    def load(config: Any) -> ColourFinder:
        found.config = config
        return found

    monkeypatch.setattr(loading, "load", load)
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a.png: red above green, blue in its lower right corner."""
    monkeypatch.chdir(tmp_path)
    rgb = np.zeros((*SIZE_HW, 3), np.uint8)
    rgb[:20] = COLOURS["red"]
    rgb[20:] = COLOURS["green"]
    rgb[30:, 50:] = COLOURS["blue"]
    imaging.write(tmp_path / "a.png", rgb)
    return tmp_path


def run(*args: object) -> int:
    return main([str(arg) for arg in args])


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_words_to_edited_picture(here: Path, finder: ColourFinder, capsys: Any) -> None:
    assert run("edit", "a.png", "remove", "blue", "--dilation", 0, "--blur", 0) == 0
    assert files(here) == {"a.png", "lexiseg-out/a-remove.png"}
    out = imaging.read(here / "lexiseg-out" / "a-remove.png")
    given = imaging.read(here / "a.png").rgb
    blue = (given == COLOURS["blue"]).all(-1)
    assert (out.rgb[~blue] == given[~blue]).all()
    assert (out.rgb[blue] == COLOURS["green"]).all()
    assert digital_source(out.xmp) == EDITED
    said = capsys.readouterr()
    assert said.err == ""
    place = Path("lexiseg-out/a-remove.png")
    assert said.out == (f"a.png  60 x 40\n  remove: blue 4.2%; filled by exemplar\n  -> {place}\n")


def test_steps_and_competitors(here: Path, finder: ColourFinder) -> None:
    line = ["edit", "a.png", "remove", "blue", "--fill", "black", "+", "recolour", "green"]
    assert run(*line, "--with", "white", "--words", "red; sky", "--out", "b.png") == 0
    assert finder.asked == [["blue", "green", "red", "sky"]]
    out = imaging.read(here / "b.png").rgb
    assert (out[35, 55] == 0).all()
    assert (out[30, 10] == 255).all()
    assert (out[5, 5] == COLOURS["red"]).all()


def test_the_json(here: Path, finder: ColourFinder, capsys: Any) -> None:
    assert run("edit", "a.png", "cutout", "blue", "piano", "--json", "--edges", "hard") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["failed"] == document["passed_over"] == []
    (said,) = document["pictures"]
    assert said["picture"] == "a.png"
    assert said["files"] == [str(Path("lexiseg-out/a-cutout.png"))]
    assert said["missing"] == ["piano"]
    assert said["steps"][0]["words"] == ["blue"]
    assert said["steps"][0]["config"]["edges"] == "hard"
    assert (said["height"], said["width"]) == (10, 10)
    assert said["provenance"]["method"] == "colours"


def test_instances_are_numbered_files(here: Path, finder: ColourFinder) -> None:
    line = ["edit", "a.png", "cutout", "red", "blue", "--instances", "--edges", "hard"]
    assert run(*line, "--full-size", "--out", "cuts") == 0
    assert files(here / "cuts") == {"a-cutout-1.png", "a-cutout-2.png"}
    assert imaging.read(here / "cuts" / "a-cutout-2.png").size_hw == SIZE_HW


def test_a_picture_comes_in(here: Path, finder: ColourFinder) -> None:
    imaging.write(here / "white.png", np.full((9, 30, 3), 255, np.uint8))
    line = ["edit", "a.png", "background", "green", "--with", "white.png", "--edges", "hard"]
    assert run(*line, "--out", "b.jpg") == 0
    with Image.open(here / "b.jpg") as image:
        assert image.getpixel((5, 5)) == (255, 255, 255)
    assert run("edit", "a.png", "mask", "blue", "--out", "m.png") == 0
    assert imaging.read(here / "m.png").mode == "L"


def test_no_match_writes_nothing(here: Path, finder: ColourFinder, capsys: Any) -> None:
    assert run("edit", "a.png", "remove", "piano") == 3
    assert run("edit", "a.png", "blur", "red", "+", "remove", "unicorn") == 3
    assert files(here) == {"a.png"}
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first == (
        "lexiseg: nothing found in the picture for 'piano', so nothing is written; try a lower "
        "--threshold, or other --words"
    )
    assert second.endswith("the model does not know it; nearest: horse, goat")


def test_what_a_file_cannot_hold_is_said_before_the_work(
    here: Path, finder: ColourFinder, capsys: Any
) -> None:
    assert run("edit", "a.png", "cutout", "blue", "--out", "b.jpg") == 2
    assert "JPEG has no transparency" in capsys.readouterr().err
    assert finder.asked == []
    deep = imaging.read(here / "a.png").rgb.astype(np.uint16) * 257
    imaging.write(here / "deep.png", deep)
    assert run("edit", "deep.png", "blur", "blue", "--out", "deep.jpg") == 0
    assert capsys.readouterr().err == (
        "lexiseg: deep.png: JPEG holds 8 bits a channel: the picture's 16 are rounded to them\n"
    )
    assert run("edit", "deep.png", "blur", "blue", "--out", "deep.jpg", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_flags_of_the_whole_call_stand_anywhere(here: Path, finder: ColourFinder) -> None:
    line = ["edit", "--background", "none", "a.png", "blur", "red", "--threshold", "0.2", "+"]
    line += ["blur", "blue", "--words", "sky", "--threshold", "red=0.3", "--method", "clipseg"]
    assert run(*line) == 0
    assert finder.asked == [["red", "blue", "sky"]]
    assert type(finder.config).__module__ == "lexiseg.methods.clipseg.config"
    assert finder.config.threshold == 0.2
    assert finder.config.word_thresholds == {"red": 0.3}
    assert finder.vocabulary.background is None


BAD = {
    ("edit",): "no picture is given",
    ("edit", "a.png"): "no operation is given",
    ("edit", "a.png", "remov", "red"): "did you mean 'remove'",
    ("edit", "a.png", "remove"): "no words to look for",
    ("edit", "b.png", "remove", "red"): "does not exist",
    ("edit", "a.png", "remove", "red", "+"): "joins two edits",
    ("edit", "a.png", "replace", "red", "--with", " "): "--with is empty; give replace",
    ("edit", "a.png", "replace", "red"): "replace needs what is to come in its place: --with",
    ("edit", "a.png", "cutout", "red", "+", "blur", "red"): "nothing can follow 'cutout'",
    ("edit", "a.png", "blur", "red", "--fill", "black"): "blur takes no --fill",
    ("edit", "a.png", "blur", "red", "--with", "black"): "blur takes no --with",
    ("edit", "a.png", "blur", "red", "--instances"): "blur takes no --instances",
    ("edit", "a.png", "blur", "red", "--full-size"): "blur takes no --full-size",
    ("edit", "a.png", "blur", "red", "--radius", "big"): "--radius takes",
    ("edit", "a.png", "blur", "red", "--out", "a.png"): "is the photo itself",
    ("edit", "a.png", "blur", "red", "--out", "x.png", "+", "blur", "red", "--out", "y.png"):
        "--out is given twice",
    ("edit", "a.png", "background", "red", "--out", "x.jpg"): "JPEG has no transparency",
    ("edit", "a.png", "remove", "red", "green", "blue"): "covers all of the picture",
    ("edit", "a.png", "style", "red", "--with", "cartoo"): "did you mean 'cartoon'",
    ("edit", "a.png", "remove", "red", "--threshold", "2"): "--threshold takes a score",
    ("edit", "a.png", "remove", "red", "--fill", "tela"): "did you mean 'telea'",
    ("edit", "a.png", "blur", "red", "+", "blur", "RED"): "'RED' is given twice",
    ("edit", "a.png", "blur", "red", "--background", ";"): "is empty",
}  # fmt: skip


@pytest.mark.parametrize("line", BAD, ids=" ".join)
def test_bad_input_is_one_clear_line(
    line: tuple[str, ...], here: Path, finder: ColourFinder, capsys: Any
) -> None:
    before = (here / "a.png").read_bytes()
    assert run(*line) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert BAD[line] in said.err
    assert files(here) == {"a.png"}
    assert (here / "a.png").read_bytes() == before


def test_with_the_bundled_model(tmp_path: Path, capsys: Any) -> None:
    photo = Path(__file__).parents[2] / "examples" / "photos" / "pets.jpg"
    small = tmp_path / "pets.jpg"
    Image.open(photo).resize((256, 215)).save(small, quality=95)
    line = ["edit", small, "pixelate", "dog", "--words", "grass", "--out", tmp_path / "out.png"]
    assert run(*line) == 0
    before, after = imaging.read(small).rgb, imaging.read(tmp_path / "out.png").rgb
    changed = (before != after).any(-1)
    assert 0.05 < changed.mean() < 0.4
    assert changed[:20].mean() < 0.1 * changed.mean()  # the dog is below
