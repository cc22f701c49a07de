"""Settings that methods share: each part is checked in every Config that it is a part of."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

import lexiseg
from lexiseg import loading
from lexiseg.errors import OptionError, UnknownName
from lexiseg.methods import _config
from lexiseg.methods._detections import DetectionConfig

NAN = float("nan")
# Part -> what its fields may not be. What may be is in ``ALLOWED``.
REFUSED: dict[type, list[dict[str, Any]]] = {
    _config.VocabularyConfig: [
        {"threshold": -0.1}, {"threshold": 1.1}, {"threshold": NAN}, {"min_share": -0.1},
        {"min_share": 1.1}, {"min_share": NAN}, {"word_thresholds": {"red": -0.1}},
        {"word_thresholds": {"red": 1.1}}, {"word_thresholds": {"red": NAN}},
    ],
    _config.TemplatesConfig: [
        {"templates": "phot"}, {"templates": ()}, {"templates": ("a photo",)},
        {"templates": ("{} {x}",)}, {"templates": ("{", "{}")}, {"templates": ("{} {0}",)},
    ],
    _config.WindowsConfig: [
        {"short_side": 31}, {"short_side": 8193}, {"window": 31}, {"window": 8193},
        {"scales": ()}, {"scales": (0.0,)}, {"scales": (8.1,)}, {"scales": (1.0, NAN)},
    ],
    _config.GuidedFilterConfig: [
        {"refine_radius": -1}, {"refine_radius": 65}, {"refine_epsilon": 0.0},
        {"refine_epsilon": 1e4}, {"refine_epsilon": NAN},
    ],
    _config.DenseConfig: [
        {"refine": "gided"}, {"positions": "both"}, {"stride": 0}, {"pamr_steps": 0},
        {"pamr_dilations": (4, 0)}, {"logit_scale": 0.0}, {"area_threshold": 1.1},
        {"area_threshold": NAN},
    ],
    _config.ProxyConfig: [{"gamma": 0.0}, {"gamma": NAN}],
    _config.MaskerConfig: [{"iou_threshold": 0.0}, {"iou_threshold": 1.1}, {"iou_threshold": NAN}],
    DetectionConfig: [
        {"box_threshold": -0.1}, {"box_threshold": 1.1}, {"iou_threshold": 0.0}, {"top_k": 0},
    ],
}  # fmt: skip
# The ends of the ranges.
ALLOWED: dict[type, list[dict[str, Any]]] = {
    _config.VocabularyConfig: [
        {"threshold": 1.0}, {"min_share": 1.0}, {"min_share": 0.0}, {"background": ()},
        {"word_thresholds": {"red": 1.0, "sky": 0.0}},
    ],
    _config.TemplatesConfig: [{"templates": "imagenet-7"}, {"templates": ("{}", "a {}")}],
    _config.WindowsConfig: [{"short_side": 32}, {"window": None}, {"scales": (0.1, 8.0)}],
    _config.GuidedFilterConfig: [{"refine_radius": 0}, {"refine_radius": 64}],
    _config.DenseConfig: [
        {"refine": "pamr", "pamr_dilations": (1, 512)}, {"positions": "size"},
        {"logit_scale": None},
    ],
    _config.ProxyConfig: [{"gamma": 0.1}],
    _config.MaskerConfig: [{"iou_threshold": 1.0}],
    DetectionConfig: [{"box_threshold": None}, {"top_k": None}, {"top_k": 1}],
}  # fmt: skip
CONFIGS = {method.name: loading.config_class(method.name) for method in lexiseg.list_methods()}


def parts_of(config: type) -> list[type]:
    return [part for part in REFUSED if issubclass(config, part)]


def test_every_part_has_its_cases() -> None:
    made = {part for config in CONFIGS.values() for part in config.__mro__
            if "check" in vars(part) and part not in CONFIGS.values()}  # fmt: skip
    assert made == set(REFUSED) == set(ALLOWED)
    for part, cases in REFUSED.items():
        assert {name for case in cases for name in case} <= {f.name for f in fields(part)}


@pytest.mark.parametrize("method", CONFIGS)
def test_what_cannot_be_is_refused_in_one_line_by_every_method(method: str) -> None:
    config = CONFIGS[method]
    assert parts_of(config)
    for part in parts_of(config):
        for settings in REFUSED[part]:
            with pytest.raises(OptionError) as caught:
                config(**settings)
            message, (name,) = str(caught.value), settings
            assert "\n" not in message
            assert name.removeprefix("word_").removesuffix("s") in message, settings
            assert len(message) > 20


@pytest.mark.parametrize("method", CONFIGS)
def test_the_ends_of_ranges_are_taken_by_every_method(method: str) -> None:
    config = CONFIGS[method]
    for part in parts_of(config):
        for settings in ALLOWED[part]:
            made = config(**settings)
            assert {name: getattr(made, name) for name in settings} == settings


@pytest.mark.parametrize("method", CONFIGS)
def test_a_config_is_frozen_and_all_its_fields_are_explained(method: str) -> None:
    made = CONFIGS[method]()
    for field in fields(made):
        with pytest.raises(FrozenInstanceError):
            setattr(made, field.name, None)
    text = loading.field_descriptions(method)
    explained = {
        name.strip()
        for line in text.splitlines()
        if ": " in line or line.endswith(":")
        for name in line.partition(":")[0].split(",")
    }
    assert {field.name for field in fields(made)} <= explained


@pytest.mark.parametrize("method", CONFIGS)
def test_presets_are_fields_that_differ_and_can_be(method: str) -> None:
    for preset in next(m.presets for m in lexiseg.list_methods() if m.name == method):
        assert CONFIGS[method](**loading.preset_fields(method, preset))


def test_trident_refuses_what_it_would_not_do() -> None:
    for settings in ({"flip": True}, {"window": 100}, {"stride": 100}):
        with pytest.raises(OptionError):
            CONFIGS["trident"](**settings)


def test_a_choice_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'guided'"):
        CONFIGS["dense"](refine="gided")
