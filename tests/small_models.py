"""Small models for every method: of colours, drawn ones, and what a test wraps around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from tests import proxy_weights
from tests.boxes import ColourBoxes
from tests.conftest import ColourPrompted
from tests.flood import FloodMasker
from tests.parity import test_proxies_official
from tests.parity.golden.make_proxies import deep_weights
from tests.parity.golden.make_windows import weights

from lexiseg import loading
from lexiseg.device import Compute
from lexiseg.models.sam.trunk import SamTrunk, trunk_of

__all__ = ["loaders", "settings"]


def loaders(
    colours: Any, compute: Compute, wrap: Callable[[Any], Any]
) -> dict[str, Callable[..., Any]]:
    """Names of functions of ``lexiseg.models`` -> what stands in for them.

    Drawn nets are built on the device. wrap: puts a model that knows colours alone on it.
    """
    with patch.object(test_proxies_official, "pick", lambda *_: compute):
        encoders = {
            "clip-vit-b16.openai": test_proxies_official.clip(weights()),
            "clip-deep": test_proxies_official.clip(deep_weights()),
        }
        proxy = test_proxies_official.dino(16)
    trunk = SamTrunk(trunk_of(proxy_weights.sam_state(side=16)), compute, name="drawn")
    encoder = wrap(colours)
    models = {
        "load_masker": wrap(FloodMasker()),
        "load_prompted": wrap(ColourPrompted(colours)),
        "load_detector": wrap(ColourBoxes()),
        "load_proxy": proxy,
        "load_attention_source": trunk,
    }

    def load_encoder(name: str, *_: Any, **__: Any) -> Any:
        return encoders.get(name, encoder)

    return {
        "load_encoder": load_encoder,
        "load_own_masker": lambda *_: None,
        **{name: lambda *_, model=model, **__: model for name, model in models.items()},
    }


def settings(method: str) -> dict[str, Any]:
    """Settings with which a method suits small pictures and these models."""
    fields = loading.config_class(method).__dataclass_fields__
    small: dict[str, Any] = {"short_side": 96, "points_per_side": 6}
    if str(fields["encoder"].default if "encoder" in fields else "").startswith("clip-"):
        small |= {"window": 112, "stride": 48, "templates": "plain"}
    if method == "resclip":
        small |= {"encoder": "clip-deep", "background": ("nothing",)}  # it reads ten blocks
    return {name: value for name, value in small.items() if name in fields}
