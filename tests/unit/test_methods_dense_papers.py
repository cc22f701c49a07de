"""The papers' settings for data sets, against the table that was read off their configurations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import lexiseg
from lexiseg import loading
from lexiseg.errors import UnknownName
from lexiseg.methods import resclip
from lexiseg.methods.dense import DATA_SETS, PRESETS, Config
from lexiseg.prompts import Vocabulary

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "METHODS.md"
ROWS = {
    "V21": "voc21", "V20": "voc20", "C60": "context60", "C59": "context59", "Obj": "coco-object",
    "Stuff164k": "coco-stuff164k", "City": "cityscapes", "ADE": "ade20k",
}  # fmt: skip
COLUMNS = {"SCLIP": "sclip", "NACLIP": "naclip", "ClearCLIP": "clearclip"}


def settings(preset: str) -> Any:
    name, _, data_set = preset.partition("@")
    if name == "resclip":  # a method of its own
        return resclip.Config(**loading._preset("resclip", f"paper@{data_set}"))
    return Config(**loading._preset("dense", preset))


# preset: short side, window, stride, logit scale, threshold, area threshold, way to refine
EXPECTED = {
    "sclip@voc21": (336, 224, 112, 65.0, 0.1, 0.1, "none"),
    "sclip@voc20": (336, 224, 112, 40.0, 0.0, 0.0, "none"),
    "sclip@context60": (336, 224, 112, 50.0, 0.1, 0.0, "none"),
    "sclip@context59": (336, 224, 112, 40.0, 0.0, 0.0, "none"),
    "sclip@coco-object": (336, 224, 112, 50.0, 0.1, 0.0, "none"),
    "sclip@coco-stuff164k": (448, 224, 112, 40.0, 0.0, 0.0, "none"),
    "sclip@cityscapes": (560, 224, 112, 40.0, 0.0, 0.0, "none"),
    "sclip@ade20k": (336, 224, 112, 40.0, 0.0, 0.0, "none"),
    "naclip@voc21": (336, 8192, 8192, 40.0, 0.1, 0.0, "pamr"),
    "naclip@voc20": (336, 8192, 8192, 40.0, 0.0, 0.0, "pamr"),
    "naclip@context60": (336, 224, 112, 40.0, 0.1, 0.0, "pamr"),
    "naclip@context59": (336, 224, 112, 40.0, 0.0, 0.0, "pamr"),
    "naclip@coco-object": (336, 224, 112, 40.0, 0.1, 0.0, "pamr"),
    "naclip@coco-stuff164k": (336, 224, 112, 40.0, 0.0, 0.0, "pamr"),
    "naclip@cityscapes": (560, 224, 112, 40.0, 0.0, 0.0, "pamr"),
    "naclip@ade20k": (336, 224, 112, 40.0, 0.0, 0.0, "pamr"),
    "resclip@voc21": (336, 8192, 8192, 40.0, 0.1, 0.0, "none"),
    "resclip@voc20": (336, 8192, 8192, 40.0, 0.0, 0.0, "none"),
    "resclip@context60": (336, 224, 112, 40.0, 0.1, 0.0, "none"),
    "resclip@context59": (336, 224, 112, 40.0, 0.0, 0.0, "none"),
    "resclip@coco-object": (336, 224, 112, 40.0, 0.1, 0.0, "none"),
    "resclip@coco-stuff164k": (336, 224, 112, 40.0, 0.0, 0.0, "none"),
    "resclip@cityscapes": (560, 224, 112, 40.0, 0.0, 0.0, "none"),
    "resclip@ade20k": (336, 224, 112, 40.0, 0.0, 0.0, "none"),
    "clearclip@voc21": (448, 448, 224, 50.0, 0.5, 0.0, "none"),
    "clearclip@voc20": (448, 448, 224, 50.0, 0.0, 0.0, "none"),
    "clearclip@context60": (448, 448, 224, 50.0, 0.15, 0.0, "none"),
    "clearclip@context59": (448, 448, 224, 50.0, 0.0, 0.0, "none"),
    "clearclip@coco-object": (448, 448, 224, 50.0, 0.4, 0.0, "none"),
    "clearclip@coco-stuff164k": (448, 448, 224, 50.0, 0.0, 0.0, "none"),
    "clearclip@cityscapes": (448, 224, 224, 50.0, 0.0, 0.0, "none"),
    "clearclip@ade20k": (448, 448, 224, 50.0, 0.0, 0.0, "none"),
}


def test_every_data_set_has_its_settings() -> None:
    sets = {**DATA_SETS, "resclip": resclip.DATA_SETS["paper"]}
    assert {f"{preset}@{name}" for preset in sets for name in sets[preset]} == set(EXPECTED)
    for name in ROWS.values():
        Vocabulary.named(name)


@pytest.mark.parametrize("preset", EXPECTED)
def test_settings_are_those_of_the_papers(preset: str) -> None:
    found = settings(preset)
    assert (
        found.short_side, found.window, found.stride, found.logit_scale, found.threshold,
        found.area_threshold, found.refine,
    ) == EXPECTED[preset]  # fmt: skip
    assert getattr(found, "readout", "resclip") == preset.partition("@")[0]
    assert len(found.sentences) == 80
    assert found.pamr_steps == 10


def test_resclip_feeds_back_as_its_paper_says() -> None:
    fed = {
        name: (c.rcs, c.sfr, c.first_threshold)
        for name in ROWS.values()
        for c in [settings(f"resclip@{name}")]
    }
    assert fed == {
        "voc21": ((2.0, 0.3), (2.2, 0.7), 0.5),
        "voc20": ((2.0, 0.6), (2.1, 0.6), 0.1),
        "context60": ((2.0, 0.3), (1.8, 0.7), 0.3),
        "context59": ((2.0, 0.4), (1.8, 0.7), 0.25),
        "coco-object": ((2.0, 0.4), (1.8, 0.7), 0.11),
        "coco-stuff164k": ((2.0, 0.4), (1.8, 0.7), 0.11),
        "cityscapes": ((2.0, 0.2), (2.1, 0.6), 0.1),
        "ade20k": ((2.0, 0.3), (2.1, 0.7), 0.25),
    }


def wanted(cell: str, default: dict[str, Any]) -> dict[str, Any]:
    """A cell of the reference's table, such as "S336 τ65 thd.1 area.1"."""
    out = {"threshold": 0.0, "area_threshold": 0.0, **default}
    for part in re.split(r" (?!image)", cell.strip()):
        if part == "whole image":
            out |= {"window": 8192, "stride": 8192}
        elif part:
            name, number = re.fullmatch(r"([^\d.]+)([\d.]+)", part).groups()  # type: ignore[union-attr]
            field = {
                "S": "short_side", "τ": "logit_scale", "thd": "threshold", "area": "area_threshold",
                "c": "window",
            }[name]  # fmt: skip
            out[field] = float(number)
    return out


