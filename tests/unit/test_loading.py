"""From names to segmenters."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import lexiseg
import lexiseg.protocols
from lexiseg import loading
from lexiseg.checkpoints import Preprocessing, Record, describe_files, write_manifest
from lexiseg.errors import (
    CheckpointError,
    ExtraMissing,
    OptionError,
    UnknownName,
    WeightsMissing,
)
from lexiseg.methods.dense import PRESETS, Config, Segmenter
from lexiseg.protocols import LoadOptions


@pytest.fixture
def asked(colours: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """What encoders were asked for; every name gives the colours' encoder."""
    calls: list[tuple[Any, dict[str, Any]]] = []

    def stand_in(name: Any, options: LoadOptions) -> Any:
        calls.append((name, asdict(options)))
        return colours

    monkeypatch.setattr("lexiseg.models.load_encoder", stand_in)
    monkeypatch.setattr("lexiseg.models.load_own_masker", lambda *_: None)
    return calls


def test_an_encoders_name_is_short_for_dense_with_it(asked: list[Any]) -> None:
    seg = lexiseg.load("tiny")
    assert isinstance(seg, Segmenter)
    assert seg.config == Config(encoder="tiny")
    assert asked == [("tiny", {"device": None, "dtype": None, "pull": False, "offline": None})]


def test_without_a_name_it_is_the_default_method(asked: list[Any]) -> None:
    assert lexiseg.load().config == Config()
    assert loading.config_class() is Config
    assert loading.config_class("tiny") is Config
    assert loading.config_class("dense") is Config


def test_where_to_compute_and_downloads_are_passed_on(asked: list[Any]) -> None:
    lexiseg.load("dense", encoder="clip", device="cuda:1", dtype="bf16", pull=True, offline=False)
    options = {"device": "cuda:1", "dtype": "bf16", "pull": True, "offline": False}
    assert asked == [("clip", options)]


def test_presets_and_overrides(asked: list[Any]) -> None:
    assert lexiseg.load("tiny", preset="fast").config.short_side == PRESETS["fast"]["short_side"]
    assert lexiseg.load("tiny", preset="fast", short_side=300).config.short_side == 300
    assert lexiseg.load("dense", threshold=0.3, encoder="tiny").config.threshold == 0.3
    assert lexiseg.load("tiny", encoder="tiny").config.encoder == "tiny"


def test_a_config_names_its_method(asked: list[Any]) -> None:
    config = Config(encoder="clip", threshold=0.3)
    seg = lexiseg.load(config, device="cuda:1", pull=True)
    assert isinstance(seg, Segmenter)
    assert seg.config == config
    options = {"device": "cuda:1", "dtype": None, "pull": True, "offline": None}
    assert asked == [("clip", options)]
    assert lexiseg.load(config, short_side=300).config == replace(config, short_side=300)
    assert config.short_side is None


