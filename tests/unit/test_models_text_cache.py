"""Vectors of words on disk: by checkpoint, templates, format and word; hidden, bounded, and not
to be damaged."""

from __future__ import annotations

import hashlib
import multiprocessing
import sqlite3
import stat
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lexiseg.models import _text_cache
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


def cache(sha256: dict[str, str] | None = None, dtype: str = "fp32", dim: int = DIM) -> TextCache:
    return TextCache(WEIGHTS if sha256 is None else sha256, dtype, dim)


def test_a_word_is_encoded_once_in_memory_and_on_disk(folder: Path) -> None:
    encode, words = Counting(), cache()
    first = words.vectors(["cat", "horse", "cat"], ["a {}"], encode)
    assert first[:, 0].tolist() == [3, 5, 3]
    words.vectors(["horse"], ["a {}"], encode)
    again = cache().vectors(["horse", "cat", "dog"], ["a {}"], encode)
    assert again[:, 0].tolist() == [5, 3, 3]
    assert encode.asked == [["cat", "horse"], ["dog"]]
    assert len(list(folder.glob("*"))) == 1


def test_vectors_are_those_of_checkpoint_templates_and_format(folder: Path) -> None:
    encode = Counting()
    for words, templates in (
        (cache(), ["{}"]),
        (cache(), ["a {}"]),
        (cache(), ["a {}", "{}"]),
        (cache({"model.safetensors": "b" * 64}), ["{}"]),
        (cache(dtype="bf16"), ["{}"]),
    ):
        words.vectors(["cat"], templates, encode)
    assert encode.asked == [["cat"]] * 5
    assert cache().vectors(["cat"], ["a {}"], encode).shape == (1, DIM)
    assert len(encode.asked) == 5


def test_weights_without_digests_are_kept_in_memory_alone(folder: Path) -> None:
    encode, words = Counting(), cache({})
    words.vectors(["cat"], ["{}"], encode)
    words.vectors(["cat"], ["{}"], encode)
    assert encode.asked == [["cat"]]
    assert not folder.exists()


@pytest.mark.parametrize(
    "damage",
    ["cut", "empty", "noise", "folder", "foreign", "no key", "short key", "short", "not a number"],
)
def test_a_damaged_file_is_written_again(folder: Path, damage: str) -> None:
    encode = Counting()
    cache().vectors(["cat", "horse"], ["{}"], encode)
    (file,) = folder.glob("*")
    whole = file.read_bytes()
    statement = {
        "no key": "DELETE FROM secret",
        "short key": "UPDATE secret SET value = x'00'",
        "short": "UPDATE vectors SET vector = x'00000000'",
        "not a number": f"UPDATE vectors SET vector = x'{'ff' * 4 * DIM}'",
        "foreign": "DROP TABLE vectors",
    }.get(damage)
    if damage == "folder":
        file.unlink()
        file.mkdir()
    elif statement is not None:
        with closing(sqlite3.connect(file)) as database, database:
            database.execute(statement)
    else:
        file.write_bytes(
            {"cut": whole[: len(whole) // 2], "empty": b"", "noise": b"x" * 99}[damage]
        )
    fresh = cache().vectors(["horse", "cat"], ["{}"], encode)
    assert fresh[:, 0].tolist() == [5, 3]
    assert encode.asked == [["cat", "horse"], ["horse", "cat"]]
    cache().vectors(["cat"], ["{}"], encode)
    if damage != "folder":
        cache().vectors(["cat"], ["{}"], encode)
        assert len(encode.asked) <= 3  # it is whole again, at the latest now


def test_no_word_can_be_read(folder: Path) -> None:
    words = ["daffodil", "Mr Smith's red car", "犬"]
    cache().vectors(words, ["a photo of a {}."], Counting())
    (file,) = folder.glob("*")
    content = file.read_bytes()
    for text in (*words, "photo of", *(hashlib.sha256(w.encode()).digest() for w in words)):
        assert (text if isinstance(text, bytes) else text.encode()) not in content
    if sys.platform != "win32":
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IRWXU
    # Another user's file has another key: what is in it cannot be compared with this one.
    with closing(sqlite3.connect(file)) as database:
        keys = set(database.execute("SELECT key FROM vectors"))
    file.unlink()
    cache().vectors(words, ["a photo of a {}."], Counting())
    with closing(sqlite3.connect(file)) as database:
        assert not keys & set(database.execute("SELECT key FROM vectors"))


def test_what_earlier_versions_kept_in_plain_text_goes(folder: Path) -> None:
    folder.mkdir()
    (folder / f"{'a' * 64}.safetensors").write_bytes(b"=daffodil")
    cache().vectors(["cat"], ["{}"], Counting())
    assert [path.name for path in folder.iterdir()] == ["vectors.sqlite"]


def test_the_oldest_go_where_they_are_too_many(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_text_cache, "_MOST", 10)
    encode, words = Counting(), cache()
    for start in range(0, 200, 4):
        words.vectors([f"word {i}" for i in range(start, start + 4)], ["{}"], encode)
        assert len(words) <= 14
    (file,) = folder.glob("*")
    assert file.stat().st_size < 50_000
    encode.asked.clear()
    cache().vectors([f"word {i}" for i in range(186, 200)], ["{}"], encode)
    assert encode.asked == [[f"word {i}" for i in range(186, 190)]]


@pytest.mark.parametrize(
    "word", ["__metadata__", "naïve café", "犬", "=", "a/b\\c", "🐈 cat", "\ud83d"]
)
def test_any_word_can_be_kept(word: str) -> None:
    encode = Counting()
    first = cache().vectors([word], ["{}"], encode)
    assert torch.equal(cache().vectors([word], ["{}"], encode), first)
    assert encode.asked == [[word]]


def test_a_folder_that_cannot_be_written_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "file"))
    encode = Counting()
    cache().vectors(["cat"], ["{}"], encode)
    cache().vectors(["cat"], ["{}"], encode)
    assert encode.asked == [["cat"], ["cat"]]


def _write(start: int) -> None:
    for i in range(start, start + 8):
        cache().vectors([f"word {i}"], ["{}"], Counting())


def test_threads_that_write_at_once_lose_nothing() -> None:
    threads = [threading.Thread(target=_write, args=(start,)) for start in range(0, 32, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    encode = Counting()
    cache().vectors([f"word {i}" for i in range(32)], ["{}"], encode)
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
    cache().vectors([f"word {i}" for i in range(16)], ["{}"], encode)
    assert encode.asked == []
    assert len(list(folder.iterdir())) == 1  # nothing half-written is left
