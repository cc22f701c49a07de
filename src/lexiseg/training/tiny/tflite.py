"""Read the published 8-bit MobileNetV2 (TensorFlow Lite) into the float backbone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lexiseg.errors import ExtraMissing, InputError
from lexiseg.models.tiny.vision import MobileNetV2

__all__ = ["read_mobilenet"]

_CONV, _DEPTHWISE = 3, 4  # builtin operator codes of the tflite schema


def _tensors(path: Path) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(operator, weight, bias) of every convolution in the order in which they run, as floats."""
    try:
        import tflite
    except ImportError as error:
        raise ExtraMissing(
            "reading the ImageNet backbone needs tflite; pip install 'lexiseg[train]'"
        ) from error
    if not path.is_file():
        raise InputError(f"no ImageNet backbone at {path}; name the .tflite file with --backbone")
    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    kinds: dict[type[np.generic], int] = {
        np.uint8: tflite.TensorType.UINT8,
        np.int32: tflite.TensorType.INT32,
    }

    def values(index: int, dtype: type[np.generic]) -> np.ndarray:
        tensor = graph.Tensors(index)
        if tensor.Type() != kinds[dtype]:
            raise InputError(f"{path}: tensor {tensor.Name()!r} is not {dtype.__name__}")
        raw = model.Buffers(tensor.Buffer()).DataAsNumpy().view(dtype)
        q = tensor.Quantization()
        whole = raw.reshape(tensor.ShapeAsNumpy()).astype(np.float64)
        return np.asarray((whole - q.ZeroPoint(0)) * q.Scale(0))

    found = []
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if kind in (_CONV, _DEPTHWISE):
            found.append(
                (kind, values(operator.Inputs(1), np.uint8), values(operator.Inputs(2), np.int32))
            )
    return found


@torch.no_grad()
def read_mobilenet(path: str | Path) -> tuple[MobileNetV2, nn.Conv2d]:
    """The float backbone and its classifier, 1x1: 1280 -> 1,001 ImageNet logits (0: "background").

    TensorFlow stores a convolution as (out, h, w, in) and a depthwise one as (1, h, w, channels).
    """
    net, classifier = MobileNetV2(), nn.Conv2d(1280, 1001, 1)
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    ordered = _running_order(net)
    tensors = _tensors(Path(path))
    if len(tensors) != len(ordered) + 1 or len(layers) != len(ordered):
        raise InputError(f"{path}: {len(tensors)} convolutions, but MobileNetV2 has 53")
    for layer, (kind, weight, bias) in zip([*ordered, classifier], tensors, strict=True):
        order = (3, 0, 1, 2) if kind == _DEPTHWISE else (0, 3, 1, 2)
        value: Tensor = torch.from_numpy(np.ascontiguousarray(weight.transpose(order)))
        if value.shape != layer.weight.shape:
            raise InputError(f"{path}: a weight of {tuple(value.shape)} where MobileNetV2 has "
                             f"{tuple(layer.weight.shape)}")  # fmt: skip
        layer.weight.copy_(value)
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))
    return net, classifier


def _running_order(net: MobileNetV2) -> list[nn.Conv2d]:
    convolutions = [m for b in net.blocks for m in b.children() if isinstance(m, nn.Conv2d)]
    return [net.stem, *convolutions, net.head]
