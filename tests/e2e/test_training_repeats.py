"""Two hundred real steps of the recipe: the same seed gives the same curve, killed or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SHARED = Path(__file__).parents[3] / "shared"
BACKBONE = SHARED / "weights" / "mobilenet_v2_1.0_224_quant.tflite"
STEPS = 200


@pytest.mark.skipif(
    not BACKBONE.is_file() or not (SHARED / "data" / "msrc").is_dir(),
    reason="needs the data sets and the ImageNet backbone that lie beside the project",
)
def test_the_same_seed_gives_the_same_run_also_when_it_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("tflite", reason="the backbone is read with tflite: lexiseg[train]")
    from lexiseg.datasets import open_set
    from lexiseg.prompts import DEFAULT_BACKGROUND
    from lexiseg.training.tiny.losses import WordBank
    from lexiseg.training.tiny.pictures import Sampling, load_set
    from lexiseg.training.tiny.tflite import read_mobilenet
    from lexiseg.training.tiny.vision import VisionRecipe, train_vision

    sets = [
        load_set(open_set(SHARED / "data" / name, "train").first(40), 0.6)
        for name in ("msrc", "celebamask")
    ]
    words = list(dict.fromkeys([w for s in sets for w in s.classes] + list(DEFAULT_BACKGROUND)))
    rows = {s.name: torch.tensor([words.index(w) for w in s.classes]) for s in sets}
    generator = torch.Generator().manual_seed(0)
    meanings = F.normalize(torch.randn(2, len(words), 384, generator=generator), dim=-1)
    rest = torch.tensor([words.index(w) for w in DEFAULT_BACKGROUND])
    imagenet = torch.arange(1000) % len(words)
    alike = torch.eye(len(words)).bool()
    bank = WordBank(tuple(words), meanings, rows, rest, imagenet, alike)
    recipe = VisionRecipe(
        steps=STEPS,
        warmup=10,
        fall=60,
        save_every=50,
        sampling=Sampling(batch=2, sizes_hw=((64, 96), (96, 64)), points=128),
    )

    def train(name: str, stop_after: int | None = None) -> dict[str, torch.Tensor]:
        net = train_vision(
            sets, bank, read_mobilenet(BACKBONE), tmp_path / name, recipe, stop_after=stop_after
        )
        return net.state_dict()

    def losses(name: str) -> list[float]:
        lines = (tmp_path / name / "vision-log.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]

    whole, again = train("whole"), train("again")
    train("killed", stop_after=123)
    resumed = train("killed")
    assert len(losses("whole")) == STEPS
    assert losses("again") == losses("whole")
    assert losses("killed") == losses("whole")
    for name, value in whole.items():
        assert torch.equal(again[name], value), name
        assert torch.equal(resumed[name], value), name
    # It learns, though every step sees two small crops only: the last quarter against the first.
    quarter = STEPS // 4
    first, last = losses("whole")[:quarter], losses("whole")[-quarter:]
    assert sum(last) < 0.92 * sum(first)
