"""Planes through features: words by hand, examples in a made world and against least squares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.models.tiny.linear_prompts import of_examples, of_words
from lexiseg.models.tiny.prompted import TinyPrompted

NOTHING = torch.empty(0, 8)


def unit(*values: int) -> Tensor:
    return F.normalize(sum(F.one_hot(torch.tensor(v), 8).float() for v in values), dim=0)


def field(rows: list[list[Tensor]]) -> Tensor:
    """(h, w, 8) of a list of rows."""
    return torch.stack([torch.stack(row) for row in rows])


def logits(plane: Tensor, features: Tensor) -> Tensor:
    return features @ plane[:-1] + plane[-1]


def test_a_words_plane_is_even_at_a_cosine_of_063() -> None:
    plane = of_words(unit(0)[None])[0]
    for cosine, wanted in ((0.63, 0.0), (1.0, 14 * 0.37), (0.0, -14 * 0.63)):
        place = cosine * unit(0) + (1 - cosine**2) ** 0.5 * unit(1)
        assert float(logits(plane, place)) == pytest.approx(wanted, abs=1e-5)


def test_inside_is_told_from_outside() -> None:
    """The thing looks like its surroundings but for one of three directions."""
    thing, ground = unit(0, 1, 2), unit(0, 1, 3)
    features = field([[thing, thing, ground], [ground, ground, ground]])
    inside = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    plane = of_examples([features], [inside], NOTHING)
    assert bool(((logits(plane, features) > 0) == (inside > 0)).all())
    # A cosine alone has the ground at two thirds of the thing's.
    assert float(logits(of_words(thing[None])[0], ground)) > 0


def test_words_that_mean_something_else_are_not_meant() -> None:
    features = field([[unit(0), unit(0, 5)], [unit(0, 6), unit(0)]])
    whole = torch.ones(2, 2)
    words = torch.stack([unit(0), unit(3), unit(4)])
    plane = of_examples([features], [whole], words)
    assert bool((logits(plane, features) > 0).all())
    assert bool((logits(plane, words[1:]) < 0).all())
    # The word that is like the examples took no part.
    torch.testing.assert_close(plane, of_examples([features], [whole], words[1:]))


def test_examples_with_nothing_beside_them_are_a_word() -> None:
    features = field([[unit(0), unit(0, 1)]])
    plane = of_examples([features], [torch.ones(1, 2)], NOTHING)
    torch.testing.assert_close(
        plane, of_words(F.normalize(unit(0) + unit(0, 1), dim=0)[None])[0], atol=1e-5, rtol=0
    )


def test_a_speck_is_where_it_covers_most() -> None:
    features = field([[unit(0), unit(1), unit(1)]])
    speck = torch.tensor([[0.02, 0.01, 0.0]])
    plane = of_examples([features], [speck], NOTHING)
    assert [bool(v > 0) for v in logits(plane, features)[0]] == [True, False, False]


def test_of_a_box_the_half_counts_that_is_unlike_its_outside() -> None:
    """Three of seven places in the box are ground, which as a mask it would say is meant."""
    ground, thing = unit(0, 1), unit(0, 2)
    row = [ground] * 5 + [thing] * 4 + [ground] * 11
    features = field([row])
    inside = torch.zeros(1, 20)
    inside[0, 4:11] = 1
    box = of_examples([features], [inside], NOTHING, [True])
    found = logits(box, features)[0] > 0
    assert found.tolist() == [False] * 5 + [True] * 4 + [False] * 11
    assert float(logits(of_examples([features], [inside], NOTHING), ground)) > float(
        logits(box, ground)
    )


def test_the_plane_is_that_of_a_weighted_ridge_regression() -> None:
    """Two examples of different sizes, against the normal equations over repeated rows."""
    rng = np.random.default_rng(0)
    fields, parts = [], []
    for h, w in ((3, 4), (5, 2)):
        fields.append(F.normalize(torch.from_numpy(rng.normal(size=(h, w, 8))).float(), dim=-1))
        parts.append(torch.from_numpy(rng.uniform(size=(h, w)) > 0.6).float())
    words = F.normalize(torch.from_numpy(rng.normal(size=(6, 8))).float(), dim=-1)
    got = of_examples(fields, parts, words)
    x = np.concatenate([f.reshape(-1, 8).numpy() for f in fields])
    y = np.concatenate([p.flatten().numpy() for p in parts]) > 0.5
    mean = x[y].mean(0)
    other = words.numpy()[words.numpy() @ (mean / np.linalg.norm(mean)) < 0.6]
    rows, target, weight = [], [], []
    for place, is_in in zip(x, y, strict=True):
        rows.append([*place, 1])
        target.append(1 if is_in else -1)
        weight.append(1 / y.sum() if is_in else 0.75 / (~y).sum())
    for word in other:
        rows.append([*word, 1])
        target.append(-1)
        weight.append(0.25 / len(other))
    a, root = np.array(rows), np.sqrt(np.array(weight))[:, None]
    # Least squares with the penalty as further rows.
    stacked = np.concatenate([a * root, np.sqrt(0.05) * np.eye(9)])
    aims = np.concatenate([np.array(target) * root[:, 0], np.zeros(9)])
    wanted = np.linalg.lstsq(stacked, aims, rcond=None)[0]
    wanted[-1] -= 0.1
    np.testing.assert_allclose(got.numpy(), 6.5 * wanted, atol=1e-4)


def test_the_bundled_model_on_pictures(random_tiny: Any) -> None:
    """Maps are products with planes, whatever the batch; examples agree with planes by hand."""
    model = TinyPrompted(random_tiny)
    rgb = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    seen = model.encode(rgb, side=64)
    assert seen.work_hw == (64, 90)
    planes = model.words(["red", "green", "blue"])
    maps = model.maps(seen, planes)
    assert maps.shape == (3, 16, 23)
    cosine = seen.value.features[0] @ random_tiny.text(["green"])[0]
    torch.testing.assert_close(maps[1], 14 * (cosine - 0.63), atol=1e-4, rtol=0)
    torch.testing.assert_close(model.maps(seen, planes[2:])[0], maps[2], atol=1e-5, rtol=0)
    mask = np.zeros((50, 70), np.bool_)
    mask[10:40, 20:50] = True
    small = TinyPrompted(random_tiny)
    small.side = 64
    words = random_tiny.text(list(random_tiny.known_words))
    for marked in (mask, mask ^ np.pad(mask[12:13, 22:23], ((12, 37), (22, 47)))):
        plane = small.examples([(rgb, marked)])
        inside = F.adaptive_avg_pool2d(torch.from_numpy(marked)[None].float(), (16, 23))[0]
        wanted = of_examples([seen.value.features[0]], [inside], words, [marked is mask])
        torch.testing.assert_close(plane, wanted, atol=1e-3, rtol=1e-3)
