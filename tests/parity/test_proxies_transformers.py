"""DINO's and SAM's encoders in plain torch against transformers', on the same drawn weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.close import assert_close
from tests.detector_weights import draw
from tests.parity.test_proxies_official import entropy

from lexiseg.checkpoints import resolve
from lexiseg.device import pick
from lexiseg.errors import CheckpointError
from lexiseg.models import load_proxy
from lexiseg.models.dino.net import DinoNet, from_transformers
from lexiseg.models.sam.trunk import from_checkpoint, trunk_of
from lexiseg.models.sam.weights import encoder_state
from lexiseg.protocols import LoadOptions

MEAN = torch.tensor((0.485, 0.456, 0.406)) * 255
STD = torch.tensor((0.229, 0.224, 0.225)) * 255


def vit(seed: int = 0) -> Any:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=128, num_hidden_layers=3, num_attention_heads=2, intermediate_size=192,
        image_size=48, patch_size=8, layer_norm_eps=1e-6, attn_implementation="eager",
    )  # fmt: skip
    model = ViTModel(config, add_pooling_layer=False).eval()
    draw(model, seed)
    return model


def sam(seed: int = 0) -> Any:
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "mlp_dim": 96,
            "image_size": 128, "patch_size": 16, "window_size": 3, "global_attn_indexes": [2],
            "output_channels": 16, "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 128, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )  # fmt: skip
    model = SamModel(config).eval()
    draw(model, seed)
    return model


def test_dino_saved_by_transformers_gives_its_tokens(tmp_path: Path) -> None:
    model = vit()
    model.save_pretrained(tmp_path / "dino-tiny")
    proxy = load_proxy(tmp_path / "dino-tiny", LoadOptions(device="cpu", dtype="fp32"))
    assert (proxy.name, proxy.patch) == ("dino-tiny", 8)
    rgb = torch.randint(0, 256, (2, 48, 48, 3), generator=torch.Generator().manual_seed(1))
    pixels = ((rgb - MEAN) / STD).permute(0, 3, 1, 2)
    with torch.inference_mode():
        out = model(pixels, output_attentions=True)
    assert max(entropy(a) for a in out.attentions) < 0.8
    wanted = out.last_hidden_state[:, 1:].unflatten(1, (6, 6))
    assert_close(proxy.cells(rgb), wanted)
    assert proxy.cells(rgb[:, :40, :24].repeat(1, 1, 3, 1)).shape == (2, 5, 9, 128)


@pytest.mark.parametrize("kind", ["Dinov2", "Dinov2WithRegisters"])
def test_dinov2_gives_its_patches(tmp_path: Path, kind: str) -> None:
    import transformers

    sizes = {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56,
        "patch_size": 14,
    }  # fmt: skip
    model = getattr(transformers, f"{kind}Model")(
        getattr(transformers, f"{kind}Config")(**sizes)
    ).eval()
    draw(model, 2)
    model.save_pretrained(tmp_path / "d2")
    proxy = load_proxy(tmp_path / "d2", LoadOptions(device="cpu", dtype="fp32"))
    assert proxy.patch == 14
    rgb = torch.randint(0, 256, (1, 42, 70, 3), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        out = model(((rgb - MEAN) / STD).permute(0, 3, 1, 2)).last_hidden_state
    before = out.shape[1] - 3 * 5
    assert before == (5 if kind.endswith("Registers") else 1)
    wanted = out[:, before:].unflatten(1, (3, 5))
    assert_close(proxy.cells(rgb), wanted)


def test_weights_that_lack_a_tensor_are_refused() -> None:
    state = from_transformers(vit().state_dict())
    DinoNet.of(state)
    del state["blocks.1.norm2.bias"]
    with pytest.raises(CheckpointError, match=r"blocks\.1\.norm2\.bias|Missing"):
        DinoNet.of(state)
    broken = encoder_state(sam().state_dict())
    del broken["blocks.1.mlp.lin1.bias"]
    with pytest.raises(CheckpointError, match=r"lin1\.bias"):
        trunk_of(broken)


def test_the_encoder_of_sam_gives_transformers_features_and_last_attention(tmp_path: Path) -> None:
    model = sam()
    model.save_pretrained(tmp_path / "sam-tiny")
    checkpoint = resolve(tmp_path / "sam-tiny")
    assert checkpoint.record.family == "sam"
    trunk = from_checkpoint(checkpoint, pick("cpu", "fp32"))
    net = trunk_of(encoder_state(model.state_dict()))
    pixels = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        wanted = model.get_image_embeddings(pixels)
        assert_close(net(pixels), wanted)

    # The last block's attention, the obvious way: all pairs, offsets looked up one by one.
    with torch.inference_mode():
        x = net.embed(pixels)
        for block in net.blocks[:-1]:
            x = block(x)
        attn = net.blocks[-1].attn
        qkv = attn.qkv(net.blocks[-1].norm1(x)).view(1, 64, 3, 2, 32).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[:, 0]
    logits = torch.zeros(2, 64, 64)
    for head in range(2):
        for i in range(64):
            for j in range(64):
                dy, dx = i // 8 - j // 8 + 7, i % 8 - j % 8 + 7
                logits[head, i, j] = (
                    q[head, i] @ k[head, j] * 32**-0.5
                    + q[head, i] @ attn.rel_pos_h[dy]
                    + q[head, i] @ attn.rel_pos_w[dx]
                )
    weights = logits.softmax(-1)
    assert entropy(weights) < 0.8
    inside = torch.arange(64).view(8, 8)[:5, :7].reshape(-1)
    with torch.inference_mode():
        whole = net.last_attention(pixels, (5, 7))
    for head in range(2):
        wanted = weights[head][inside][:, inside]
        assert_close(whole.attention(head), wanted)
    assert_close(whole.v, v[:, inside])
    assert trunk.name == "sam-tiny"


def test_attention_in_bands_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from lexiseg.models.sam import encoder

    net = trunk_of(encoder_state(sam().state_dict()))
    side = net.config.side * net.config.patch
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = net(pixels)
        monkeypatch.setattr(encoder, "_LARGE", 1)
        monkeypatch.setattr(encoder, "_BAND", 3 * net.config.side**3)  # the last band is smaller
        banded = net(pixels)
    assert whole.std() > 0.1
    assert_close(banded, whole)
