"""Networks read from TensorFlow Lite files: some that are written here, and the published ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from lexiseg import imaging
from lexiseg.device import seeded
from lexiseg.errors import InputError
from lexiseg.models.tiny.vision import MobileNetV2

tflite = pytest.importorskip("tflite", reason="the reader needs tflite: lexiseg[train]")

from tests.tflite_file import Writer  # noqa: E402

from lexiseg.training.tiny.tflite import read_graph, read_mobilenet, resize_bilinear  # noqa: E402

SHARED = Path(__file__).parents[3] / "shared"
PUBLISHED = SHARED / "weights" / "mobilenet_v2_1.0_224_quant.tflite"
DEEPLAB = SHARED / "weights" / "deeplabv3_mnv2_ade20k_int8.tflite"
GOLDEN = Path(__file__).parents[1] / "parity" / "golden" / "deeplab.npz"
IMAGENET = SHARED / "data" / "imagenet1000"


def layers(net: MobileNetV2, classifier: nn.Conv2d) -> list[nn.Conv2d]:
    """The convolutions in the order in which they run."""
    inner = [m for b in net.blocks for m in b.children() if isinstance(m, nn.Conv2d)]
    return [net.stem, *inner, net.head, classifier]


def test_a_file_gives_back_the_quantised_weights(tmp_path: Path) -> None:
    """Each weight of the net is its 8 bits, less the zero point, times the scale."""
    with seeded(3):
        net, classifier = MobileNetV2(), nn.Conv2d(1280, 1001, 1)
    writer, wanted = Writer(), []
    rng = np.random.default_rng(0)
    writer.tensor(np.zeros((1, 1), np.uint8), 1.0, 0, tflite.TensorType.UINT8)  # the input
    for k, layer in enumerate(layers(net, classifier)):
        depthwise = layer.groups > 1
        shape = layer.weight.shape
        bits = rng.integers(0, 256, (shape[0], shape[2], shape[3], shape[1])).astype(np.uint8)
        whole = rng.integers(-(2**20), 2**20, shape[0]).astype(np.int32)
        scale, zero = 0.001 * (k + 1), 100 + k
        stored = bits.transpose(3, 1, 2, 0) if depthwise else bits  # (1, h, w, channels)
        weight = writer.tensor(np.ascontiguousarray(stored), scale, zero, tflite.TensorType.UINT8)
        bias = writer.tensor(whole, scale / 7, 0, tflite.TensorType.INT32)
        writer.convolution(weight, bias, depthwise)
        wanted.append(
            (
                (bits.astype(np.float64) - zero).transpose(0, 3, 1, 2) * np.float32(scale),
                whole * np.float64(np.float32(scale / 7)),
            )
        )
    path = tmp_path / "net.tflite"
    writer.write(path)
    read = layers(*read_mobilenet(path))
    assert len(read) == 53
    for layer, (weight_values, bias_values) in zip(read, wanted, strict=True):
        np.testing.assert_allclose(layer.weight.detach().numpy(), weight_values, rtol=1e-6)
        assert layer.bias is not None
        np.testing.assert_allclose(layer.bias.detach().numpy(), bias_values, rtol=1e-6)


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--backbone"):
        read_mobilenet(tmp_path / "net.tflite")
    with pytest.raises(InputError, match="--teacher"):
        read_graph(tmp_path / "net.tflite")
    writer = Writer()
    weight = writer.tensor(np.zeros((4, 3, 3, 3), np.uint8), 1.0, 0, tflite.TensorType.UINT8)
    bias = writer.tensor(np.zeros(4, np.int32), 1.0, 0, tflite.TensorType.INT32)
    writer.convolution(weight, bias, False)
    small = writer.write(tmp_path / "small.tflite")
    with pytest.raises(InputError, match="1 convolutions, but MobileNetV2 has 53"):
        read_mobilenet(small)
    with pytest.raises(InputError, match="segmentation network"):
        read_graph(small)
    other = tmp_path / "photo.tflite"
    other.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(segmenter(np.random.default_rng(0))[0].write(cut).read_bytes()[:700])
    for read in (read_graph, read_mobilenet):
        with pytest.raises(InputError, match="no TensorFlow Lite file"):
            read(other)
        with pytest.raises(InputError):
            read(cut)
    writer, _ = segmenter(np.random.default_rng(0), kind="SOFTMAX")
    with pytest.raises(InputError, match="operator SOFTMAX"):
        read_graph(writer.write(tmp_path / "soft.tflite"))


HEIGHT, WIDTH = 64, 96


def segmenter(rng: np.random.Generator, kind: str = "ADD") -> tuple[Writer, dict[str, Any]]:
    """A file with every operator that is known, and its constants as floats.

    kind: of the fifth operator.
    """
    writer, values = Writer(), dict[str, Any]()
    TT = tflite.TensorType

    def constant(name: str, shape: tuple[int, ...], channel: int) -> int:
        """8 bits by channel, as DeepLab's file has them."""
        bits = rng.integers(-128, 128, shape).astype(np.int8)
        scales = rng.uniform(0.001, 0.006, shape[channel]).astype(np.float32)
        along = [-1 if k == channel else 1 for k in range(len(shape))]
        values[name] = bits * scales.astype(np.float64).reshape(along)
        return writer.tensor(bits, scales, [0] * len(scales), TT.INT8, channel)

    def offsets(name: str, count: int) -> int:
        bits = rng.integers(-200, 200, count).astype(np.int32)
        values[name] = bits * np.float64(np.float32(0.002))
        return writer.tensor(bits, 0.002, 0, TT.INT32)

    def empty(h: int, w: int, channels: int, kind: int = TT.INT8) -> int:
        return writer.shape((1, h, w, channels), 1 / 64, 3, kind)

    entry = empty(HEIGHT, WIDTH, 3, TT.UINT8)
    h, w = HEIGHT // 2, WIDTH // 2
    stem, deep, flat, joined = (empty(h, w, 4) for _ in range(4))
    pooled, wide = empty(1, 1, 4), empty(h, w, 4)
    both, logits, large = empty(h, w, 8), empty(h, w, 5), empty(HEIGHT, WIDTH, 5)
    labels = writer.shape((1, HEIGHT, WIDTH), 1.0, 0, TT.INT32)
    quantised = empty(HEIGHT, WIDTH, 3)
    writer.operator("QUANTIZE", [entry], quantised)
    writer.operator(
        "CONV_2D", [quantised, constant("stem", (4, 3, 3, 3), 0), offsets("stem bias", 4)], stem,
        StrideW=2, StrideH=2, DilationWFactor=1, DilationHFactor=1, FusedActivationFunction=3,
    )  # fmt: skip
    writer.operator(
        "DEPTHWISE_CONV_2D",
        [stem, constant("deep", (1, 3, 3, 4), 3), offsets("deep bias", 4)], deep,
        StrideW=1, StrideH=1, DilationWFactor=2, DilationHFactor=2, FusedActivationFunction=1,
    )  # fmt: skip
    point = {"StrideW": 1, "StrideH": 1, "DilationWFactor": 1, "DilationHFactor": 1}
    writer.operator(
        "CONV_2D", [deep, constant("flat", (4, 1, 1, 4), 0), offsets("flat bias", 4)], flat,
        **point,
    )  # fmt: skip
    writer.operator(kind, [flat, stem], joined)
    writer.operator("AVERAGE_POOL_2D", [joined], pooled, FilterHeight=h, FilterWidth=w)
    writer.operator("RESIZE_BILINEAR", [pooled], wide)
    writer.operator("CONCATENATION", [wide, joined], both, Axis=3)
    writer.operator(
        "CONV_2D", [both, constant("head", (5, 1, 1, 8), 0), offsets("head bias", 5)], logits,
        **point,
    )  # fmt: skip
    writer.operator("RESIZE_BILINEAR", [logits], large)
    writer.operator("ARG_MAX", [large], labels)
    writer.entry, writer.result = entry, labels
    return writer, values


