"""Tiny pipelines, randomly drawn, against calling diffusers itself with the same inputs."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.later import Later

from lexiseg import edit
from lexiseg.device import generator, seeded
from lexiseg.edit.region import Region
from lexiseg.errors import CheckpointError, OptionError, PromptError
from lexiseg.models import load_inpainter
from lexiseg.protocols import Inpainter, LoadOptions

if find_spec("diffusers") is None or find_spec("transformers") is None:
    pytest.skip("diffusers or transformers is not installed", allow_module_level=True)
diffusers: Any = Later("diffusers")
transformers: Any = Later("transformers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

SIZE = (70, 93)
SIDE = 64


def photo() -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([3 * y, 2 * x, 90 + 0 * x], -1).astype(np.uint8)


def spot() -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (y - 30) ** 2 + (x - 40) ** 2 < 49


def lively(module: torch.nn.Module) -> torch.nn.Module:
    """Draw every tensor, also those that begin at zero, so that all of a network has a say."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.2 / parameter[0].numel() ** 0.5)
        else:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def tokenizer(folder: Path) -> Any:
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16
    )


def text_config(size: int, **more: Any) -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=54, hidden_size=size, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=16, projection_dim=size, bos_token_id=52,
        eos_token_id=53, pad_token_id=53, **more,
    )  # fmt: skip


def autoencoder(**more: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=4,
        sample_size=SIDE, **more,
    )  # fmt: skip


def scheduler() -> Any:
    return diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        steps_offset=1, set_alpha_to_one=False,
    )  # fmt: skip


def stable_diffusion(folder: Path) -> Any:
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=SIDE // 8, in_channels=9,
        out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=16,
        attention_head_dim=2, norm_num_groups=4,
    )  # fmt: skip
    return diffusers.StableDiffusionInpaintPipeline(
        vae=lively(autoencoder()), unet=lively(unet), scheduler=scheduler(),
        text_encoder=lively(transformers.CLIPTextModel(text_config(16))),
        tokenizer=tokenizer(folder / "words"), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def xl(folder: Path) -> Any:
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=SIDE // 8, in_channels=9,
        out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=32,
        attention_head_dim=(2, 4), norm_num_groups=4, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1), projection_class_embeddings_input_dim=64,
    )  # fmt: skip
    second = transformers.CLIPTextModelWithProjection(text_config(16))
    return diffusers.StableDiffusionXLInpaintPipeline(
        vae=lively(autoencoder()), unet=lively(unet), scheduler=scheduler(),
        text_encoder=lively(transformers.CLIPTextModel(text_config(16))),
        text_encoder_2=lively(second), tokenizer=tokenizer(folder / "words"),
        tokenizer_2=tokenizer(folder / "words"),
    )  # fmt: skip


def flux(folder: Path) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces = [*specials, *((c, -1.0) for c in "▁abcdefghijklmnopqrstuvwxyz")]
    words = Tokenizer(models.Unigram(pieces, unk_id=2))
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    t5 = transformers.T5TokenizerFast(
        tokenizer_object=words, eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
        extra_ids=0, model_max_length=16,
    )  # fmt: skip
    long = transformers.T5EncoderModel(transformers.T5Config(
        vocab_size=len(pieces), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    ))  # fmt: skip
    # Latents and the masked picture's, 4 x 2 x 2 each, and the mask, 16 x 16.
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16 + 16 + 256, out_channels=16, num_layers=1,
        num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )  # fmt: skip
    return diffusers.FluxFillPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), vae=lively(autoencoder(
            use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5
        )), text_encoder=lively(transformers.CLIPTextModel(text_config(16))),
        tokenizer=tokenizer(folder / "words"), text_encoder_2=lively(long), tokenizer_2=t5,
        transformer=lively(transformer),
    )  # fmt: skip


MAKERS = {"sd": stable_diffusion, "xl": xl, "flux": flux}


@pytest.fixture(scope="module", params=MAKERS)
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A pipeline's folder, and the pipeline that was saved to it."""
    folder = tmp_path_factory.mktemp(request.param)
    with seeded(7):
        made = MAKERS[request.param](folder)
    made.set_progress_bar_config(disable=True)
    made.save_pretrained(folder / "saved")
    return folder / "saved", made


def test_the_same_call_gives_the_same_pixels(pipeline: Any) -> None:
    folder, direct = pipeline
    painter = load_inpainter(folder, LoadOptions(device="cpu", dtype="fp32"))
    assert isinstance(painter, Inpainter)
    negative = {} if direct.__class__.__name__ == "FluxFillPipeline" else {"negative": "blue"}
    assert painter.side == (SIDE if negative else 1024)
    rgb, mask = photo()[:64, :80], spot()[:64, :80]
    settings = {"strength": 0.75, "steps": 8}
    said: list[tuple[int, int]] = []
    mine = painter.fill(
        rgb, mask, "a red car", **settings, guidance=5.0, **negative, seeds=(3, 4),
        progress=lambda step, steps: said.append((step, steps)),
    )  # fmt: skip
    theirs = direct(
        prompt="a red car", image=Image.fromarray(rgb), strength=0.75, num_inference_steps=8,
        mask_image=Image.fromarray(mask.astype(np.uint8) * 255), height=64, width=80,
        guidance_scale=5.0, generator=generator(4), output_type="np",
        **({"negative_prompt": "blue"} if negative else {}),
    ).images  # fmt: skip
    assert mine.shape == (2, 64, 80, 3)
    assert np.abs(mine[1] - 255 * theirs[0]).max() <= 0.5 + 1e-3
    assert (mine[0] != mine[1]).any()
    assert mine.std() > 10
    assert said[-1] == (12, 12)
    # A seed's picture is its own, whoever stands beside it.
    alone = painter.fill(rgb, mask, "a red car", **settings, guidance=5.0, **negative,
                         seeds=(4,))  # fmt: skip
    assert (alone[0] == mine[1]).all()
    words = painter.fill(rgb, mask, "a green dog", **settings, guidance=5.0, **negative,
                         seeds=(4,))  # fmt: skip
    assert (words[0] != alone[0]).any()


