"""The text tower's training in miniature: WordNet, the corpus, tokens, runs that go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.training_data import sentence_encoder, write_wordnet
from torch import Tensor

from lexiseg.errors import InputError, OptionError
from lexiseg.models.tiny.text import TextConfig, TextTower, tokenise
from lexiseg.training.tiny import text
from lexiseg.training.tiny.corpus import Corpus, build_corpus, common_words, expand_label
from lexiseg.training.tiny.text import TextRecipe, train_text
from lexiseg.training.wordnet import Nouns

TOWER = TextConfig(
    vocab_size=120, token_dim=8, dim=16, layers=1, heads=2, mlp=24, max_tokens=8, out_dim=20
)


def test_label_names_are_read_as_phrases() -> None:
    assert expand_label("diningtable") == "dining table"
    assert expand_label("Traffic_Light") == "traffic light"
    assert expand_label("tv") == "television"
    assert expand_label("dog") == "dog"


# WordNet


def test_lemmas_are_read_in_their_most_usual_sense_as_a_thing(tmp_path: Path) -> None:
    lemmas = {lemma.text: lemma for lemma in Nouns(write_wordnet(tmp_path)).lemmas()}
    # No digits, no four words, no proper names.
    assert list(lemmas) == ["cow", "dog", "domestic dog", "idea", "moo-cow", "puppy"]
    assert lemmas["cow"].sense == 3000  # the first sense is an idea, the second a thing
    assert lemmas["cow"].synonyms == ("moo-cow",)
    assert lemmas["dog"].sense == 2000
    assert lemmas["dog"].synonyms == ("domestic dog",)
    assert lemmas["idea"].sense == 4000  # never a thing: its first sense
    assert not lemmas["idea"].is_thing
    assert (lemmas["dog"].tagged_senses, lemmas["domestic dog"].tagged_senses) == (2, 0)


def test_a_missing_wordnet_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wordnet-base"):
        Nouns(tmp_path)


# The corpus


def corpus_of(names: Sequence[str], folder: Path) -> Corpus:
    lemmas = Nouns(write_wordnet(folder)).lemmas()
    return build_corpus(names, lemmas, 40, 0, sentence_encoder)


def test_targets_lie_between_a_lemma_and_its_synonyms(tmp_path: Path) -> None:
    names = ["Cow", "diningtable", "sky"]
    corpus = corpus_of(names, tmp_path)
    assert corpus.texts[:3] == ["cow", "diningtable", "sky"]
    assert corpus.num_names == 3
    assert len(corpus.texts) == len(corpus.targets) == len(corpus.kinds) == 3 + 6 + 40
    torch.testing.assert_close(corpus.targets.norm(dim=-1), torch.ones(49))
    row = corpus.texts.index("moo-cow")
    both = F.normalize(sentence_encoder(["moo-cow"])[0] + sentence_encoder(["cow"])[0], dim=0)
    torch.testing.assert_close(corpus.targets[row], both)
    torch.testing.assert_close(corpus.targets[0], corpus.targets[corpus.texts.index("cow", 3)])
    torch.testing.assert_close(corpus.targets[1], sentence_encoder(["dining table"])[0])
    torch.testing.assert_close(corpus.targets[9:], sentence_encoder(corpus.texts[9:]))
    assert corpus_of(names, tmp_path).texts == corpus.texts


def test_words_of_names_and_things_are_tokens_of_their_own(tmp_path: Path) -> None:
    whole = common_words(["Traffic light"], Nouns(write_wordnet(tmp_path)).lemmas())
    assert {"traffic", "light", "cow", "dog", "puppy", "photo", "wooden"} <= set(whole)
    assert "moo" not in whole  # once only, in a compound that nobody says
    corpus = corpus_of(["Traffic light"], tmp_path)
    tokenizer = text.make_tokenizer(corpus, whole, 60)
    assert tokenizer.encode("Traffic light").tokens == ["traffic", "light"]
    assert "[UNK]" not in tokenizer.encode("moo").tokens
    assert tokenizer.token_to_id("[UNK]") == 0
    # Before any training, a word of its own means what its target says, as far as dimensions go.
    tower = TextTower(replace(TOWER, vocab_size=tokenizer.get_vocab_size(), token_dim=20)).eval()
    views = sentence_encoder([piece.removeprefix("##") for piece in text.pieces_of(tokenizer)])
    text.start_from_teacher(tower, tokenizer, corpus, views)
    meanings = tower(*tokenise(tokenizer, ["puppy", "cow"]))
    targets = corpus.targets[[corpus.texts.index("puppy"), corpus.texts.index("cow")]]
    torch.testing.assert_close(meanings, targets, atol=1e-4, rtol=0)


# Runs


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_text_tower_that_is_killed_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_wordnet(tmp_path / "wordnet")
    recipe = TextRecipe(
        steps=6, batch=24, warmup_steps=2, num_phrases=60, chunks=2, save_every=2,
        wordnet=str(folder),
    )  # fmt: skip
    names, asked = ["cow", "dog", "sky"], []

    def teacher(texts: Sequence[str]) -> Tensor:
        asked.append(len(texts))
        return sentence_encoder(texts)

    def train(name: str) -> TextTower:
        return train_text(names, tmp_path / name, recipe, TOWER, teacher=teacher)[0]

    whole = train("whole").state_dict()
    vary, calls = text.vary, [0]

    def dies(one: str, rng: object) -> str:
        calls[0] += 1
        if calls[0] > 5 * recipe.batch:
            raise KeyboardInterrupt
        return vary(one, rng)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(text, "vary", dies)
        with pytest.raises(KeyboardInterrupt):
            train("killed")
    count = len(asked)
    for file in folder.iterdir():  # neither WordNet nor the teacher is needed again
        file.unlink()
    resumed = train("killed").state_dict()
    assert len(asked) == count
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    a, b = (tmp_path / run / "tokenizer.json" for run in ("whole", "killed"))
    assert a.read_text() == b.read_text()
    assert [line["step"] for line in lines(tmp_path / "killed")] == list(range(6))
    for one, other in zip(lines(tmp_path / "killed"), lines(tmp_path / "whole"), strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    with pytest.raises(OptionError, match=r"names \[.*now"):
        train_text(names[:2], tmp_path / "killed", recipe, TOWER, teacher=teacher)


def test_meanings_come_nearer_to_their_targets(tmp_path: Path) -> None:
    recipe = TextRecipe(
        steps=60, lr=1e-2, batch=24, warmup_steps=5, num_phrases=60, chunks=2,
        wordnet=str(write_wordnet(tmp_path / "wordnet")),
    )  # fmt: skip
    train_text(["cow", "sky"], tmp_path / "run", recipe, TOWER, teacher=sentence_encoder)
    cosines = [line["cosine"] for line in lines(tmp_path / "run")]
    assert sum(cosines[-10:]) / 10 > sum(cosines[:10]) / 10 + 0.05
