"""TensorFlow Lite files of a few layers, built with flatbuffers by the schema's functions.

Field numbers are those of TensorFlow Lite's schema.fbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

__all__ = ["Writer"]

# Operator -> its table of options.
_OPTIONS = {
    "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "ADD": "AddOptions", "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions", "RESIZE_BILINEAR": "ResizeBilinearOptions",
}  # fmt: skip


class Writer:
    """A graph that is put together tensor by tensor and operator by operator.

    entry, result: the numbers of the graph's first and last tensor.
    """

    def __init__(self) -> None:
        self.b = flatbuffers.Builder(1 << 22)
        self.entry = self.result = 0
        self._buffers: list[int] = []
        self._tensors: list[int] = []
        self._operators: list[int] = []
        self._kinds = ["CONV_2D", "DEPTHWISE_CONV_2D"]

    def tensor(
        self, values: NDArray[np.generic], scale: Any, zero: Any, kind: int, channel: int = 0
    ) -> int:
        """Add a tensor with its values, a scale for it or for each channel; return its number."""
        data = self._vector(np.frombuffer(values.tobytes(), np.uint8))
        self._buffers.append(self._table(1, {0: ("offset", data)}))
        return self._add(values.shape, scale, zero, kind, channel, len(self._buffers))

    def shape(self, shape: Sequence[int], scale: float, zero: int, kind: int) -> int:
        """Add a tensor that is computed; return its number."""
        return self._add(shape, scale, zero, kind, 0, 0)

    def convolution(self, weight: int, bias: int, depthwise: bool) -> None:
        """Add a convolution without options, of which only the weights can be read."""
        inputs = self._vector(np.array([0, weight, bias], np.int32))
        code = ("uint", int(depthwise))
        self._operators.append(self._table(9, {0: code, 1: ("offset", inputs)}))

    def operator(self, kind: str, inputs: list[int], output: int, **options: int) -> None:
        """Add an operator, by its name and options in the schema."""
        if kind not in self._kinds:
            self._kinds.append(kind)
        fields = {0: ("uint", self._kinds.index(kind))}
        if kind in _OPTIONS:
            table = _OPTIONS[kind]
            getattr(tflite, f"{table}Start")(self.b)
            for name, value in options.items():
                getattr(tflite, f"{table}Add{name}")(self.b, value)
            made = getattr(tflite, f"{table}End")(self.b)
            fields |= {3: ("byte", getattr(tflite.BuiltinOptions, table)), 4: ("offset", made)}
        fields[1] = ("offset", self._vector(np.array(inputs, np.int32)))
        fields[2] = ("offset", self._vector(np.array([output], np.int32)))
        self._operators.append(self._table(9, fields))

    def write(self, path: Path) -> Path:
        """Write the file and return its path; the writer is used up."""
        ends = [self._vector(np.array([n], np.int32)) for n in (self.entry, self.result)]
        graph = self._table(
            5,
            {
                0: ("offset", self._offsets(self._tensors)), 1: ("offset", ends[0]),
                2: ("offset", ends[1]), 3: ("offset", self._offsets(self._operators)),
            },
        )  # fmt: skip
        numbers = [getattr(tflite.BuiltinOperator, kind) for kind in self._kinds]
        codes = [self._table(4, {0: ("byte", min(n, 127)), 3: ("int", n)}) for n in numbers]
        empty = self._table(1, {})  # buffer 0 is empty by convention
        model = self._table(
            8,
            {
                0: ("uint", 3), 1: ("offset", self._offsets(codes)),
                2: ("offset", self._offsets([graph])),
                4: ("offset", self._offsets([empty, *self._buffers])),
            },
        )  # fmt: skip
        self.b.Finish(model, b"TFL3")
        path.write_bytes(bytes(self.b.Output()))
        return path

    def _add(
        self, shape: Sequence[int], scale: Any, zero: Any, kind: int, channel: int, buffer: int
    ) -> int:
        quantization = self._table(
            7,
            {
                2: ("offset", self._vector(np.atleast_1d(np.array(scale, np.float32)))),
                3: ("offset", self._vector(np.atleast_1d(np.array(zero, np.int64)))),
                6: ("int", channel),
            },
        )
        size = self._vector(np.array(shape, np.int32))
        fields = {
            0: ("offset", size), 1: ("byte", kind), 2: ("uint", buffer),
            4: ("offset", quantization),
        }  # fmt: skip
        self._tensors.append(self._table(5, fields))
        return len(self._tensors) - 1

    def _vector(self, values: NDArray[np.generic]) -> int:
        return int(self.b.CreateNumpyVector(values))

    def _offsets(self, rows: list[int]) -> int:
        self.b.StartVector(4, len(rows), 4)
        for row in reversed(rows):
            self.b.PrependUOffsetTRelative(row)
        return int(self.b.EndVector())

    def _table(self, count: int, fields: dict[int, tuple[str, int]]) -> int:
        """A table of ``count`` fields, given as number -> (kind, value)."""
        self.b.StartObject(count)
        for number, (kind, value) in fields.items():
            if kind == "offset":
                self.b.PrependUOffsetTRelativeSlot(number, value, 0)
            elif kind == "uint":
                self.b.PrependUint32Slot(number, value, 0)
            elif kind == "int":
                self.b.PrependInt32Slot(number, value, 0)
            else:
                self.b.PrependInt8Slot(number, value, 0)
        return int(self.b.EndObject())