def convolved(
    x: NDArray[np.float64], weight: NDArray[np.float64], bias: NDArray[np.float64], stride: int,
    dilation: int, depthwise: bool = False,
) -> NDArray[np.float64]:  # fmt: skip
    """TensorFlow's SAME convolution, a place at a time; weights as the file has them."""
    h, w = -(-x.shape[0] // stride), -(-x.shape[1] // stride)
    kernel = weight.shape[1]
    reach = (kernel - 1) * dilation + 1
    before = [
        max((n - 1) * stride + reach - m, 0) // 2 for n, m in ((h, x.shape[0]), (w, x.shape[1]))
    ]
    out = np.zeros((h, w, len(bias))) + bias
    for i in range(h):
        for j in range(w):
            for a in range(kernel):
                for b in range(kernel):
                    y = i * stride + a * dilation - before[0]
                    z = j * stride + b * dilation - before[1]
                    if 0 <= y < x.shape[0] and 0 <= z < x.shape[1]:
                        own = weight[0, a, b] * x[y, z] if depthwise else weight[:, a, b] @ x[y, z]
                        out[i, j] += own
    return out


def test_a_graph_is_run_as_tensorflow_runs_it(tmp_path: Path) -> None:
    writer, values = segmenter(np.random.default_rng(3))
    net = read_graph(writer.write(tmp_path / "net.tflite"))
    photo = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3))
    x = (photo - 3) / 64
    stem = np.clip(convolved(x, values["stem"], values["stem bias"], 2, 1), 0, 6)
    deep = np.maximum(convolved(stem, values["deep"], values["deep bias"], 1, 2, True), 0)
    joined = convolved(deep, values["flat"], values["flat bias"], 1, 1) + stem
    wide = np.broadcast_to(joined.mean((0, 1)), joined.shape)
    both = np.concatenate([wide, joined], -1)
    wanted = convolved(both, values["head"], values["head bias"], 1, 1)
    made = net(torch.from_numpy(photo).permute(2, 0, 1)[None].float())
    assert made.shape == (1, 5, HEIGHT // 2, WIDTH // 2)  # before the enlargement
    np.testing.assert_allclose(made[0].permute(1, 2, 0).numpy(), wanted, atol=1e-4)
    smaller = net(torch.zeros(2, 3, 32, 64))
    assert smaller.shape == (2, 5, 16, 32)
    with pytest.raises(InputError, match="multiples of 32"):
        net(torch.zeros(1, 3, 40, 64))


def test_the_oldest_way_of_enlarging_has_its_pixels_at_the_left() -> None:
    """0 1 2 3 quarters of the way from one pixel to the next, the last one repeated."""
    row = torch.tensor([[0.0, 4.0, 20.0]]).view(1, 1, 1, 3)
    made = resize_bilinear(row, (1, 12), "")[0, 0, 0]
    assert made.tolist() == [0, 1, 2, 3, 4, 8, 12, 16, 20, 20, 20, 20]
    torch.testing.assert_close(
        resize_bilinear(row, (2, 6), "centres"),
        F.interpolate(row, (2, 6), mode="bilinear", align_corners=False),
    )
    assert resize_bilinear(row, (1, 5), "corners")[0, 0, 0].tolist() == [0, 2, 4, 12, 20]


def drawn_view(number: int) -> NDArray[np.uint8]:
    """Sky, a lawn or road, a house: (512, 512, 3), by arithmetic alone."""
    y, x = np.mgrid[:512, :512]
    grain = ((x * 7919 + y * 104729 + number * 31) % 23 - 11)[..., None]
    sky = np.stack([120 + y // 8, 160 + y // 10, 235 - y // 20], -1)
    ground = np.array([(70, 120, 50), (95, 95, 100)][number % 2])
    out = np.where((y > 300)[..., None], ground, sky)
    house = (y > 160) & (y < 340) & (x > 120 + 60 * number) & (x < 330 + 60 * number)
    out = np.where(house[..., None], np.array((170, 120, 95)), out)
    panes = house & (x // 30 % 2 == 0) & (y // 36 % 2 == 0)
    out = np.where(panes[..., None], np.array((60, 70, 90)), out)
    return np.clip(out + grain, 0, 255).astype(np.uint8)


@pytest.mark.skipif(not DEEPLAB.is_file(), reason="needs ../shared: the published teacher")
def test_deeplab_answers_as_the_interpreter_does() -> None:
    """Against ai-edge-litert 2.3 (golden/make_deeplab.py), whose values between the layers are
    8 bits; ours are floats."""
    net, golden = read_graph(DEEPLAB), np.load(GOLDEN)
    assert net.size_hw == (512, 512)
    for number in range(2):
        photo = torch.from_numpy(drawn_view(number)).permute(2, 0, 1)[None].float()
        made = net(photo)[0, :, ::8, ::8].numpy()
        wanted = golden[f"view{number}"] * golden["scale"]
        error = np.abs(made - wanted) / np.abs(wanted).max()
        assert error.max() < 0.08
        assert error.mean() < 0.02
        assert (made.argmax(0) == wanted.argmax(0)).mean() > 0.9  # drawn things are hard to tell


@pytest.mark.slow
@pytest.mark.skipif(
    not PUBLISHED.is_file() or not IMAGENET.is_dir(),
    reason="needs ../shared: the published backbone, and ImageNet photos, which may not be shipped",
)
def test_the_published_backbone_knows_imagenet() -> None:
    wnids = json.loads((IMAGENET / "dataset.json").read_text())["wnids"]
    paths = sorted((IMAGENET / "train" / "images").iterdir())[::5]
    net, classifier = read_mobilenet(PUBLISHED)
    hits = 0
    for path in paths:
        rgb = imaging.read(path).rgb
        side = round(0.875 * min(rgb.shape[:2]))
        y, x = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
        crop = Image.fromarray(rgb[y : y + side, x : x + side]).resize((224, 224))
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            features = net(pixels)[3].mean((2, 3), keepdim=True)
            guess = int(classifier(features)[0, 1:, 0, 0].argmax())
        hits += guess == list(wnids).index(path.stem.split("_")[0])
    assert len(paths) == 200
    assert hits >= 160
