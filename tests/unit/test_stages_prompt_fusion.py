"""Maps of several prompts into one, and words that compete with nothing."""

from __future__ import annotations

import math

import pytest
import torch

from lexiseg.errors import UnknownName
from lexiseg.stages.prompt_fusion import compete, fuse


def maps() -> torch.Tensor:
    return torch.tensor([[[2.0, -1.0, 0.0]], [[-2.0, 3.0, 0.0]], [[1.0, 1.0, -3.0]]])


def test_max_and_mean() -> None:
    vectors = torch.eye(3)
    assert fuse(maps(), vectors, "max").tolist() == [[2.0, 3.0, 0.0]]
    torch.testing.assert_close(fuse(maps(), vectors, "mean"), torch.tensor([[1 / 3, 1.0, -1.0]]))
    assert fuse(maps()[:1], vectors[:1], "attention").tolist() == maps()[0].tolist()
    with pytest.raises(UnknownName, match="way to fuse"):
        fuse(maps(), vectors, "median")


def test_attention_against_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 5, generator=generator) * 2
    vectors = torch.randn(4, 6, generator=generator)
    got = fuse(logits, vectors, "attention")
    for y in range(3):
        for x in range(5):
            weights = []
            for i in range(4):
                cosines = [
                    float(torch.cosine_similarity(vectors[i], vectors[j], dim=0))
                    for j in range(4)
                    if j != i
                ]
                weights.append(math.exp(float(logits[i, y, x]) + 10 * sum(cosines) / 3))
            wanted = sum(w * float(logits[i, y, x]) for i, w in enumerate(weights)) / sum(weights)
            assert float(got[y, x]) == pytest.approx(wanted, abs=1e-4)


def test_attention_passes_over_a_phrase_that_means_something_else() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]])
    logits = torch.tensor([[[2.0]], [[2.0]], [[2.5]]])
    assert float(fuse(logits, vectors, "attention")) == pytest.approx(2.0, abs=1e-3)


def test_a_word_alone_has_the_sigmoid_of_its_map() -> None:
    logits = torch.tensor([[[-3.0, 0.0, 2.0]], [[9.0, 9.0, 9.0]]])  # the second is nothing's place
    out = compete(logits, 1, 0.5)
    torch.testing.assert_close(out[0], torch.sigmoid(logits[0]))
    torch.testing.assert_close(out.sum(0), torch.ones(1, 3))


@pytest.mark.parametrize("cutoff", [0.3, 0.5, 0.8])
def test_the_winner_is_the_highest_map_that_passes_the_cutoff(cutoff: float) -> None:
    logits = 3 * torch.randn(4, 6, 7, generator=torch.Generator().manual_seed(1))
    out = compete(torch.cat([logits, torch.zeros(1, 6, 7)]), 4, cutoff).argmax(0)
    best, owner = logits.sigmoid().max(0)
    wanted = torch.where(best > cutoff, owner, 4)
    assert torch.equal(out, wanted)
    assert set(wanted.unique().tolist()) == {0, 1, 2, 3, 4}


def test_background_words_add_to_nothing() -> None:
    logits, rest = torch.zeros(2, 1, 1), torch.zeros(3, 1, 1)
    # One word against nothing and three background words, all with odds of 1.
    assert float(compete(logits, 1, 0.5, rest)[0]) == pytest.approx(1 / 5)


def test_a_closed_vocabulary_shares_all() -> None:
    out = compete(torch.tensor([[[-5.0]], [[-6.0]]]), None, 0.5)
    assert float(out.sum()) == pytest.approx(1)
    assert int(out.argmax(0)) == 0
    assert float(compete(torch.tensor([[[-50.0]]]), None, 0.5)) == 1.0
