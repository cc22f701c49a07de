"""TensorFlow Lite files as float networks: the few operators that the recipe's teachers use.

Quantised weights become floats, (q - zero point) * scale, by tensor or by channel. Between the
layers nothing is rounded to 8 bits, so results differ from the interpreter's by its rounding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.errors import ExtraMissing, InputError
from lexiseg.models.tiny.vision import MobileNetV2

__all__ = ["TfliteNet", "read_graph", "read_mobilenet", "resize_bilinear"]

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_UNCHANGED = ("QUANTIZE", "DEQUANTIZE")  # floats stay floats


@dataclass(frozen=True, eq=False)
class _Operator:
    """One step of a graph. inputs, output: numbers of tensors. size_hw: of the output, where it
    is a map. weight: (out, in, h, w), floats."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    size_hw: tuple[int, int] | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    stride: int = 1
    dilation: int = 1
    same: bool = True
    activation: str = "NONE"
    resize: str = ""


class TfliteNet(nn.Module):
    """Pixels (B, 3, H, W) in [0, 255] -> logits (B, C, h, w), as the graph says.

    An arg-max at the end, and the enlargement before it, are left out. Other sizes than the
    file's are taken too, in multiples of 32: maps keep their parts of it.
    """

    scale: Tensor
    zero: Tensor

    def __init__(
        self, operators: list[_Operator], entry: int, size_hw: tuple[int, int],
        scale: float, zero: float,
    ) -> None:  # fmt: skip
        """scale, zero: the first tensor is (pixels - zero) * scale."""
        super().__init__()
        self._operators, self._entry, self.size_hw = operators, entry, size_hw
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("zero", torch.tensor(zero))
        self._last_use = {number: k for k, one in enumerate(operators) for number in one.inputs}
        for k, one in enumerate(operators):
            if one.weight is not None:
                self.register_buffer(f"weight{k}", one.weight)
                self.register_buffer(f"bias{k}", one.bias)

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> Tensor:
        if pixels.shape[-2] % 32 or pixels.shape[-1] % 32:
            raise InputError(f"sides of {tuple(pixels.shape[-2:])}; give multiples of 32")
        values = {self._entry: (pixels - self.zero) * self.scale}
        for k, one in enumerate(self._operators):
            given = [values[number] for number in one.inputs]
            values[one.output] = self._run(k, one, given, (pixels.shape[-2], pixels.shape[-1]))
            for number in one.inputs:
                if self._last_use[number] == k:
                    values.pop(number, None)
        return values[self._operators[-1].output]

    def _run(
        self, k: int, one: _Operator, given: list[Tensor], picture_hw: tuple[int, int]
    ) -> Tensor:
        if one.weight is not None:
            weight, bias = getattr(self, f"weight{k}"), getattr(self, f"bias{k}")
            out = _convolve(given[0], weight, bias, one)
        elif one.kind == "ADD":
            out = given[0] + given[1]
        elif one.kind == "AVERAGE_POOL_2D":
            out = given[0].mean((2, 3), keepdim=True)
        elif one.kind == "CONCATENATION":
            out = torch.cat(given, 1)
        elif one.kind == "RESIZE_BILINEAR" and one.size_hw is not None:
            height, width = (n * p // g for n, p, g in
                             zip(one.size_hw, picture_hw, self.size_hw, strict=True))  # fmt: skip
            out = resize_bilinear(given[0], (height, width), one.resize)
        else:
            out = given[0]
        return {"RELU": F.relu, "RELU6": F.relu6}.get(one.activation, _identity)(out)


