"""Regions made by networks: what they are shown, what comes back, how it is marked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from lexiseg import edit, imaging
from lexiseg.checkpoints import (
    Checkpoint,
    Preprocessing,
    Record,
    describe_files,
    registry,
    resolve,
    write_manifest,
)  # fmt: skip
from lexiseg.checkpoints.recognise import describe_folder
from lexiseg.cli import main
from lexiseg.device import pick
from lexiseg.edit.generative import DEFAULT_MODEL, Generation, generate
from lexiseg.edit.region import Region
from lexiseg.edit.xmp import GENERATED, digital_source
from lexiseg.errors import CheckpointError, OptionError, UnknownName, WeightsMissing
from lexiseg.imaging import Picture
from lexiseg.models import inpaint, lama, load_inpainter
from lexiseg.protocols import Inpainter

SIZE = (90, 131)


class Painter:
    """Paints the mask in a colour that the seed and the words give; changes all else a little."""

    name = "painter"
    multiple = 8
    generative = True
    device_name = "cpu"
    dtype_name = "fp32"
    sha256 = {"painter.safetensors": "0" * 64}  # noqa: RUF012

    def __init__(self, side: int | None = 64) -> None:
        self.side = side
        self.calls: list[dict[str, object]] = []

    def fill(
        self,
        rgb: np.ndarray,
        mask: np.ndarray,
        words: str,
        *,
        seeds: Sequence[int],
        progress: Callable[[int, int], None] | None,
        **options: object,
    ) -> np.ndarray:
        self.calls.append({"rgb": rgb, "mask": mask, "words": words, "seeds": seeds, **options})
        if progress is not None:
            progress(1, 1)
        out = []
        for seed in seeds:
            colour = np.array([(17 * seed) % 256, len(words) % 256, 200], np.uint8)
            out.append(np.where(mask[..., None], colour, 255 - rgb))
        return np.stack(out)


def photo() -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([2 * y, x, 80 + 0 * x], -1).astype(np.uint8)


def spot(at: tuple[int, int] = (40, 60), radius: int = 6) -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2


def test_the_painter_is_an_inpainter() -> None:
    assert isinstance(Painter(), Inpainter)


def test_the_network_sees_the_region_with_context_at_its_own_size() -> None:
    painter = Painter(64)
    where = Region.from_mask(spot(), dilation=2, blur=1)
    made = generate(Picture(photo()), where, "a lamp", Generation(model=painter, context=1.0))
    (call,) = painter.calls
    assert call["rgb"].shape == (64, 64, 3)
    # 19 pixels of region and 32 on either side become 64: the middle of the crop is the spot's.
    assert np.abs(call["rgb"][32, 32].astype(int) - photo()[40, 60]).max() <= 3
    assert call["mask"][32, 32]
    assert not call["mask"][:20].any()
    (picture,) = made.pictures
    assert (picture.rgb[where.window][where.weight == 1] == (0, 6, 200)).all()
    assert {name: call[name] for name in ("strength", "steps", "guidance", "negative")} == {
        "strength": 1.0, "steps": 50, "guidance": 7.5, "negative": "",
    }  # fmt: skip


@pytest.mark.parametrize("side", [64, 256, None])
@pytest.mark.parametrize("at", [(40, 60), (0, 130), (89, 3)])
def test_beyond_the_reach_of_the_blend_every_bit_stays(
    side: int | None, at: tuple[int, int]
) -> None:
    mask = spot(at)
    out = edit.replace(photo(), mask, "an old lamp", model=Painter(side))
    full = np.zeros(SIZE, np.float32)
    where = Region.from_mask(mask, dilation=5, blur=8)
    full[where.window] = where.weight
    assert (out.rgb[full == 0] == photo()[full == 0]).all()
    assert (out.rgb[full == 1] == (0, 11, 200)).all()


def test_a_crop_that_fits_is_not_resized() -> None:
    painter = Painter(None)
    edit.remove(photo(), spot(), model=painter)
    (call,) = painter.calls
    assert call["words"] == "empty background"
    crop = call["rgb"]
    top = int(crop[0, 0, 0]) // 2
    left = int(crop[0, 0, 1])
    height, width = crop.shape[:2]
    assert (crop == photo()[top : top + height, left : left + width]).all()


def test_a_picture_a_seed_and_how_it_is_marked(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    out = edit.style(
        photo(), spot(), "cyberpunk neon", model=Painter(), seeds=(3, 4), strength=0.4,
        progress=lambda step, steps: said.append((step, steps)),
    )  # fmt: skip
    one, other = out.pictures
    assert one.rgb[40, 60].tolist() == [51, 14, 200]
    assert other.rgb[40, 60].tolist() == [68, 14, 200]
    assert said == [(1, 1)]
    assert out.source == GENERATED
    step = out.steps[0]
    assert step.notes == ("made by painter",)
    assert step.config["model"] == "painter"
    assert step.config["seeds"] == [3, 4]
    path = out.save(tmp_path / "b.jpg", 1)
    assert digital_source(imaging.read(path).xmp) == GENERATED


def test_styles_start_from_what_is_there_and_replacements_from_noise() -> None:
    painter = Painter()
    edit.style(photo(), spot(), "cyberpunk neon", model=painter)
    edit.replace(photo(), spot(), "a lamp", model=painter, steps=20, negative="people")
    assert [call["strength"] for call in painter.calls] == [0.55, 1.0]
    assert painter.calls[1]["steps"] == 20
    assert painter.calls[1]["negative"] == "people"


def wanted(name: str, **options: object) -> object:
    return edit.wanted_model(edit.settings(name, **options))


def test_styles_by_filter_need_no_model() -> None:
    assert wanted("style", with_="cartoon") is None
    assert wanted("style", with_="cyberpunk neon") == DEFAULT_MODEL
    assert wanted("style", with_="cartoon", model="x") == "x"
    assert wanted("replace", with_="teal") is None
    assert wanted("replace", with_="photo.jpg") is None
    assert wanted("replace", with_=photo()) is None
    assert wanted("replace", with_="a modern monitor") == DEFAULT_MODEL
    assert wanted("remove") is None
    assert wanted("remove", model="big-lama") == "big-lama"
    assert wanted("blur") is None
    with pytest.raises(UnknownName, match="did you mean 'sketch'"):
        wanted("style", with_="sketsh")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"strength": 0.0}, "strength is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2, "strength": 0.3}, "are none"),
        ({"seeds": ()}, "seeds is empty"),
        ({"context": -1}, "context is -1"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, float], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        edit.settings("style", with_="cyberpunk neon", **settings)


def test_a_long_prompt_is_no_file() -> None:
    """No system has names of a thousand letters, and some say so when they are asked."""
    assert wanted("replace", with_="a lamp, " * 200) == DEFAULT_MODEL


def test_a_model_that_is_not_here_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "cache"))
    imaging.write(tmp_path / "a.png", photo())
    with pytest.raises(WeightsMissing, match="lexiseg models pull sd-2-inpainting"):
        edit.replace(photo(), spot(), "an old lamp")
    line = ["edit", str(tmp_path / "a.png"), "replace", "lamp", "--with", "an old lamp"]
    assert main(line) == 4
    assert "lexiseg models pull sd-2-inpainting" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# LaMa


class Greyer(torch.nn.Module):
    """Fills the hole with the mean of the known part: as TorchScript, as LaMa is shared."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        known = 1 - mask
        mean = (image * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)
        return image * known + mean * mask


