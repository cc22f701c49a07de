"""The papers' settings for data sets, against a table read off their configurations by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import lexiseg
from lexiseg.errors import UnknownName
from lexiseg.loading import list_methods, make_config
from lexiseg.methods.dense import PRESETS
from lexiseg.prompts import Vocabulary

# From configs/cfg_*.py and base_config.py of each repository, for ViT-B/16. First what holds where
# a cell says nothing else: window/stride, logit scale. S: short side, τ: logit scale, thd:
# threshold of a score, area: least part of the foreground's pixels, c: window.
NACLIP = {
    "voc21": "S336 whole thd.1",
    "voc20": "S336 whole",
    "context60": "S336 thd.1",
    "context59": "S336",
    "coco-object": "S336 thd.1",
    "coco-stuff164k": "S336",
    "cityscapes": "S560",
    "ade20k": "S336",
}
TABLE: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
    ("dense", "sclip"): (
        "224/112, 40",
        {
            "voc21": "S336 τ65 thd.1 area.1",
            "voc20": "S336",
            "context60": "S336 τ50 thd.1",
            "context59": "S336",
            "coco-object": "S336 τ50 thd.1",
            "coco-stuff164k": "S448",
            "cityscapes": "S560",
            "ade20k": "S336",
        },
    ),
    ("dense", "naclip"): ("224/112, 40", NACLIP),
    ("resclip", "paper"): ("224/112, 40", NACLIP),  # on top of NACLIP, without its PAMR
    ("dense", "clearclip"): (
        "448/224, 50",
        {
            "voc21": "S448 thd.5",
            "voc20": "S448",
            "context60": "S448 thd.15",
            "context59": "S448",
            "coco-object": "S448 thd.4",
            "coco-stuff164k": "S448",
            "cityscapes": "S448 c224",
            "ade20k": "S448",
        },
    ),
}
# ResCLIP's (τ_r, λ_r), (τ_s, λ_s) and temp_thd.
FED_BACK = {
    "voc21": ((2.0, 0.3), (2.2, 0.7), 0.50),
    "voc20": ((2.0, 0.6), (2.1, 0.6), 0.10),
    "context60": ((2.0, 0.3), (1.8, 0.7), 0.30),
    "context59": ((2.0, 0.4), (1.8, 0.7), 0.25),
    "coco-object": ((2.0, 0.4), (1.8, 0.7), 0.11),
    "coco-stuff164k": ((2.0, 0.4), (1.8, 0.7), 0.11),
    "cityscapes": ((2.0, 0.2), (2.1, 0.6), 0.10),
    "ade20k": ((2.0, 0.3), (2.1, 0.7), 0.25),
}
# A letter of the table -> where the setting stands in a Config.
PLACES: dict[str, Callable[[Any], Any]] = {
    "S": lambda config: config.short_side,
    "c": lambda config: config.window,
    "stride": lambda config: config.stride,
    "τ": lambda config: config.logit_scale,
    "thd": lambda config: config.threshold,
    "area": lambda config: config.area_threshold,
}


def wanted(defaults: str, cell: str) -> dict[str, float]:
    """A cell of the table, such as "S336 τ65 thd.1 area.1", as letters and numbers."""
    window, stride, scale = map(float, re.findall(r"\d+", defaults))
    out = {"c": window, "stride": stride, "τ": scale, "thd": 0.0, "area": 0.0}
    for part in cell.split():
        if part == "whole":  # larger than any picture
            out |= {"c": 8192, "stride": 8192}
        else:
            name, number = re.findall(r"[^\d.]+|[\d.]+", part)
            out[name] = float(number)
    return out


@pytest.mark.parametrize(("method", "preset"), TABLE)
def test_settings_are_those_of_the_paper(method: str, preset: str) -> None:
    defaults, cells = TABLE[method, preset]
    (info,) = (one for one in list_methods() if one.name == method)
    assert set(info.data_sets[preset]) == set(cells)
    wrong = []
    for name, cell in cells.items():
        config = make_config(method, preset=f"{preset}@{name}")
        for letter, value in wanted(defaults, cell).items():
            if PLACES[letter](config) != value:
                wrong.append((name, letter, PLACES[letter](config), value))
        readout = "naclip" if method == "resclip" else preset  # its official code's default
        assert getattr(config, "readout", readout) == readout
        assert config.refine == ("pamr" if preset == "naclip" else "none")
        assert config.pamr_steps == 10
        assert len(config.sentences) == 80
        Vocabulary.named(name)
    assert wrong == []


def test_resclip_feeds_back_as_its_paper_says() -> None:
    configs = {name: make_config("resclip", preset=f"paper@{name}") for name in FED_BACK}
    assert {name: (c.rcs, c.sfr, c.first_threshold) for name, c in configs.items()} == FED_BACK


def test_a_preset_of_a_data_set_is_loaded_by_its_name() -> None:
    (dense,) = (method for method in lexiseg.list_methods() if method.name == "dense")
    assert dense.data_sets["sclip"][0] == "voc21"
    assert "sclip@voc21" not in PRESETS  # lists stay short
    for preset, message in (
        ("sclip@voc22", "no data set of the preset 'sclip' is named 'voc22'; did you mean"),
        ("fast@voc21", "no data set of the preset 'fast'"),
        ("sclib@voc21", "no preset of dense is named 'sclib'; did you mean 'sclip'"),
    ):
        with pytest.raises(UnknownName, match=message):
            lexiseg.load("dense", preset=preset)
