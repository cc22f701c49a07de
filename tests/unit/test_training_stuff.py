"""The teacher of stuff: what is kept of it, and where it is listened to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.training_data import word_bank
from torch import Tensor, nn

from lexiseg.errors import InputError, UnknownName
from lexiseg.training.tiny import stuff
from lexiseg.training.tiny.crops import CropSampling, PhotoStore, make_crops
from lexiseg.training.tiny.photos import ImageSet
from lexiseg.training.tiny.stuff import (
    STUFF_WORDS,
    StuffSampler,
    StuffSampling,
    read_teacher,
    teach,
)

CPU = torch.device("cpu")
HOW = StuffSampling(points=400, side=64, grid=8, min_confidence=0.6, set_confidence={"b": 0.95})
SKY, GRASS = STUFF_WORDS.index("sky"), STUFF_WORDS.index("grass")


class Halves(nn.Module):
    """Says "sky" by as much as there is red, else "grass"; class 0 gets 10 %."""

    def __init__(self, classes: int = 32) -> None:
        super().__init__()
        self.classes, self.calls = classes, 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.calls += 1
        red = F.avg_pool2d(pixels[:, 0], 4) / 255
        shares = torch.full((len(pixels), self.classes, *red.shape[-2:]), 1e-9)
        shares[:, 0], shares[:, 1 + SKY], shares[:, 1 + GRASS] = 0.1, 0.9 * red, 0.9 * (1 - red)
        return shares.log()


def test_another_network_is_no_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stuff, "read_graph", lambda path: Halves(21))
    with pytest.raises(InputError, match=r"voc\.tflite has 21 classes, not 32"):
        read_teacher("voc.tflite")
    monkeypatch.setattr(stuff, "read_graph", lambda path: Halves())
    assert isinstance(read_teacher("ade.tflite"), Halves)


def half_and_half(name: str, red: int = 255) -> ImageSet:
    """A photo of one red on the left and none on the right; the lower half is background, the
    upper half a class but for a strip that is unlabelled."""
    photo = np.zeros((60, 80, 3), np.uint8)
    photo[:, :40, 0] = red
    mask = np.ones((60, 80), np.uint8)
    mask[30:] = 0
    mask[:10] = 255
    return ImageSet(name, ("background", "dog"), 0, [photo], [mask], np.ones(1), {})


def test_answers_are_kept_and_those_of_the_photo(tmp_path: Path) -> None:
    store = PhotoStore([half_and_half("a"), half_and_half("b", 100)], CPU)
    teacher = Halves()
    made = teach(store, teacher, HOW, tmp_path, "key")
    assert made.shape == (2, 32, 8, 8)
    assert made[0, 1 + SKY, :, :3].min() >= 228  # 0.9 * 255
    assert made[0, 1 + GRASS, :, 5:].min() >= 228
    assert int(made[1, 1 + SKY, 0, 0]) == pytest.approx(0.9 * 100, abs=1)
    assert torch.equal(teach(store, teacher, HOW, tmp_path, "key"), made)
    assert teacher.calls == 1
    teach(store, teacher, HOW, tmp_path, "of other photos")
    teach(store, teacher, replace(HOW, grid=4), tmp_path, "key")
    assert teacher.calls == 3
    assert len(list(tmp_path.glob("*.uint8"))) == 3


def sampler(sets: list[ImageSet], folder: Path, how: StuffSampling = HOW) -> StuffSampler:
    store = PhotoStore(sets, CPU)
    answers = teach(store, Halves(), how, folder, "key")
    return StuffSampler(store, answers, word_bank(sets, stuff=STUFF_WORDS), how)


def test_points_count_where_the_set_names_nothing_and_the_teacher_is_sure(tmp_path: Path) -> None:
    """0.9 is sure enough for set "a", not for "b"; and by the crop's own colours, which are the
    photo's, also in a mirror and in parts of it."""
    sets = [half_and_half("a"), half_and_half("b")]
    store = PhotoStore(sets, CPU)
    one = sampler(sets, tmp_path)
    crops = make_crops(
        store, [1, 1],
        CropSampling(batch=12, sizes_hw=((48, 64),), short_sides=(50.0, 90.0), jitter=0, cast=0,
                     grey_share=0, blur_share=0, paste_share=0),
        np.random.default_rng(0),
    )  # fmt: skip
    assert {bool(f) for f in crops.flips} == {False, True}
    told = one.draw(crops, np.random.default_rng(1))
    assert told.wanted.shape == (12, 400, 31)
    checked = 0
    for b in range(12):
        column = ((told.points_xy[b, :, 0] + 1) / 2 * 64).long()
        row = ((told.points_xy[b, :, 1] + 1) / 2 * 48).long()
        labels, red = crops.labels[b, row, column], crops.pixels[b, 0, row, column]
        counts = told.weights[b] > 0
        if sets[int(crops.sets[b])].name == "b":
            assert not counts.any()
            continue
        assert not counts[labels == 1].any()
        left = F.avg_pool2d(crops.pixels[b : b + 1, 0], 17, 1, 8)[0, row, column] / 255
        for edge, word in ((left > 0.99, SKY), (left < 0.01, GRASS)):
            inside = edge & (labels != 1) & ((red > 200) | (red < 50))
            inside &= (row > 8) & (row < 40) & (column > 8) & (column < 56)
            assert counts[inside].all()
            assert (told.wanted[b, inside, word] > 0.95).all()
            torch.testing.assert_close(
                told.weights[b, inside], torch.full((int(inside.sum()),), 0.9), rtol=0, atol=0.02
            )
            checked += int(inside.sum())
    assert checked > 150
    torch.testing.assert_close(told.wanted.sum(-1), torch.ones(12, 400))