def test_every_operation_end_to_end(pipeline: Any) -> None:
    folder, _ = pipeline
    painter = load_inpainter(folder, LoadOptions(device="cpu"))
    painter.side = SIDE  # of FLUX it is 1024, which takes long
    full = np.zeros(SIZE, np.float32)
    where = Region.from_mask(spot(), dilation=5, blur=8)
    full[where.window] = where.weight
    settings = {"model": painter, "steps": 4, "seeds": (1,)}
    for result in (
        edit.remove(photo(), spot(), **settings),
        edit.replace(photo(), spot(), "a lamp", **settings),
        edit.style(photo(), spot(), "neon", **settings),
    ):
        assert (result.rgb[full == 0] == photo()[full == 0]).all()
        assert (result.rgb[full == 1] != photo()[full == 1]).any(-1).mean() > 0.5
    again = edit.style(photo(), spot(), "neon", **settings)
    assert (again.rgb == result.rgb).all()
    if "flux" not in str(folder):
        by_folder = edit.style(photo(), spot(), "neon", **{**settings, "model": folder})
        assert (by_folder.rgb == result.rgb).all()


def test_a_network_with_a_weight_missing_is_refused(pipeline: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, _ = pipeline
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    part = "transformer" if (folder / "transformer").is_dir() else "unet"
    path = broken / part / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights.pop(next(name for name in weights if name.endswith("weight")))
    save_file(weights, path)
    with pytest.raises(CheckpointError, match="weight"):
        load_inpainter(broken, LoadOptions(device="cpu"))


def test_what_the_safety_checker_flags_is_refused(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = pipeline
    painter = load_inpainter(folder, LoadOptions(device="cpu"))

    class Flagged:
        images = np.zeros((1, 64, 64, 3), np.float32)
        nsfw_content_detected = (True,)

    class Pipe:
        def __call__(self, **options: Any) -> Flagged:
            return Flagged()

    monkeypatch.setattr(painter, "pipeline", Pipe())
    with pytest.raises(PromptError, match="safety checker"):
        painter.fill(photo()[:64, :64], spot()[:64, :64], "a lamp")
    monkeypatch.setattr(painter, "takes_negative", False)
    with pytest.raises(OptionError, match="no negative prompt"):
        painter.fill(photo()[:64, :64], spot()[:64, :64], "a lamp", negative="x")


def pooling(**config: Any) -> Any:
    """An autoencoder whose pictures can be recognised."""

    class Pooling(diffusers.AutoencoderKL):
        """Latents are means over 8 x 8 pixels."""

        def encode(self, x: torch.Tensor, return_dict: bool = True) -> Any:
            mean = torch.nn.functional.avg_pool2d(x, 8)
            mean = torch.cat([mean, torch.zeros_like(mean[:, :1])], 1)
            moments = torch.cat([mean, torch.full_like(mean, -30.0)], 1)
            found = diffusers.models.autoencoders.vae.DiagonalGaussianDistribution(moments)
            return diffusers.models.modeling_outputs.AutoencoderKLOutput(latent_dist=found)

        def decode(self, z: torch.Tensor, return_dict: bool = True, generator: Any = None) -> Any:
            large = torch.nn.functional.interpolate(z[:, :3], scale_factor=8, mode="bilinear")
            return (large,)

    return Pooling(**config)


def test_style_keeps_the_structure_and_replace_does_not(tmp_path: Path) -> None:
    """With a network that adds nothing, what is left is what denoising started from."""
    with seeded(7):
        made = stable_diffusion(tmp_path)
    made.save_pretrained(tmp_path / "saved")
    painter = load_inpainter(tmp_path / "saved", LoadOptions(device="cpu", dtype="fp32"))
    torch.nn.init.zeros_(painter.pipeline.unet.conv_out.weight)
    torch.nn.init.zeros_(painter.pipeline.unet.conv_out.bias)
    config = {**autoencoder().config, "scaling_factor": 10.0}
    vae = pooling(**{key: value for key, value in config.items() if not key.startswith("_")})
    painter.pipeline.register_modules(vae=vae)
    painter.side = 256  # 32 x 32 latents, so that there is structure to keep
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    rings = np.where(np.hypot(y - 35, x - 46) % 24 < 12, 220, 40).astype(np.uint8)
    rgb = np.ascontiguousarray(rings[..., None].repeat(3, axis=2))
    mask = np.hypot(y - 35, x - 46) < 30
    steps = {"model": painter, "steps": 20, "guidance": 1.0, "context": 0.0}
    styled = edit.style(rgb, mask, "cyberpunk neon", **steps).rgb
    replaced = edit.replace(rgb, mask, "a lamp", **steps).rgb
    core = np.hypot(y - 35, x - 46) < 26
    likeness = [
        float(np.corrcoef(edges(one)[core], edges(rgb)[core])[0, 1]) for one in (styled, replaced)
    ]
    assert likeness[0] > likeness[1] + 0.3


def edges(rgb: np.ndarray) -> np.ndarray:
    down, right = np.gradient(rgb.astype(float).mean(-1))
    return np.hypot(down, right)
