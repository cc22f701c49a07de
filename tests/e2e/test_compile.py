"""``compile=True`` of methods with a mask model: the same masks, by compiled code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import lexiseg
from lexiseg import imaging
from lexiseg.device import pick
from lexiseg.errors import OptionError

# torch's compiler says so of itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"


@pytest.mark.slow
def test_a_compiled_masker_draws_the_same_masks() -> None:
    try:
        pick("cpu", "fp32", compile=True)
    except OptionError as error:
        pytest.skip(str(error))
    from torch._dynamo.utils import counters

    rgb = imaging.read(PHOTO).rgb[:210, :290]
    where = {"device": "cpu", "dtype": "fp32"}
    points = [(60, 100), (200, 150)]
    plain = lexiseg.load("clip-then-sam", **where)(rgb, points=points)
    before = counters["stats"]["unique_graphs"]
    compiled = lexiseg.load("clip-then-sam", compile=True, **where)
    fast = compiled(rgb, points=points)
    assert counters["stats"]["unique_graphs"] > before
    assert len(plain) == len(fast) > 0
    np.testing.assert_allclose(plain.quality, fast.quality, atol=1e-4)
    assert (np.diag(plain.masks.iou(fast.masks)) >= 0.999).all()
    # Another number of prompts does not compile again.
    before = counters["stats"]["unique_graphs"]
    with torch.compiler.set_stance("fail_on_recompile"):
        compiled(rgb, points=[*points, (20, 30)])
    assert counters["stats"]["unique_graphs"] == before
