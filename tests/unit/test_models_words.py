"""Word vectors on disk: by checkpoint, templates, format and word; nothing damages them."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lexiseg.models._text_cache import TextCache

DIM = 6
WEIGHTS = {"model.safetensors": "a" * 64}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path))
    return tmp_path / "words"


class Counting:
    """Gives a word the numbers of its letters, and notes which words it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, words: list[str]) -> Tensor:
        self.asked.append(words)
        return torch.tensor([[len(word), *range(1, DIM)] for word in words], dtype=torch.float32)


def kept(sha256: dict[str, str] | None = None, dtype: str = "fp32", dim: int = DIM) -> KeptWords:
    return TextCache(WEIGHTS if sha256 is None else sha256, dtype, dim)


def test_a_word_is_encoded_once_in_memory_and_on_disk(folder: Path) -> None:
    encode, words = Counting(), kept()
    first = words.vectors(["cat", "horse", "cat"], ["a {}"], encode)
    assert first[:, 0].tolist() == [3, 5, 3]
    words.vectors(["horse"], ["a {}"], encode)
    again = kept().vectors(["horse", "cat", "dog"], ["a {}"], encode)
    assert again[:, 0].tolist() == [5, 3, 3]
    assert encode.asked == [["cat", "horse"], ["dog"]]
    assert len(list(folder.glob("*.safetensors"))) == 1


def test_vectors_are_those_of_checkpoint_templates_and_format(folder: Path) -> None:
    encode = Counting()
    for words, templates in (
        (kept(), ["{}"]),
        (kept(), ["a {}"]),
        (kept(), ["a {}", "{}"]),
        (kept({"model.safetensors": "b" * 64}), ["{}"]),
        (kept(dtype="bf16"), ["{}"]),
    ):
        words.vectors(["cat"], templates, encode)
    assert encode.asked == [["cat"]] * 5
    assert len(list(folder.glob("*.safetensors"))) == 5


def test_weights_without_digests_are_kept_in_memory_alone(folder: Path) -> None:
    encode, words = Counting(), kept({})
    words.vectors(["cat"], ["{}"], encode)
    words.vectors(["cat"], ["{}"], encode)
    assert encode.asked == [["cat"]]
    assert not folder.exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "folder", "foreign", "not a number"])
def test_a_damaged_file_is_written_again(folder: Path, damage: str) -> None:
    from safetensors.torch import save_file

    encode = Counting()
    kept().vectors(["cat", "horse"], ["{}"], encode)
    (file,) = folder.glob("*.safetensors")
    whole = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
    elif damage == "foreign":
        save_file({"=cat": torch.ones(DIM + 1), "horse": torch.ones(DIM)}, file)
    elif damage == "not a number":
        save_file({"=cat": torch.full((DIM,), torch.nan)}, file)
    else:
        file.write_bytes({"cut": whole[:-9], "empty": b"", "noise": b"\xff" * 100}[damage])
    fresh = kept().vectors(["horse", "cat"], ["{}"], encode)
    assert fresh[:, 0].tolist() == [5, 3]
    assert encode.asked == [["cat", "horse"], ["horse", "cat"]]
    if damage != "folder":
        kept().vectors(["cat"], ["{}"], encode)
        assert len(encode.asked) == 2  # it is whole again


@pytest.mark.parametrize("word", ["__metadata__", "naïve café", "犬", "=", "a/b\\c", "🐈 cat"])
def test_any_word_can_be_kept(word: str) -> None:
    encode = Counting()
    first = kept().vectors([word], ["{}"], encode)
    assert torch.equal(kept().vectors([word], ["{}"], encode), first)
    assert encode.asked == [[word]]


def test_a_folder_that_cannot_be_written_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "file"))
    encode = Counting()
    kept().vectors(["cat"], ["{}"], encode)
    kept().vectors(["cat"], ["{}"], encode)
    assert encode.asked == [["cat"], ["cat"]]


def _write(start: int) -> None:
    for i in range(start, start + 8):
        kept().vectors([f"word {i}"], ["{}"], Counting())


def test_threads_that_write_at_once_lose_nothing() -> None:
    threads = [threading.Thread(target=_write, args=(start,)) for start in range(0, 32, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    encode = Counting()
    kept().vectors([f"word {i}" for i in range(32)], ["{}"], encode)
    assert encode.asked == []


@pytest.mark.slow
def test_processes_that_write_at_once_lose_nothing(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=_write, args=(start,)) for start in (0, 8)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    encode = Counting()
    kept().vectors([f"word {i}" for i in range(16)], ["{}"], encode)
    assert encode.asked == []
    assert not list(folder.glob(".*.safetensors.*"))  # nothing half-written is left
