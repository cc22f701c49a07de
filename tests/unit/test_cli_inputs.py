"""What a command line names: pictures, words, places for results, file names, settings."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from lexiseg import imaging
from lexiseg.cli import inputs, options
from lexiseg.cli.terminal import Parser, Progress, table
from lexiseg.errors import LexisegError, OptionError, PictureError, PromptError, UnknownName
from lexiseg.fields import overrides, replaced


def make_pictures(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        imaging.write(path, np.zeros((3, 5, 3), np.uint8))
    return paths


def test_a_picture_and_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path, "a.png")
    assert inputs.split(["a.png", "sky", "red car"], None) == (["a.png"], ["sky", "red car"])
    assert inputs.split(["a.png", "sky; road ;"], None) == (["a.png"], ["sky", "road"])
    assert inputs.split(["a.png", "b.png"], "sky;road") == (["a.png", "b.png"], ["sky", "road"])


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "no picture is given"),
        (["a.png"], "no words to look for: lexiseg segment a.png WORD"),
        (
            ["a.png", "red car", "b.png"],
            "'b.png' is a picture, not a word; for several pictures use --words: "
            "lexiseg segment --words 'red car' a.png b.png",
        ),
        (["a.png", "b.png"], "lexiseg segment --words 'sky; road' a.png b.png"),
        (["a.png", "gone.jpg", "sky"], "'gone.jpg' is a picture, not a word"),
        (
            ["sky", "a.png", "tree"],
            "the picture comes first, then the words; perhaps: lexiseg segment a.png sky tree",
        ),
        (["a.png", "sub/"], "'sub/' is a picture, not a word"),
    ],
)
def test_pictures_among_words_are_told(
    items: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path, "a.png", "b.png")
    (tmp_path / "sub").mkdir()
    with pytest.raises((PromptError, PictureError)) as caught:
        inputs.split(items, None)
    assert message in str(caught.value)


@dataclass(frozen=True)
class Part:
    steps: int = 5
    rate: float = 0.1


@dataclass(frozen=True)
class Config:
    short_side: int | None = None
    overlap: float = 0.25
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    templates: str | tuple[str, ...] = "plain"
    background: tuple[str, ...] = ()
    refine: Literal["guided", "none"] = "guided"
    box: tuple[int, int] = (1, 2)
    word_thresholds: Mapping[str, float] = field(default_factory=dict)
    part: Part = field(default_factory=Part)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("short_side=320", 320),
        ("short-side=none", None),
        ("overlap=0.5", 0.5),
        ("overlap=1", 1.0),
        ("flip=true", True),
        ("flip=Off", False),
        ("scales=0.5, 1, 1.5", (0.5, 1.0, 1.5)),
        ("scales=2", (2.0,)),
        ("templates=photo", "photo"),
        ("templates={}; a photo of a {}", ("{}", "a photo of a {}")),
        ("background=sky; red, white and blue", ("sky", "red, white and blue")),
        ("refine=none", "none"),
        ("box=3,4", (3, 4)),
        ("word_thresholds=sky=0.2; red car=0.5", {"sky": 0.2, "red car": 0.5}),
    ],
)
def test_settings_are_read_as_the_type_of_their_field(text: str, value: Any) -> None:
    (name,) = overrides([text], Config)
    assert overrides([text], Config)[name] == value
    assert type(overrides([text], Config)[name]) is type(value)
    assert name == text.partition("=")[0].replace("-", "_")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("overlapp=1", "did you mean 'overlap'"),
        ("overlap", "--set takes field=value, got 'overlap'"),
        ("overlap=much", "--set overlap takes a number, got 'much'"),
        ("short_side=3.5", "--set short_side takes a whole number, got '3.5'"),
        ("flip=maybe", "--set flip takes true or false, got 'maybe'"),
        ("refine=guide", "did you mean 'guided'"),
        ("box=1,2,3", "--set box takes 2 values, got '1,2,3'"),
        ("part=1", "--set cannot write part"),
    ],
)
def test_a_wrong_setting_is_told(text: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        overrides([text], Config)
    assert message in str(caught.value)


def test_settings_reach_into_parts() -> None:
    config = replaced(Config(), ["overlap=0.5", "part.steps=7"])
    assert config == Config(overlap=0.5, part=Part(steps=7))
    with pytest.raises(UnknownName, match="did you mean 'part'"):
        replaced(Config(), ["parts.steps=7"])
    with pytest.raises(OptionError, match="twice"):
        replaced(Config(), ["part.steps=7", "part.steps=8"])


def test_thresholds_for_all_words_and_for_one() -> None:
    asked = ("sky", "a=b")
    assert options.thresholds([], asked) == {}
    assert options.thresholds(["0.4"], asked) == {"threshold": 0.4}
    assert options.thresholds(["sky=0.25", "0.5", "a=b=1"], asked) == {
        "threshold": 0.5,
        "word_thresholds": {"sky": 0.25, "a=b": 1.0},
    }
    for wrong in ("much", "1.5", "-0.1", "nan", "sky=", "sky=2"):
        with pytest.raises(OptionError, match="a score from 0 to 1"):
            options.thresholds([wrong], asked)
    with pytest.raises(UnknownName, match="did you mean 'sky'"):
        options.thresholds(["sk=0.3"], asked)
    with pytest.raises(OptionError, match="twice"):
        options.thresholds(["0.3", "0.4"], asked)


def test_background_as_the_segmenter_takes_it() -> None:
    assert options.background(None) == {}
    assert options.background("default") == {"background": "default"}
    assert options.background("none") == {"background": None}
    assert options.background("wall; floor;") == {"background": ["wall", "floor"]}


def test_usage_errors_are_one_line_with_a_hint() -> None:
    parser = Parser("segment", "Find words.")
    parser.add_argument("items", nargs="*")
    parser.add_argument("--threshold")
    parser.add_argument("--repeats", type=int)
    assert parser.parse(["a", "--threshold", "1", "b"]).items == ["a", "b"]
    for line, message in {
        "a --treshold 0.3": "there is no option '--treshold'; did you mean '--threshold'?",
        "a --thresh=0.3": "there is no option '--thresh=0.3'; did you mean '--threshold'?",
        "a --zzz": "there is no option '--zzz'; see lexiseg segment --help",
        "a --threshold": "expected one argument; see lexiseg segment --help",
        "a --repeats x": "invalid int value: 'x'; see lexiseg segment --help",
    }.items():
        with pytest.raises(LexisegError) as caught:
            parser.parse(line.split())
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_tables_align_letters_that_take_two_places() -> None:
    text = table([["word", "share", ""], ["猫", "4.0 %", "x"], ["dog", "31.0 %", ""]], right=(1,))
    assert text == "  word   share\n  猫     4.0 %  x\n  dog   31.0 %\n"
    assert table([]) == ""


def test_progress_is_for_terminals_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, quiet, total, shown in (
        (Screen(), False, 3, True),
        (Screen(), True, 3, False),
        (Screen(), False, 1, False),
        (io.StringIO(), False, 3, False),
    ):
        monkeypatch.setattr("sys.stderr", stream)
        with Progress(quiet=quiet) as progress:
            progress.step(1, total, "a.png")
        assert ("[1/3] a.png" in stream.getvalue()) is shown
    terminal = Screen()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "20")
    with Progress() as progress:
        progress.step(2, 10, "a very long name of a picture.png")
    assert terminal.getvalue() == "\r\x1b[K[2/10] a very long \r\x1b[K"


def test_vocabularies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("sky")
    assert inputs.read_vocabulary(None, "sky; road") == (None, "sky; road")
    assert inputs.read_vocabulary("auto", None) == ("@auto", None)
    assert inputs.read_vocabulary("@known", None) == ("@known", None)
    assert inputs.read_vocabulary("@ade20k", None) == (None, "@ade20k")
    assert inputs.read_vocabulary("mine.txt", None) == (None, "@mine.txt")
    with pytest.raises(PromptError, match=r"--vocabulary 'gone\.txt' is no file"):
        inputs.read_vocabulary("gone.txt", None)
    with pytest.raises(PromptError, match="give one of the two"):
        inputs.read_vocabulary("auto", "sky")
