"""The flags that commands share: which method, with what settings, where it computes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg.cli.inputs import words
from lexiseg.cli.modes import mode_fields
from lexiseg.cli.process import no_collection
from lexiseg.cli.terminal import Parser
from lexiseg.errors import OptionError, UnknownName
from lexiseg.fields import overrides
from lexiseg.loading import FOR_EXAMPLES, WITH_MASKS
from lexiseg.prompts import find_word

if TYPE_CHECKING:
    from lexiseg.protocols import Segmenter

__all__ = [
    "FOR_EXAMPLES", "WITH_MASKS", "add_competition_flags", "add_flat_flag", "add_model_flags",
    "asked_word", "background", "build_config", "load_segmenter", "refuse_twice", "thresholds",
]  # fmt: skip


def add_model_flags(parser: Parser, *, method: bool = True) -> None:
    """Add the flags that choose and set a segmenter; without `method`, all but `--method`."""
    group = parser.add_argument_group("the model")
    if method:
        group.add_argument("--method", metavar="NAME", help="see `lexiseg methods`")
    group.add_argument("--encoder", metavar="NAME", help="see `lexiseg models`; or a folder")
    group.add_argument("--masker", metavar="NAME", help="a mask model, see `lexiseg models`")
    group.add_argument(
        "--masker-checkpoint", metavar="FILE", help="the mask model's own file, such as Meta's"
    )
    group.add_argument("--refine", metavar="WAY", help="how boundaries are drawn; see `methods`")
    group.add_argument("--preset", metavar="NAME", help="settings that belong together")
    group.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        dest="settings",
        help="any field of the method's Config; may be repeated",
    )
    group.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--dtype", help="auto, fp32, bf16, fp16")
    group.add_argument("--pull", action="store_true", help="download weights that are missing")
    group.add_argument("--offline", action="store_true", help="never connect to anything")


def add_competition_flags(group: argparse._ArgumentGroup) -> None:
    """Add --threshold and --background; ``thresholds`` and ``background`` read them."""
    group.add_argument(
        "--threshold",
        metavar="SCORE",
        action="append",
        default=[],
        help="keep what scores at least this, 0 to 1; or WORD=SCORE; may be repeated",
    )
    group.add_argument(
        "--background",
        metavar='"W; W"',
        help="what else competes with the words: default, none (every pixel gets a word), or words",
    )


def add_flat_flag(group: argparse._ArgumentGroup) -> None:
    """Add --flat."""
    group.add_argument(
        "--flat",
        action="store_true",
        help="let parts and kinds of other words (face of person) compete with them",
    )


def build_config(args: argparse.Namespace, **fields: Any) -> Any:
    """Return the method's Config that the flags describe.

    fields: fields of it that other flags give; `--set` may not give them too.
    """
    from lexiseg import loading

    fields = {**mode_fields(args), **fields}
    names = ("encoder", "masker", "refine", "preset")
    given = {name: getattr(args, name) for name in names if getattr(args, name)}
    if args.masker_checkpoint is not None:
        if args.masker is not None:
            raise OptionError("--masker and --masker-checkpoint both name a mask model; give one")
        # A name without a folder is a file here too, never a name of the table.
        given["masker"] = str(Path(args.masker_checkpoint).expanduser().absolute())
    if args.method is None and "masker" in given:
        args.method = WITH_MASKS
    method = {} if args.method is None else {"name": args.method}
    if args.settings:
        refuse_twice(args, fields)
        fields = {**fields, **overrides(args.settings, loading.config_class(**method))}
    return loading.make_config(**method, **{**given, **fields})


def load_segmenter(args: argparse.Namespace, config: Any = None, **fields: Any) -> Segmenter:
    """Return the segmenter that the flags describe, or that of a Config made from them.

    fields: as for `build_config`.
    """
    from lexiseg import loading

    config = build_config(args, **fields) if config is None else config
    names = ("device", "dtype", "pull", "offline")
    given = {name: getattr(args, name) for name in names if getattr(args, name)}
    with no_collection():  # a seventh of the time that importing torch takes
        return loading.load(config, **given)


def refuse_twice(args: argparse.Namespace, fields: Mapping[str, Any]) -> None:
    """Raise OptionError where `--set` gives one of the fields that other flags give."""
    given = {text.partition("=")[0].strip().replace("-", "_") for text in args.settings or ()}
    for name in sorted(given & set(fields)):
        raise OptionError(f"--set gives {name!r}, which another flag gives too; give one")


def thresholds(values: Sequence[str], asked: Sequence[str]) -> dict[str, Any]:
    """Return the fields of the Config that `--threshold 0.4` and `--threshold sky=0.25` give.

    asked: the words; a threshold for another one raises UnknownName.
    """
    single: dict[str, Any] = {}
    by_word: dict[str, float] = {}
    for value in values:
        word, equals, number = value.rpartition("=")
        score = _score(number)
        if equals:
            by_word[asked_word(word, asked)] = score
        elif "threshold" in single:
            raise OptionError("--threshold is given twice; give one, and WORD=SCORE for words")
        else:
            single["threshold"] = score
    return {**single, **({"word_thresholds": by_word} if by_word else {})}


def asked_word(text: str, asked: Sequence[str]) -> str:
    """Return the word of this call that a flag means; raises UnknownName where there is none."""
    word = find_word(text, asked)
    if word is None:
        raise UnknownName.among("word of this call", text.strip(), asked)
    return word


def background(value: str | None) -> dict[str, Any]:
    """Return what `--background` hands to the segmenter: "default", "none", or words of one's own.

    Nothing for a flag that was not given: the default is the segmenter's.
    """
    if value is None:
        return {}
    if value in ("default", "none"):
        return {"background": None if value == "none" else value}
    return {"background": words([value])}


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = -1.0
    if not 0.0 <= score <= 1.0:
        raise OptionError(
            f"--threshold takes a score from 0 to 1, or WORD=SCORE as in sky=0.25; got {text!r}"
        )
    return score
