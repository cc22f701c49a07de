"""Single files of weights that no table lists: told by the names of their tensors, never run."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lexiseg.checkpoints import resolve
from lexiseg.checkpoints.recognise import describe_file
from lexiseg.errors import CheckpointError

META = (
    "image_encoder.blocks.0.attn.rel_pos_h", "prompt_encoder.point_embeddings.0.weight",
    "mask_decoder.iou_token.weight",
)  # fmt: skip
TRANSFORMERS = (
    "vision_encoder.layers.0.attn.rel_pos_h", "prompt_encoder.point_embed.0.weight",
    "mask_decoder.iou_token.weight",
)  # fmt: skip
META_2 = ("image_encoder.trunk.pos_embed", "sam_mask_decoder.iou_token.weight")


def state(names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(1, 2) for name in names}


@pytest.mark.parametrize("names", [META, TRANSFORMERS])
@pytest.mark.parametrize("form", ["zip", "old", "safetensors"])
def test_a_sam_by_any_name(tmp_path: Path, names: tuple[str, ...], form: str) -> None:
    path = tmp_path / f"My SAM-v2.{'safetensors' if form == 'safetensors' else 'pth'}"
    path = path.with_name(path.name.replace(" ", "_"))
    if form == "safetensors":
        save_file(state(names), path)
    else:
        torch.save(state(names), path, _use_new_zipfile_serialization=form == "zip")
    record = describe_file(path)
    assert record is not None
    assert (record.family, record.kind, record.name) == ("sam", "masker", "my-sam-v2")
    found = resolve(path)
    assert found.paths == {path.name: path}
    (digest,) = found.sha256.values()
    assert len(digest) == 64


def test_a_sam_2_is_not_a_sam(tmp_path: Path) -> None:
    torch.save({"model": state(META_2)}, tmp_path / "two.pt")
    record = describe_file(tmp_path / "two.pt")
    assert record is not None
    assert record.family == "sam2"


def test_other_files_are_not_described(tmp_path: Path) -> None:
    torch.save(state(META[:2]), tmp_path / "part.pth")
    torch.save(state(META), tmp_path / "named.bin")
    with zipfile.ZipFile(tmp_path / "empty.pt", "w") as archive:
        archive.writestr("readme", "mask_decoder.iou_token.weight")
    for name in ("part.pth", "named.bin", "empty.pt", "nowhere.pth"):
        assert describe_file(tmp_path / name) is None
    with pytest.raises(CheckpointError, match="not known weights"):
        resolve(tmp_path / "part.pth")


def test_a_cut_archive_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    torch.save(state(META), path)
    body = bytearray(path.read_bytes())
    start = body.index(b"mask_decoder")
    body[start] ^= 0xFF
    path.write_bytes(bytes(body))
    with pytest.raises(CheckpointError, match="copy it again"):
        describe_file(path)
