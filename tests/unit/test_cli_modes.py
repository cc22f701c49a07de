"""Flags that stand for settings by the names of papers and scripts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lexiseg
from lexiseg.cli import options
from lexiseg.cli.modes import add_mode_flags, kind_thresholds
from lexiseg.cli.terminal import Parser
from lexiseg.errors import OptionError, UnknownName
from lexiseg.prompts.named import is_stuff


def config(*flags: str) -> Any:
    parser = Parser("segment", "")
    options.add_model_flags(parser)
    add_mode_flags(parser)
    args = parser.parse(list(flags))
    return options.build_config(args), args


def test_each_mode_is_short_for_settings(capsys: pytest.CaptureFixture[str]) -> None:
    plain, _ = config()
    assert plain == lexiseg.config_class("dense")()
    made, _ = config("--use-pamr", "--logit-scale", "40")
    assert (made.refine, made.logit_scale) == ("pamr", 40)
    made, _ = config("--slide-inference")
    assert (made.window, made.stride) == (224, 112)
    made, _ = config("--slide-crop", "196")
    assert (made.window, made.stride) == (196, 98)
    made, _ = config("--slide-inference", "--slide-crop", "448", "--slide-stride", "224")
    assert (made.window, made.stride) == (448, 224)
    assert capsys.readouterr().err == ""
    made, _ = config("--model", "vit-b/16")
    assert made.encoder == "clip-vit-b16.openai"
    said = capsys.readouterr().err
    assert said == "lexiseg: --model ViT-B/16 is the encoder clip-vit-b16.openai\n"
    made, _ = config("--method", "tiny", "--use-sam", "--logit-scale", "30")
    assert type(made) is lexiseg.config_class("clip-then-sam")
    assert (made.encoder, made.mapper_fields) == ("tiny", {"logit_scale": 30})
    assert config("--use-sam")[0] == lexiseg.config_class("clip-then-sam")()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--use-sam", "--use-pamr"], "leave one of the two out"),
        (["--use-sam", "--method", "sam-then-clip"], "sam-then-clip is another method"),
        (["--use-pamr", "--refine", "guided"], "do not go together"),
        (["--slide-crop", "100", "--slide-stride", "101"], "windows would leave gaps"),
        (["--model", "ViT-B/16", "--encoder", "tiny"], "both name an encoder"),
        (["--logit-scale", "0"], "logit_scale is 0"),
    ],
)
def test_flags_that_do_not_go_together(flags: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        config(*flags)


def test_another_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'ViT-L/14'"):
        config("--model", "ViT-L/15")


def test_thresholds_of_stuff_and_things() -> None:
    words = ["sky", "grass", "dog", "red car", "wall-brick", "background"]
    assert [is_stuff(word) for word in words] == [True, True, False, False, True, False]
    _, args = config("--stuff-threshold", "0.2", "--thing-threshold", "0.5")
    found = kind_thresholds(args, words)
    want = {"sky": 0.2, "grass": 0.2, "dog": 0.5, "red car": 0.5, "wall-brick": 0.2}
    assert found == want
    _, args = config("--thing-threshold", "0.5")
    assert kind_thresholds(args, words) == {"dog": 0.5, "red car": 0.5}
    _, args = config("--stuff-threshold", "20")
    with pytest.raises(OptionError, match="--stuff-threshold takes a score from 0 to 1, got 20"):
        kind_thresholds(args, words)


def test_pamr_scale_and_windows_with_the_bundled_encoder() -> None:
    rgb = np.full((75, 110, 3), (90, 160, 230), np.uint8)
    rgb[40:] = (60, 120, 40)
    words = ["sky", "grass"]
    plain = lexiseg.load("tiny")(rgb, words, background=None)
    refined = lexiseg.load("tiny", refine="pamr")(rgb, words, background=None)
    assert refined.label_map.shape == (75, 110)
    assert (refined.label_map >= 0).all()
    # Both follow the image; PAMR flows along the same colours.
    assert (refined.label_map == plain.label_map).mean() > 0.9
    maps = [
        lexiseg.load("tiny", refine=refine, flat=True)(rgb[::5, ::5], words).label_map
        for refine in ("pamr", "none")
    ]
    assert (maps[0] != maps[1]).any()  # the background's words do not switch it off
    soft = lexiseg.load("tiny", logit_scale=1.0)(rgb, words, background=None)
    assert soft.word_scores.max() < plain.word_scores.max()
    seg = lexiseg.load("tiny", short_side=256, window=128, stride=64)
    assert len(seg.prepare(rgb).windows_xyxy) > 6
    one = lexiseg.load("tiny", short_side=256, window=128, stride=128)
    assert len(one.prepare(rgb).windows_xyxy) < len(seg.prepare(rgb).windows_xyxy)
