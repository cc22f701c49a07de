from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests import clip_weights
from torch import Tensor, nn

from lexiseg.errors import CheckpointError
from lexiseg.models.clip.config import ClipConfig, ResNetConfig, VitConfig
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.torchscript import is_torchscript, read_torchscript
from lexiseg.models.clip.weights import read_weights


class Small(nn.Module):
    """A tree with what OpenAI's archives hold: half precision, nested modules, plain numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Sequential(nn.Conv2d(3, 4, 2, bias=False), nn.LayerNorm(4))
        self.scale = nn.Parameter(torch.tensor(4.6))
        self.register_buffer("context_length", torch.tensor(77))
        self.tied = self.visual[0].weight
        self.layers = 3

    def forward(self, x: Tensor) -> Tensor:
        return self.visual[0](x) * self.scale * self.layers


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, Any]:
    torch.manual_seed(0)
    module = Small().half()
    path = tmp_path / "small.pt"
    traced = torch.jit.trace(module, torch.zeros(1, 3, 4, 4).half(), check_trace=False)
    torch.jit.save(traced, str(path))
    return path, module


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_archive_gives_the_state_dict_that_torch_finds_in_it(archive: tuple[Path, Any]) -> None:
    path, module = archive
    got = read_torchscript(path)
    wanted = module.state_dict()
    assert is_torchscript(path)
    assert wanted.keys() <= got.keys()
    for name, value in wanted.items():
        assert got[name].dtype == value.dtype
        assert torch.equal(got[name], value)


class Harm:
    def __reduce__(self) -> Any:
        return (print, ("the pickle ran",))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_code_in_an_archive_is_not_run(
    archive: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = archive
    bad = tmp_path / "bad.pt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, pickle.dumps(Harm(), 2) if name.endswith("data.pkl") else content)
    with pytest.raises(
        CheckpointError, match=r"it holds __builtin__\.print, which is not a tensor"
    ):
        read_weights(bad)
    assert "the pickle ran" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cut_archive_is_refused(archive: tuple[Path, Any], tmp_path: Path) -> None:
    path, _ = archive
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "cut.pt", "w") as target:
        for name in source.namelist():
            if "/data/" not in name:
                target.writestr(name, source.read(name))
    with pytest.raises(CheckpointError, match="cannot be read as a TorchScript archive"):
        read_weights(tmp_path / "cut.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused(
    archive: tuple[Path, Any], tmp_path: Path
) -> None:
    path, _ = archive
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
        root = next(n for n in source.namelist() if n.endswith("/data.pkl")).removesuffix(".pkl")
        target.writestr(f"{root}/99", bytes(10_000_000), compress_type=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pt").stat().st_size < 1_000_000
    with pytest.raises(CheckpointError, match="it unpacks to more than it holds"):
        read_weights(tmp_path / "bomb.pt")


def test_a_pickle_of_anything_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    torch.save({"model": Harm()}, path)
    with pytest.raises(CheckpointError, match="is not a file of tensors"):
        read_weights(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_weights(path)
    path.write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="is not a file of tensors"):
        read_weights(path)
    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="is not safetensors"):
        read_weights(tmp_path / "weights.safetensors")


def test_every_format_gives_the_same_tensors(tmp_path: Path) -> None:
    state = clip_weights.vit_state()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.bin")
    # OpenCLIP's training checkpoints: under a key, and from several GPUs.
    wrapped = {f"module.{name}": value for name, value in state.items()}
    torch.save({"epoch": 32, "state_dict": wrapped}, tmp_path / "c.pt")
    for name in ("a.safetensors", "b.bin", "c.pt"):
        read = read_weights(tmp_path / name)
        assert read.keys() == state.keys()
        assert all(torch.equal(read[key], state[key]) for key in state)


def test_sizes_are_read_off_the_shapes() -> None:
    config = ClipConfig.of(clip_weights.vit_state(), "gelu")
    assert config.vision == VitConfig(64, 16, 64, 4, 1, 256, 48)
    assert (config.text.layers, config.text.heads, config.text.context) == (3, 1, 77)
    resnet = ClipConfig.of(clip_weights.resnet_state(), "quick-gelu")
    assert resnet.vision == ResNetConfig(64, 16, (1, 2, 1, 1), 8, 48)


@pytest.mark.parametrize(
    ("width", "heads"), [(768, 12), (1024, 16), (1280, 16), (1664, 16)], ids=str
)
def test_published_widths_have_their_heads(width: int, heads: int) -> None:
    state = clip_weights.vit_state()
    state["visual.conv1.weight"] = torch.empty(width, 3, 14, 14, device="meta")
    state["visual.positional_embedding"] = torch.empty(257, width, device="meta")
    config = ClipConfig.of(state, "gelu").vision
    assert (config.heads, config.image) == (heads, 224)


def test_incomplete_weights_are_refused() -> None:
    state = clip_weights.vit_state()
    config = ClipConfig.of(state, "gelu")
    lacking = {name: value for name, value in state.items() if name != "visual.ln_post.bias"}
    with pytest.raises(CheckpointError, match=r"they lack visual\.ln_post\.bias"):
        Clip.of(config, lacking)
    with pytest.raises(CheckpointError, match="size mismatch"):
        Clip.of(config, {**state, "visual.ln_post.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match="Unexpected"):
        Clip.of(config, {**state, "visual.extra": torch.zeros(3)})
    with pytest.raises(CheckpointError, match="not those of a CLIP"):
        ClipConfig.of({"weight": torch.zeros(3)}, "gelu")


def test_only_products_take_the_other_format() -> None:
    state = clip_weights.vit_state()
    net = Clip.of(ClipConfig.of(state, "gelu"), state, torch.bfloat16)
    kinds = {name: value.dtype for name, value in net.named_parameters()}
    assert kinds["visual.transformer.resblocks.0.attn.in_proj_weight"] == torch.bfloat16
    assert kinds["words.text_projection"] == torch.bfloat16
    assert kinds["visual.ln_pre.weight"] == kinds["visual.positional_embedding"] == torch.float32
    assert net.visual(torch.randn(1, 3, 48, 80)).dtype == torch.float32


def test_a_state_dict_of_a_pickle_in_memory_is_a_file_too(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(clip_weights.resnet_state(), buffer)
    (tmp_path / "r.pt").write_bytes(buffer.getvalue())
    read = read_weights(tmp_path / "r.pt")
    assert not any(name.endswith("num_batches_tracked") for name in read)
    net = Clip.of(ClipConfig.of(read, "quick-gelu"), read)
    assert net.visual(torch.randn(1, 3, 64, 96)).shape == (1, 48)
