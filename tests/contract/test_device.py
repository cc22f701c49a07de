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
from tests import small_models
from tests.close import assert_close
from tests.device_double import DeviceDouble

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
# One of them is for the regions that lose their word, which are found on the host.
BUNDLED = {"clip-then-sam": 11, "clipseg": 2, "dense": 8, "dense/parts": 4, "sam-then-clip": 7}


@pytest.fixture
def double(colours: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceDouble]:
    """A GPU on which the contract tests' models stand: those that were drawn are watched too."""
    with DeviceDouble() as double:
        for name, load in small_models.loaders(colours, double.compute, double.on_gpu).items():
            monkeypatch.setattr(f"lexiseg.models.{name}", load)
        yield double


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
    found = waits(double, lexiseg.load(method, **small_models.settings(method)), stripes)
    assert found.total() <= CEILINGS[method], found.most_common()


def test_many_words_by_windows_cost_no_more(
    double: DeviceDouble, stripes: NDArray[np.uint8]
) -> None:
    picture = np.kron(stripes, np.ones((5, 5, 1), np.uint8))
    words = tuple(f"word {i}" for i in range(60))
    seg = lexiseg.load("dense", encoder="clip-deep", window=112, stride=64, templates="plain")
    found = waits(double, seg, picture, words, background=None)
    assert found.total() <= CEILINGS["dense"], found.most_common()


@pytest.mark.parametrize("case", sorted(BUNDLED))
def test_the_bundled_model_too(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, words = imaging.read(PHOTO).rgb[::3, ::3].copy(), ("car", "road", "sky")
    method, _, instances = case.partition("/")
    settings = {"encoder": "tiny", **small_models.settings(method)}
    settings |= {"instances": instances} if instances else {}
    here = lexiseg.load(method, device="cpu", dtype="fp32", **settings)(picture, words)
    with DeviceDouble() as double:
        monkeypatch.setattr("lexiseg.models.pick", lambda *_, **__: double.compute)
        seg = lexiseg.load(method, **settings)
        found = waits(double, seg, picture, words)
        there = seg(picture, words)
    assert found.total() <= BUNDLED[case], found.most_common()
    assert there.provenance.device == "cuda:0"
    assert np.mean(there.semantic() == here.semantic()) >= 0.999
    assert_close(there.word_scores, here.word_scores, 1e-3)