def lama_checkpoint(folder: Path, content: bytes | None = None) -> Checkpoint:
    path = folder / "big-lama.pt"
    if content is None:
        torch.jit.script(Greyer()).save(str(path))
    else:
        path.write_bytes(content)
    record = Record(
        name="big-lama",
        family="lama",
        kind="inpainter",
        files=describe_files(folder, [path.name]),
        licence="test",
        licence_url="test",
        preprocessing=Preprocessing(None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        activation="relu",
        embed_dim=0,
        stride=8,
    )
    return Checkpoint(record, {"big-lama.pt": path})


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_lama_runs_at_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = lama_checkpoint(tmp_path)
    monkeypatch.setitem(registry.REMOTE, "big-lama", checkpoint.record)
    painter = lama.build_inpainter(checkpoint, pick("cpu"))
    assert isinstance(painter, Inpainter)
    rgb = np.full((21, 34, 3), (200, 40, 60), np.uint8)
    hole = np.zeros((21, 34), bool)
    hole[5:9, 10:20] = True
    out = painter.fill(np.where(hole[..., None], np.uint8(0), rgb), hole, "")
    assert out.shape == (1, 21, 34, 3)
    assert (out[0] == rgb).all()
    edited = edit.remove(photo(), spot(), model=painter)
    assert edited.source == GENERATED
    assert edited.steps[0].notes == ("made by big-lama",)
    assert (edited.rgb[~spot(radius=19)] == photo()[~spot(radius=19)]).all()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_program_that_the_table_does_not_know_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was run"))
    checkpoint = lama_checkpoint(tmp_path)
    write_manifest(tmp_path, checkpoint.record)
    for found in (checkpoint, resolve(tmp_path)):
        with pytest.raises(CheckpointError, match="not the one that lexiseg knows"):
            lama.build_inpainter(found, pick("cpu"))
    # A record that claims the table's digest does not help either.
    (known,) = registry.get("big-lama").files
    claim = dataclasses.replace(checkpoint.record, files=(known,))
    with pytest.raises(CheckpointError, match="is not run"):
        lama.build_inpainter(Checkpoint(claim, checkpoint.paths), pick("cpu"))


def test_lama_that_is_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = lama_checkpoint(tmp_path, b"nothing")
    monkeypatch.setitem(registry.REMOTE, "big-lama", checkpoint.record)
    with pytest.raises(CheckpointError, match="not a TorchScript archive"):
        lama.build_inpainter(checkpoint, pick("cpu"))


# Memory


def test_a_model_too_large_for_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inpaint, "device_memory", lambda compute: 16_000_000_000)
    inpaint.check_memory("sd-2-inpainting", 5_000_000_000, pick("cpu"))
    with pytest.raises(OptionError, match=r"has 24.0 GB of weights.* needs a GPU"):
        inpaint.check_memory("flux.1-fill-dev", 24_000_000_000, pick("cpu"))


def test_a_folder_of_diffusers_describes_itself(tmp_path: Path) -> None:
    folder = tmp_path / "My Pipeline"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "config.json").write_text('{"sample_size": 96}')
    (folder / "unet" / "weights.safetensors").write_bytes(b"1234")
    (folder / "notes.md").write_text("not a part of it")
    record = describe_folder(folder)
    assert record is not None
    assert (record.name, record.family, record.kind) == ("my-pipeline", "inpaint", "inpainter")
    assert record.preprocessing.size == 768
    assert [file.name for file in record.files] == [
        "model_index.json", "unet/config.json", "unet/weights.safetensors",
    ]  # fmt: skip
    assert all(file.pinned for file in record.files)


def test_other_folders_are_no_inpainters(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(CheckpointError, match="is a StableDiffusionPipeline"):
        load_inpainter(tmp_path)
    with pytest.raises(OptionError, match="is not an inpainter"):
        load_inpainter("tiny")
