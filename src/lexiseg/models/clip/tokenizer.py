"""Texts to CLIP's tokens: byte-level BPE, with the checkpoint's own table or the published one."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from lexiseg.errors import CheckpointError

__all__ = ["END", "START", "tokenise", "tokenizer"]

START, END = "<|startoftext|>", "<|endoftext|>"
_PARTS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


def tokenizer(path: Path | None = None) -> Tokenizer:
    """Return the tokenizer of a ``tokenizer.json``, or the one of OpenAI's merges table.

    Either splits texts into tokens without start and end.
    """
    if path is None:
        return _published()
    read = Tokenizer.from_file(str(path))
    read.no_padding()
    read.no_truncation()
    return read


def tokenise(tokenizer: Tokenizer, texts: Sequence[str], context: int) -> list[list[int]]:
    """Texts -> tokens with start and end, at most ``context`` each: longer ones lose their rest."""
    start, end = (tokenizer.token_to_id(name) for name in (START, END))
    if start is None or end is None:
        raise CheckpointError(
            f"the checkpoint's tokenizer has no {START} and {END}; it is not one of CLIP's"
        )
    encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [[start, *text.ids[: context - 2], end] for text in encoded]


@cache
def _published() -> Tokenizer:
    table = files("lexiseg.models.clip") / "bpe_merges.txt.gz"
    lines = gzip.decompress(table.read_bytes()).decode("utf-8").splitlines()
    merges = [(left, right) for left, right in map(str.split, lines)]
    # The order of OpenAI's table: printable bytes first, then the others moved behind Unicode's
    # first 256 characters; each alone, each as the end of a word, then the merges.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [*map(chr, printable), *(chr(256 + i) for i in range(len(others)))]
    words = [*letters, *(f"{c}</w>" for c in letters), *("".join(pair) for pair in merges)]
    made = Tokenizer(
        models.BPE(
            vocab={word: i for i, word in enumerate([*words, START, END])},
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token=END,
        )
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PARTS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    made.add_special_tokens([START, END])
    return made
