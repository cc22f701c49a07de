"""Run pytorch-fid's Inception on seeded weights; keep the features.

    python -m tests.parity.golden.make_inception FOLDER

FOLDER is a checkout of mseitzer/pytorch-fid; torchvision's net is importable.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import torch
from tests.inception_weights import pictures, seeded

COMMIT = "b9c1811"


def main(root: Path) -> None:
    library = torch.library.Library("torchvision", "DEF")  # of builds without their operators
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    path = root / "src" / "pytorch_fid" / "inception.py"
    spec = importlib.util.spec_from_file_location("pytorch_fid_inception", path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    real = torch.nn.Module.load_state_dict

    def load(self: torch.nn.Module, *_: object, **__: object) -> object:
        return real(self, seeded(self.state_dict()))

    code.load_state_dict_from_url = lambda *_, **__: {}
    torch.nn.Module.load_state_dict = load  # type: ignore[method-assign, assignment]
    net = code.InceptionV3([code.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()
    pixels = torch.from_numpy(pictures()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        features = net(pixels)[0][:, :, 0, 0].numpy()
    print(features.mean(), features.std(), np.corrcoef(features)[0, 1])
    np.savez_compressed(
        Path(__file__).parent / "inception.npz", features=features, commit=np.array(COMMIT)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
