"""What the TensorFlow Lite interpreter says of two drawn pictures: makes deeplab.npz.

    pip install ai-edge-litert==2.3.0 numpy
    python make_deeplab.py deeplabv3_mnv2_ade20k_int8.tflite

It needs the pictures of tests/unit/test_training_tflite.py (``drawn_view``), from which the
function is read without the test's imports.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

HERE = Path(__file__).parent
TEST = HERE.parents[1] / "unit" / "test_training_tflite.py"
LOGITS = 199  # the tensor before the last enlargement, (1, 128, 128, 32), 8 bits


def drawn_view() -> Any:
    tree = ast.parse(TEST.read_text("utf-8"))
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "drawn_view"]
    tree.body[0].returns = None  # type: ignore[attr-defined]
    space: dict[str, Any] = {"np": np}
    exec(compile(tree, str(TEST), "exec"), space)
    return space["drawn_view"]


def main() -> None:
    net = Interpreter(sys.argv[1], experimental_preserve_all_tensors=True)
    net.allocate_tensors()
    draw, out = drawn_view(), {}
    details = {one["index"]: one for one in net.get_tensor_details()}
    scale, zero = details[LOGITS]["quantization"]
    for number in range(2):
        net.set_tensor(net.get_input_details()[0]["index"], draw(number)[None])
        net.invoke()
        bits = net.get_tensor(LOGITS)[0].astype(np.int16) - zero
        out[f"view{number}"] = bits.transpose(2, 0, 1)[:, ::8, ::8]
    np.savez_compressed(HERE / "deeplab.npz", scale=np.float32(scale), **out)


if __name__ == "__main__":
    main()