def test_every_method_is_loaded_by_its_config(
    colours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.boxes import ColourBoxes
    from tests.conftest import ColourPrompted
    from tests.contract.test_methods import OPENING, small_models
    from tests.flood import FloodMasker

    for method in lexiseg.list_methods():
        loaders: dict[str, Any] = {
            "load_encoder": colours, "load_prompted": ColourPrompted(colours),
            "load_detector": ColourBoxes(), "load_masker": FloodMasker(),
            "load_own_masker": None,
            **(small_models() if method.name in OPENING else {}),
        }  # fmt: skip
        for name, model in loaders.items():
            monkeypatch.setattr(f"lexiseg.models.{name}", lambda *_, model=model, **__: model)
        config = loading.config_class(method.name)()
        by_config, by_name = lexiseg.load(config), lexiseg.load(method.name)
        assert by_config.name == by_name.name == method.name
        assert type(by_config) is type(by_name)
        assert by_config.config is not None
        assert by_config.config == by_name.config == config
        assert isinstance(by_config, lexiseg.protocols.Segmenter)


def test_what_is_no_config_is_refused_in_one_line(asked: list[Any]) -> None:
    @dataclass(frozen=True)
    class Other:
        encoder: str = "tiny"

    for wrong in (Other(), Config, 3, None, {"encoder": "tiny"}):
        with pytest.raises(OptionError, match="give a method's name") as caught:
            lexiseg.load(wrong)
        assert "\n" not in str(caught.value)
    with pytest.raises(OptionError, match="one of the two"):
        lexiseg.load(Config(), preset="fast")
    with pytest.raises(UnknownName, match="did you mean 'threshold'"):
        lexiseg.load(Config(), treshold=0.4)
    with pytest.raises(OptionError, match="short_side is 1"):
        lexiseg.load(Config(), short_side=1)
    assert asked == []


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("dens", {}, "did you mean 'dense'"),
        ("tinny", {}, "did you mean 'tiny'"),
        ("dense", {"preset": "quick"}, "preset of dense"),
        ("tiny", {"preset": "fats"}, "did you mean 'fast'"),
        ("tiny", {"treshold": 0.4}, "did you mean 'threshold'"),
        ("tiny", {"short_side": 1}, "short_side is 1"),
        ("tiny", {"short_side": "large"}, "short_side='large'"),
        ("tiny", {"scales": 2.0}, "scales=2.0"),
        ("tiny", {"encoder": "clip"}, "load('dense', encoder='clip')"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(
    asked: list[Any], name: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(OptionError) as caught:
        lexiseg.load(name, **options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert asked == []


def test_methods_lists_names_lines_presets_and_defaults() -> None:
    listed = {method.name: method for method in lexiseg.list_methods()}
    dense = listed["dense"]
    assert "\n" not in dense.summary
    assert dense.presets == tuple(PRESETS)
    assert Config(**dense.defaults) == Config()
    assert list(listed) == sorted(listed)


def test_every_method_has_what_doors_need() -> None:
    for method in lexiseg.list_methods():
        module = __import__(f"lexiseg.methods.{method.name.replace('-', '_')}", fromlist=["load"])
        assert callable(module.load)
        assert method.summary
        assert isinstance(module.Config(), loading.config_class(method.name))


# Encoders, from folders


def folder_of(path: Path, family: str) -> Path:
    (path / "net.bin").write_bytes(b"weights")
    record = Record(
        name="toy",
        family=family,
        files=describe_files(path, ["net.bin"]),
        licence="MIT",
        licence_url="https://example.org",
        preprocessing=Preprocessing(64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        activation="relu",
        embed_dim=8,
        stride=4,
    )
    write_manifest(path, record)
    return path


@pytest.mark.parametrize("family", ["klip", "tiny.vision", "..methods.dense", "os"])
def test_a_family_that_is_not_read_is_named(tmp_path: Path, family: str) -> None:
    with pytest.raises(CheckpointError, match="which this version does not read"):
        lexiseg.load("dense", encoder=str(folder_of(tmp_path, family)))


def test_a_checkpoint_that_is_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'toy' is not an encoder"):
        lexiseg.load("dense", encoder=str(folder_of(tmp_path, "sentence")))


def test_an_unknown_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'tiny'"):
        lexiseg.load("dense", encoder="tny")


def test_missing_weights_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lexiseg.checkpoints import registry

    monkeypatch.setattr(registry, "PACKAGE", tmp_path)
    with pytest.raises(WeightsMissing, match="install lexiseg again"):
        lexiseg.load("tiny")


@pytest.mark.parametrize(
    ("load", "name", "extra"),
    [
        ("inpainter", "sd-2-inpainting", "edit"),
        ("detector", "grounding-dino-t", "grounding"),
        ("detector", "sam3", "sam3"),
        ("masker", "edgetam", "edgetam"),
        ("encoder", "siglip2-vit-b16.webli", "siglip"),
    ],
)
def test_an_extra_that_is_missing_is_named_before_the_weights(
    load: str, name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lexiseg import models

    loader = getattr(models, f"load_{load}")
    monkeypatch.setattr(models, "find_spec", lambda library: None)
    with pytest.raises(ExtraMissing, match=rf"pip install 'lexiseg\[{extra}\]'"):
        loader(name)
    monkeypatch.setattr(models, "find_spec", lambda library: object())
    with pytest.raises(WeightsMissing, match="not on this machine"):
        loader(name)