def test_what_is_pasted_is_not_the_teachers(tmp_path: Path) -> None:
    sets = [half_and_half("a")]
    crops = make_crops(
        PhotoStore(sets, CPU), [1],
        CropSampling(batch=3, sizes_hw=((48, 64),), short_sides=(50.0, 90.0), paste_share=0),
        np.random.default_rng(0),
    )  # fmt: skip
    one = sampler(sets, tmp_path)
    assert (one.draw(crops, np.random.default_rng(1)).weights > 0).any()
    covered = replace(crops, pasted=torch.ones_like(crops.pasted))
    assert not one.draw(covered, np.random.default_rng(1)).weights.any()


def test_words_near_the_teachers_do_not_compete_with_them(tmp_path: Path) -> None:
    """The set's own words do but for those that mean the same; its background never does."""
    sets = [replace(half_and_half("a"), classes=("background", "dog"))]
    store = PhotoStore(sets, CPU)
    bank = word_bank(sets, dim=128, stuff=STUFF_WORDS)
    dog = bank.words.index("dog")
    answers = teach(store, Halves(), HOW, tmp_path, "key")
    crops = make_crops(store, [1], CropSampling(batch=2, sizes_hw=((32, 64),)),
                       np.random.default_rng(0))  # fmt: skip
    rivals = StuffSampler(store, answers, bank, HOW).draw(crops, np.random.default_rng(0)).rivals
    assert {bank.words[int(r)] for r in torch.nonzero(rivals[0])} == {"dog", *STUFF_WORDS}
    bank.meanings[:, dog] = bank.meanings[:, bank.stuff[GRASS]]
    rivals = StuffSampler(store, answers, bank, HOW).draw(crops, np.random.default_rng(0)).rivals
    assert {bank.words[int(r)] for r in torch.nonzero(rivals[1])} == set(STUFF_WORDS)


def test_words_may_be_left_out_of_what_it_teaches(tmp_path: Path) -> None:
    sets = [half_and_half("a")]
    crops = make_crops(PhotoStore(sets, CPU), [1], CropSampling(batch=4, sizes_hw=((32, 64),)),
                       np.random.default_rng(0))  # fmt: skip
    told = sampler(sets, tmp_path, replace(HOW, skipped=("sky",))).draw(
        crops, np.random.default_rng(0)
    )
    counts = told.weights > 0
    assert counts.any()
    assert not told.wanted[..., SKY].any()
    assert (told.wanted[counts].argmax(-1) == GRASS).all()
    with pytest.raises(UnknownName, match="sky"):
        sampler(sets, tmp_path, replace(HOW, skipped=("skyy",)))
