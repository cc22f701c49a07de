"""Which words compete on a photo: its own, some of them, and words that are queried in vain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.device_double import GPU, DeviceDouble

from lexiseg.datasets import SemanticDataset
from lexiseg.training.tiny.negatives import NegativeSampling, find_negatives
from lexiseg.training.tiny.photos import ABSENT
from lexiseg.training.tiny.queries import QuerySampler
from lexiseg.training.tiny.words import SetWords, WordBank

NAMES = ("background", "dog", "cat", "car", "puppy", "hat", "lamp", "nose", "grass", "person",
         "wall")  # fmt: skip
HOW = NegativeSampling(
    stuff_sets=("stuff",), body_sets=("faces",), body_words=("person",),
    living_words=("dog", "cat"), possible={"street": ("cat",)}, max_fraction=1.0,
)  # fmt: skip


def made_set(name: str, classes: Sequence[str], background: int | None = 0) -> SemanticDataset:
    return SemanticDataset(name, name, "train", tuple(classes), background, 255, ())


SETS = [
    made_set("pets", ["background", "dog", "cat"]),
    made_set("street", ["background", "car", "puppy", "hat", "lamp"]),
    made_set("faces", ["background", "nose"]),
    made_set("stuff", ["grass", "dog"], None),
    made_set(ABSENT, ["background", "person"]),
    made_set("bare", [], None),
]


def bank() -> WordBank:
    """Meanings of a basis: near words share a direction."""
    meanings = torch.eye(len(NAMES))
    meanings[4] = F.normalize(meanings[1] + meanings[4], dim=0)  # "puppy": 0.71 to "dog"
    meanings[6] = F.normalize(meanings[6] + meanings[10], dim=0)  # "lamp", to "wall"
    rows = [torch.tensor([NAMES.index(n) for n in one.classes], dtype=torch.long) for one in SETS]
    return WordBank(
        NAMES, meanings[None],
        tuple(SetWords(r, one.background_index) for r, one in zip(rows, SETS, strict=True)),
        torch.tensor([0, NAMES.index("wall")]), torch.tensor([], dtype=torch.long),
        meanings @ meanings.T > 0.85, torch.tensor([], dtype=torch.long), 10,
    )  # fmt: skip


def test_words_are_queried_in_vain_where_they_cannot_be() -> None:
    found = find_negatives(bank(), SETS, HOW)

    def words(number: int, living: bool) -> set[str]:
        rows = found.candidates[number] & ~(found.bodies & living)
        return {NAMES[int(r)] for r in torch.nonzero(rows)}

    # No puppy (near dog), no lamp (near the background's wall), no grass (stuff), and, where a
    # dog is, no nose.
    assert words(0, False) == {"car", "hat", "nose"}
    assert words(0, True) == {"car", "hat"}
    assert words(1, False) == {"nose"}  # dog is near puppy, a cat is possible
    assert words(2, False) == {"dog", "cat", "car", "puppy", "hat"}
    assert words(4, False) == words(5, False) == set()
    assert torch.nonzero(found.living).tolist() == [[0, 1], [0, 2], [3, 1]]


def test_what_is_right_follows_from_what_competes() -> None:
    """On each photo, by hand: a label whose word competes is that word, another one is the
    background where there is one, else unknown; 255 is unknown."""
    sampler = QuerySampler(bank(), SETS, HOW, subset_share=0.5)
    numbers = torch.tensor([0, 1, 2, 3, 4, 5] * 40)
    labels = torch.randint(3, (240, 9), generator=torch.Generator().manual_seed(0))
    labels = torch.minimum(
        labels, torch.tensor([len(SETS[s].classes) - 1 for s in numbers])[:, None]
    )
    labels[:, 0] = 255
    labels[numbers == 5] = 255
    made = sampler.draw(numbers, labels, np.random.default_rng(1))
    parts = 0
    for b, s in enumerate(numbers.tolist()):
        one = SETS[s]
        words = {NAMES[int(r)] for r in torch.nonzero(made.words[b])}
        own = {c for c in one.classes if c != "background"}
        part = words & own
        assert bool(part) == bool(own)
        parts += part != own
        # A closed set is open where only a part of its words competes.
        is_open = bool(made.background[b])
        assert is_open if one.background_index is not None or part != own else True
        for label, target in zip(labels[b].tolist(), made.targets[b].tolist(), strict=True):
            name = None if label == 255 else one.classes[label]
            if name in part:
                assert NAMES[target] == name
            else:
                assert target == (10 if name is not None and is_open else -1)
    assert 15 < parts < 110
    assert not made.words[numbers == 5].any()
    assert not made.background[numbers == 5].any()


def test_negatives_come_with_their_share_and_not_where_something_lives() -> None:
    sampler = QuerySampler(bank(), SETS, HOW, subset_share=0.0)
    numbers = torch.zeros(600, dtype=torch.long)
    labels = torch.zeros(600, 4, dtype=torch.long)
    labels[300:, 2] = 1  # dogs
    made = sampler.draw(numbers, labels, np.random.default_rng(0))
    vain = made.words.clone()
    vain[:, [1, 2]] = False
    assert {NAMES[int(r)] for r in torch.nonzero(vain.any(0))} == {"car", "hat", "nose"}
    assert not vain[300:, NAMES.index("nose")].any()
    # With 3 words and a fraction even in [0, 1], a photo has none in a quarter of the cases.
    assert float(vain[:300].any(1).float().mean()) == pytest.approx(0.6 * 0.75, abs=0.08)
    assert made.words[:, [1, 2]].all()


def test_queries_are_drawn_on_the_device_without_waiting_for_it() -> None:
    numbers, labels = torch.tensor([0, 1, 3]), torch.tensor([[0, 1], [2, 255], [1, 0]])
    here = QuerySampler(bank(), SETS, HOW, 0.5).draw(numbers, labels, np.random.default_rng(0))
    with DeviceDouble() as double:
        sampler = QuerySampler(bank(), SETS, HOW, 0.5, GPU)
        there = (numbers.to(GPU), labels.to(GPU))
        with double.counting() as waits:
            made = sampler.draw(*there, np.random.default_rng(0))
        assert made.words.device == made.targets.device == GPU
        assert not waits
        assert torch.equal(made.words.cpu(), here.words)
        assert torch.equal(made.targets.cpu(), here.targets)