def test_settings_are_those_of_the_reference() -> None:
    if not REFERENCE.is_file():
        pytest.skip("the reference data do not lie beside the project")
    text = REFERENCE.read_text(encoding="utf-8")
    part = text[text.index("### Per-dataset values") :]
    table = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]
    head, defaults, *rows = table[:10]
    seen = 0
    for column, preset in COLUMNS.items():
        at = head.index(column)
        crop, stride, scale = re.match(r"(\d+)/(\d+), (\d+)", defaults[at]).groups()  # type: ignore[union-attr]
        default = {"window": float(crop), "stride": float(stride), "logit_scale": float(scale)}
        for row in rows:
            found = settings(f"{preset}@{ROWS[row[0]]}")
            for field, value in wanted(row[at], default).items():
                assert getattr(found, field) == value, (preset, row[0], field)
                seen += 1
    assert seen == 3 * 8 * 6


def test_a_preset_of_a_data_set_is_loaded_by_its_name() -> None:
    (dense,) = (method for method in lexiseg.list_methods() if method.name == "dense")
    assert dense.data_sets["sclip"][0] == "voc21"
    assert "sclip@voc21" not in PRESETS  # lists stay short
    for preset, message in (
        ("resclip", "no preset of dense is named 'resclip'"),
        ("sclip@voc22", "no data set of the preset 'sclip' is named 'voc22'; did you mean"),
        ("fast@voc21", "no data set of the preset 'fast'"),
        ("sclib@voc21", "no preset of dense is named 'sclib'; did you mean 'sclip'"),
    ):
        with pytest.raises(UnknownName, match=message):
            lexiseg.load("dense", preset=preset)