def _identity(x: Tensor) -> Tensor:
    return x


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, one: _Operator) -> Tensor:
    """TensorFlow's SAME padding: what is missing stands half before and half (or more) behind."""
    if one.same:
        pads = []
        for side, kernel in ((x.shape[-1], weight.shape[-1]), (x.shape[-2], weight.shape[-2])):
            reach = (kernel - 1) * one.dilation + 1
            missing = max((-(-side // one.stride) - 1) * one.stride + reach - side, 0)
            pads += [missing // 2, missing - missing // 2]
        x = F.pad(x, pads)
    groups = x.shape[1] // weight.shape[1]
    return F.conv2d(x, weight, bias, one.stride, 0, one.dilation, groups)


def resize_bilinear(x: Tensor, size_hw: tuple[int, int], way: str) -> Tensor:
    """Return maps (B, C, h, w) at another size, bilinear, in one of TensorFlow's ways.

    way: "corners", "centres", or "" for the oldest one, which has pixel i of the output at
    i * in / out of the input.
    """
    if way:
        corners = way == "corners"
        return F.interpolate(x, size_hw, mode="bilinear", align_corners=corners)
    for dim, side in ((-2, size_hw[0]), (-1, size_hw[1])):
        place = torch.arange(side, device=x.device) * (x.shape[dim] / side)
        low = place.floor().long()
        part = (place - low).to(x.dtype).view((-1, 1) if dim == -2 else (-1,))
        above = (low + 1).clamp(max=x.shape[dim] - 1)
        x = x.index_select(dim, low) * (1 - part) + x.index_select(dim, above) * part
    return x


def read_graph(path: str | Path, flag: str = "--teacher") -> TfliteNet:
    """Return a segmentation network from a file, in float32.

    flag: what a message tells the user to give. Raises InputError where there is no such file,
    it is something else, or has operators that are not known here.
    """
    path = Path(path)
    model, graph, tflite = _open(path, flag)
    try:
        operators = [_operator(path, model, graph, tflite, i)
                     for i in range(graph.OperatorsLength())]  # fmt: skip
        first = graph.Tensors(graph.Inputs(0))
        quantization, shape = first.Quantization(), first.ShapeAsNumpy()
        scale, zero = quantization.Scale(0), quantization.ZeroPoint(0)
    except (struct.error, IndexError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a segmentation network; give DeepLab's .tflite"
        ) from error
    if first.Type() == tflite.TensorType.INT8:
        zero += 128
    if operators and operators[-1].kind == "ARG_MAX":
        operators.pop()
        if operators and operators[-1].kind == "RESIZE_BILINEAR":
            operators.pop()
    if not operators or len(shape) != 4:
        raise InputError(f"{path} is no network of pictures; give DeepLab's .tflite")
    size_hw = (int(shape[1]), int(shape[2]))
    return TfliteNet(operators, graph.Inputs(0), size_hw, float(scale), float(zero)).eval()


@torch.no_grad()
def read_mobilenet(path: str | Path) -> tuple[MobileNetV2, nn.Conv2d]:
    """Return the published 8-bit MobileNetV2 as the float backbone, and its classifier.

    The classifier is 1x1: 1280 -> 1,001 ImageNet logits (0: "background"). Raises InputError
    where there is no such file, or it is another net.
    """
    path = Path(path)
    net, classifier = MobileNetV2(), nn.Conv2d(1280, 1001, 1)
    ordered = [*_running_order(net), classifier]
    model, graph, tflite = _open(path, "--backbone")
    try:
        read = [_weights(path, model, graph, tflite, graph.Operators(i))
                for i in range(graph.OperatorsLength())]  # fmt: skip
    except (struct.error, IndexError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} cannot be read; give MobileNetV2's .tflite") from error
    tensors = [one for one in read if one is not None]
    if len(tensors) != len(ordered):
        raise InputError(f"{path}: {len(tensors)} convolutions, but MobileNetV2 has 53")
    for layer, (weight, bias) in zip(ordered, tensors, strict=True):
        if weight.shape != layer.weight.shape:
            raise InputError(f"{path}: a weight of {tuple(weight.shape)} where MobileNetV2 has "
                             f"{tuple(layer.weight.shape)}")  # fmt: skip
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(bias)
    return net, classifier


def _running_order(net: MobileNetV2) -> list[nn.Conv2d]:
    convolutions = [m for b in net.blocks for m in b.children() if isinstance(m, nn.Conv2d)]
    return [net.stem, *convolutions, net.head]


def _open(path: Path, flag: str) -> tuple[Any, Any, Any]:
    """The model, its graph, and the module of the schema."""
    try:
        import tflite
    except ImportError as error:
        raise ExtraMissing(
            f"reading {path.name} needs tflite; pip install 'lexiseg[train]'"
        ) from error
    if not path.is_file():
        raise InputError(f"no file at {path}; name the .tflite file with {flag}")
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise InputError(f"{path} is no TensorFlow Lite file; give a .tflite file with {flag}")
    try:
        model = tflite.Model.GetRootAsModel(content, 0)
        return model, model.Subgraphs(0), tflite
    except (struct.error, IndexError, TypeError) as error:
        raise InputError(f"{path} is damaged; load it again") from error


def _kind(model: Any, operator: Any, tflite: Any) -> str:
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
    return str(names.get(number, number))


def _weights(
    path: Path, model: Any, graph: Any, tflite: Any, operator: Any
) -> tuple[Tensor, Tensor] | None:
    """Weight (out, in, h, w) and bias of a convolution as floats; None of other operators.

    TensorFlow stores a convolution as (out, h, w, in), a depthwise one as (1, h, w, channels).
    """
    kind = _kind(model, operator, tflite)
    if kind not in _CONVOLUTIONS:
        return None
    order = (3, 0, 1, 2) if kind == "DEPTHWISE_CONV_2D" else (0, 3, 1, 2)
    weight = _values(path, model, graph, tflite, operator.Inputs(1))
    bias = _values(path, model, graph, tflite, operator.Inputs(2))
    return weight.permute(order).contiguous(), bias


def _values(path: Path, model: Any, graph: Any, tflite: Any, index: int) -> Tensor:
    """A constant of the file as floats."""
    kinds = tflite.TensorType
    dtypes: dict[int, type[np.generic]] = {
        kinds.UINT8: np.uint8, kinds.INT8: np.int8, kinds.INT32: np.int32,
        kinds.FLOAT32: np.float32,
    }  # fmt: skip
    tensor = graph.Tensors(index)
    if tensor.Type() not in dtypes:
        raise InputError(f"{path}: tensor {tensor.Name()!r} is of an unknown type")
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy().view(dtypes[tensor.Type()])
    values = raw.reshape(tensor.ShapeAsNumpy()).astype(np.float64)
    q = tensor.Quantization()
    if tensor.Type() != kinds.FLOAT32 and q is not None and q.ScaleLength():
        shape = [1] * values.ndim
        if q.ScaleLength() > 1:
            shape[q.QuantizedDimension()] = -1
        scales = q.ScaleAsNumpy().astype(np.float64).reshape(shape)
        zeros = q.ZeroPointAsNumpy() if q.ZeroPointLength() > 1 else [q.ZeroPoint(0)]
        values = (values - np.reshape(zeros, shape if len(zeros) > 1 else 1)) * scales
    return torch.from_numpy(values.astype(np.float32))


def _operator(path: Path, model: Any, graph: Any, tflite: Any, number: int) -> _Operator:
    operator = graph.Operators(number)
    kind = _kind(model, operator, tflite)
    shape = graph.Tensors(operator.Outputs(0)).ShapeAsNumpy()
    size_hw = (int(shape[1]), int(shape[2])) if len(shape) == 4 else None
    inputs, output = [int(i) for i in operator.InputsAsNumpy()], int(operator.Outputs(0))
    names = {v: k for k, v in vars(tflite.ActivationFunctionType).items() if isinstance(v, int)}

    def options(table: Callable[[], Any]) -> Any:
        given, out = operator.BuiltinOptions(), table()
        out.Init(given.Bytes, given.Pos)
        return out

    if kind in _CONVOLUTIONS:
        depthwise = kind == "DEPTHWISE_CONV_2D"
        one = options(tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)
        weights = _weights(path, model, graph, tflite, operator)
        assert weights is not None
        return _Operator(
            kind, (inputs[0],), output, size_hw, *weights, one.StrideH(), one.DilationHFactor(),
            one.Padding() == tflite.Padding.SAME, names[one.FusedActivationFunction()],
        )  # fmt: skip
    if kind == "ADD":
        way = names[options(tflite.AddOptions).FusedActivationFunction()]
        return _Operator(kind, tuple(inputs), output, size_hw, activation=way)
    if kind == "CONCATENATION" and options(tflite.ConcatenationOptions).Axis() in (3, -1):
        return _Operator(kind, tuple(inputs), output, size_hw)
    if kind == "AVERAGE_POOL_2D" and size_hw == (1, 1):
        return _Operator(kind, (inputs[0],), output, size_hw)
    if kind == "RESIZE_BILINEAR":
        one = options(tflite.ResizeBilinearOptions)
        way = "corners" if one.AlignCorners() else "centres" if one.HalfPixelCenters() else ""
        return _Operator(kind, (inputs[0],), output, size_hw, resize=way)
    if kind in (*_UNCHANGED, "ARG_MAX"):
        return _Operator(kind, (inputs[0],), output, size_hw)
    raise InputError(f"{path} has the operator {kind}, which is not known here; give another file")
