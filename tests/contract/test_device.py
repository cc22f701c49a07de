"""Every method with its models on a GPU, which a double stands in for: tensors meet on one device,
and how often a picture makes the host wait for it has a ceiling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.boxes import ColourBoxes
from tests.conftest import ColourPrompted
from tests.device_double import DeviceDouble
from tests.flood import FloodMasker
from tests.parity import test_proxies_official

import lexiseg
from lexiseg import imaging, loading

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"
WORDS = ("blue", "red", "green", "yellow")
# Method -> synchronisations a picture, of a second call. They may only fall.
CEILINGS = {
    "clip-then-sam": 10, "clipseg": 2, "dense": 3, "grounded": 8, "proxy-clip": 3, "resclip": 3,
    "sam-then-clip": 7, "sam3": 5, "trident": 3,
}  # fmt: skip
# The same of methods with the bundled model, whose own work is counted too, on a photo.
BUNDLED = {"clip-then-sam": 10, "clipseg": 2, "dense": 3, "sam-then-clip": 7}


@pytest.fixture
def double(colours: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceDouble]:
    """A GPU on which the contract tests' models stand: those that were drawn are watched too."""
    from tests import proxy_weights
    from tests.parity.golden.make_proxies import deep_weights
    from tests.parity.golden.make_windows import weights

    from lexiseg.models.sam.trunk import SamTrunk, trunk_of

    with DeviceDouble() as double:
        monkeypatch.setattr(test_proxies_official, "pick", lambda *_: double.compute)
        models = {
            "load_encoder": double.on_gpu(colours),
            "load_masker": double.on_gpu(FloodMasker()),
            "load_prompted": double.on_gpu(ColourPrompted(colours)),
            "load_detector": double.on_gpu(ColourBoxes()),
            "load_proxy": test_proxies_official.dino(16),
            "load_attention_source": SamTrunk(
                trunk_of(proxy_weights.sam_state(side=16)), double.compute, name="drawn"
            ),
        }
        clips = {
            "clip-vit-b16.openai": test_proxies_official.clip(weights()),
            "clip-deep": test_proxies_official.clip(deep_weights()),
        }

        def load_encoder(name: str, **_: Any) -> Any:
            return clips.get(name) or models["load_encoder"]

        for name, model in models.items():
            monkeypatch.setattr(f"lexiseg.models.{name}", lambda *_, model=model, **__: model)
        monkeypatch.setattr("lexiseg.models.load_encoder", load_encoder)
        yield double


def settings(method: str) -> dict[str, Any]:
    """Small, where a method can be."""
    fields = loading.config_class(method).__dataclass_fields__
    small: dict[str, Any] = {"short_side": 96, "points_per_side": 6}
    if str(fields["encoder"].default if "encoder" in fields else "").startswith("clip-"):
        small |= {"window": 112, "stride": 48, "templates": "plain"}
    if method == "resclip":
        small |= {"encoder": "clip-deep", "background": ("nothing",)}  # it reads ten blocks
    return {name: value for name, value in small.items() if name in fields}


def waits(
    double: DeviceDouble,
    seg: Any,
    picture: NDArray[np.uint8],
    words: tuple[str, ...] = WORDS,
    **more: Any,
) -> Counter[str]:
    """What a second call waits for, by operation and line of lexiseg."""
    seg(picture, words, **more)
    with double.counting() as found:
        out = seg(picture, words, **more)
    assert out.found
    return Counter(f"{wait.operation} {wait.where}" for wait in found)


@pytest.mark.parametrize("method", [m.name for m in loading.list_methods()])
def test_synchronisations_have_a_ceiling(
    double: DeviceDouble, stripes: NDArray[np.uint8], method: str
) -> None:
    found = waits(double, lexiseg.load(method, **settings(method)), stripes)
    assert found.total() <= CEILINGS[method], found.most_common()


def test_many_words_by_windows_cost_no_more(
    double: DeviceDouble, stripes: NDArray[np.uint8]
) -> None:
    picture = np.kron(stripes, np.ones((5, 5, 1), np.uint8))
    words = tuple(f"word {i}" for i in range(60))
    seg = lexiseg.load("dense", encoder="clip-deep", window=112, stride=64, templates="plain")
    found = waits(double, seg, picture, words, background=None)
    assert found.total() <= CEILINGS["dense"], found.most_common()


@pytest.mark.parametrize("method", sorted(BUNDLED))
def test_the_bundled_model_too(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = imaging.read(PHOTO).rgb[::3, ::3].copy()
    with DeviceDouble() as double:
        monkeypatch.setattr("lexiseg.models.pick", lambda *_, **__: double.compute)
        seg = lexiseg.load(method, encoder="tiny", **settings(method))
        found = waits(double, seg, picture, ("car", "road", "sky"))
        assert found.total() <= BUNDLED[method], found.most_common()
