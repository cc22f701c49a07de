"""``compile=True`` of mask models: the same masks, by compiled code, or a plain word why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests import sam_weights
from tests.close import assert_close

import lexiseg
from lexiseg import device, imaging
from lexiseg.errors import OptionError
from lexiseg.models import load_masker
from lexiseg.protocols import LoadOptions, MaskPrompts

# torch's compiler says so of itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"


def clicks(count: int) -> MaskPrompts:
    places = np.random.default_rng(count).random((count, 1, 2)) * [290, 210]
    points = torch.from_numpy(places.astype(np.float32))
    return MaskPrompts(points, torch.ones(count, 1, dtype=torch.long))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_compiled_masker_draws_the_same_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder's C++, which takes a minute and more to compile, is left out."""
    real = torch.nn.Module.compile

    def compile_but_the_decoder(net: torch.nn.Module, *, dynamic: bool | None) -> None:
        real(net, dynamic=dynamic, backend="aot_eager" if dynamic else "inductor")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_but_the_decoder)
    folder = sam_weights.published_folder(tmp_path)
    try:
        compiled = load_masker(folder, LoadOptions(device="cpu", dtype="fp32"), compile=True)
    except OptionError as error:
        pytest.skip(str(error))
    from torch._dynamo.utils import counters

    plain = load_masker(folder, LoadOptions(device="cpu", dtype="fp32"))
    rgb = imaging.read(PHOTO).rgb[:210, :290]
    before = counters["stats"]["unique_graphs"]
    states = plain.encode(rgb), compiled.encode(rgb)
    want, got = (
        one.decode(state, clicks(9)) for one, state in zip((plain, compiled), states, strict=True)
    )
    assert counters["stats"]["unique_graphs"] >= before + 2  # encoder and decoder
    assert_close(got.logits, want.logits)
    assert_close(got.quality, want.quality)
    # Other numbers of prompts do not compile again.
    with torch.compiler.set_stance("fail_on_recompile"):
        few = compiled.decode(states[1], clicks(5))
    assert_close(few.logits, plain.decode(states[0], clicks(5)).logits)


@pytest.mark.parametrize("method", ["clip-then-sam", "sam-then-clip"])
def test_the_setting_reaches_the_masker(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled one says that it cannot be compiled."""
    monkeypatch.setattr(device, "check_compiling", lambda _: None)
    with pytest.raises(OptionError, match="'tiny' cannot be compiled; leave compile off"):
        lexiseg.load(method, compile=True)
