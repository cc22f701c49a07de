"""Inception v3 against pytorch-fid's code, on seeded weights.

The golden file was made by ``tests/parity/golden/make_inception.py``, which names the commit.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.close import assert_close
from tests.inception_weights import pictures, seeded

from lexiseg.errors import CheckpointError, WeightsMissing
from lexiseg.models._inception import build, load_inception

GOLDEN = np.load(Path(__file__).parent / "golden" / "inception.npz")


def test_features_are_pytorch_fids(tmp_path: Path) -> None:
    state = seeded(build().state_dict())
    state["fc.weight"] = torch.zeros(1008, 2048)  # as the published file has
    path = tmp_path / "inception.pth"
    torch.save(state, path)
    model = load_inception(path)
    os.unlink(path)
    assert model.name == "inception.pth"
    assert len(model.sha256) == 64
    got = model.pooled(torch.from_numpy(pictures()))
    want = GOLDEN["features"]
    assert_close(got, want, 1e-4)
    # What pictures have in common is most of it; they differ as there, too.
    assert np.abs(want[0] - want[1]).max() > 0.1 * np.abs(want).max()
    assert_close(got[0] - got[1], want[0] - want[1], 1e-3)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"pt_inception-2015-12-05-6726825d\.pth"):
        load_inception(tmp_path / "gone.pth")
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="is not pytorch-fid's Inception"):
        load_inception(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="take its published file"):
        load_inception(path)
