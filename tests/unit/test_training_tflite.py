"""MobileNetV2 read from TensorFlow Lite files: one that is written here, and the published one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from lexiseg import imaging
from lexiseg.device import seeded
from lexiseg.errors import InputError
from lexiseg.models.tiny.vision import MobileNetV2

tflite = pytest.importorskip("tflite", reason="the reader needs tflite: lexiseg[train]")

from lexiseg.training.tiny.tflite import read_mobilenet  # noqa: E402

SHARED = Path(__file__).parents[3] / "shared"
PUBLISHED = SHARED / "weights" / "mobilenet_v2_1.0_224_quant.tflite"
IMAGENET = SHARED / "data" / "imagenet1000"


def layers(net: MobileNetV2, classifier: nn.Conv2d) -> list[nn.Conv2d]:
    """The convolutions in the order in which they run."""
    inner = [m for b in net.blocks for m in b.children() if isinstance(m, nn.Conv2d)]
    return [net.stem, *inner, net.head, classifier]


class Writer:
    """A .tflite file of quantised convolutions, built with flatbuffers by the schema's functions.

    Field numbers are those of TensorFlow Lite's schema.fbs.
    """

    def __init__(self) -> None:
        import flatbuffers

        self.b = flatbuffers.Builder(1 << 22)
        self.buffers: list[int] = []
        self.tensors: list[int] = []
        self.operators: list[int] = []

    def vector(self, values: NDArray[np.generic]) -> int:
        return int(self.b.CreateNumpyVector(values))

    def offsets(self, rows: list[int]) -> int:
        self.b.StartVector(4, len(rows), 4)
        for row in reversed(rows):
            self.b.PrependUOffsetTRelative(row)
        return int(self.b.EndVector())

    def table(self, count: int, fields: dict[int, tuple[str, int]]) -> int:
        """A table of ``count`` fields, given as number -> (kind, value)."""
        self.b.StartObject(count)
        for number, (kind, value) in fields.items():
            if kind == "offset":
                self.b.PrependUOffsetTRelativeSlot(number, value, 0)
            elif kind == "uint":
                self.b.PrependUint32Slot(number, value, 0)
            else:
                self.b.PrependInt8Slot(number, value, 0)
        return int(self.b.EndObject())

    def tensor(self, values: NDArray[np.generic], scale: float, zero: int, kind: int) -> int:
        """Add a tensor with its buffer; return its number."""
        data = self.vector(np.frombuffer(values.tobytes(), np.uint8))
        self.buffers.append(self.table(1, {0: ("offset", data)}))
        quantization = self.table(
            6,
            {
                2: ("offset", self.vector(np.array([scale], np.float32))),
                3: ("offset", self.vector(np.array([zero], np.int64))),
            },
        )
        shape = self.vector(np.array(values.shape, np.int32))
        self.tensors.append(
            self.table(
                5,
                {
                    0: ("offset", shape), 1: ("byte", kind), 2: ("uint", len(self.buffers)),
                    4: ("offset", quantization),
                },
            )
        )  # fmt: skip
        return len(self.tensors) - 1

    def convolution(self, weight: int, bias: int, depthwise: bool) -> None:
        inputs = self.vector(np.array([0, weight, bias], np.int32))
        code = ("uint", int(depthwise))
        self.operators.append(self.table(9, {0: code, 1: ("offset", inputs)}))

    def write(self, path: Path) -> None:
        tensors, operators = self.offsets(self.tensors), self.offsets(self.operators)
        graph = self.table(5, {0: ("offset", tensors), 3: ("offset", operators)})
        codes = [self.table(4, {0: ("byte", kind)}) for kind in (3, 4)]  # CONV_2D, DEPTHWISE
        empty = self.table(1, {})  # buffer 0 is empty by convention
        model = self.table(
            8,
            {
                0: ("uint", 3), 1: ("offset", self.offsets(codes)),
                2: ("offset", self.offsets([graph])),
                4: ("offset", self.offsets([empty, *self.buffers])),
            },
        )  # fmt: skip
        self.b.Finish(model, b"TFL3")
        path.write_bytes(bytes(self.b.Output()))


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
    writer = Writer()
    weight = writer.tensor(np.zeros((4, 3, 3, 3), np.uint8), 1.0, 0, tflite.TensorType.UINT8)
    bias = writer.tensor(np.zeros(4, np.int32), 1.0, 0, tflite.TensorType.INT32)
    writer.convolution(weight, bias, False)
    writer.write(tmp_path / "small.tflite")
    with pytest.raises(InputError, match="1 convolutions, but MobileNetV2 has 53"):
        read_mobilenet(tmp_path / "small.tflite")


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
