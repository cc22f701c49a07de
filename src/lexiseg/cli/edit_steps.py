"""The steps of `lexiseg edit`: joined by "+", each with its flags and words."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from lexiseg.cli import inputs
from lexiseg.cli.fields import overrides
from lexiseg.cli.terminal import Parser
from lexiseg.errors import OptionError, PictureError, PromptError
from lexiseg.masks import Masks
from lexiseg.protocols import LoadOptions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from lexiseg.results import Segmentation

__all__ = [
    "EditStep", "add_step_flags", "all_words", "common_flags", "read_steps", "split", "with_files",
]  # fmt: skip

_LAST = ("mask", "cutout")  # give something else than the picture: nothing can follow
# What --with gives to each operation.
_WITH = {"replace": "with_", "style": "with_", "recolour": "colour", "background": "ground"}
_FLAGS: dict[str, tuple[str, str]] = {
    "fill": ("NAME", "remove: how the hole is filled, or a colour"),
    "dilation": ("PX", "pixels by which the region grows"),
    "blur": ("PX", "pixels over which new and old mix at its border"),
    "radius": ("PX", "blur, background blur: standard deviation"),
    "block": ("PX", "pixelate: side of a block"),
    "edges": ("KIND", "cutout, background: soft, closed-form or hard"),
    "band": ("PX", "cutout, background: where edges may be soft"),
    "margin": ("PX", "cutout: pixels that stay around it"),
    "match": ("0..1", "replace: how far colours move towards the old ones"),
    "bleed": ("0..1", "replace: how far colours of the rim reach in"),
    "strength": ("0..1", "recolour: how much of the colour; style by a model: how much goes"),
    "prompt": ("WORDS", "remove by a model: what it is asked for"),
    "model": ("NAME", "what makes words into pixels, see `lexiseg models`; or a folder"),
    "negative": ("WORDS", "what a model is not to show"),
    "seeds": ("N;N", "a picture for each"),
    "steps": ("N", "of a model's denoising"),
    "guidance": ("X", "how strictly a model follows the words"),
    "context": ("X", "how much around the region a model sees, as a part of the region"),
}
# Flags without a value: the field of the Config, what it becomes, and the help.
_SWITCHES = {
    "instances": ("instances", True, "cutout, replace: one by one"),
    "full-size": ("trim", False, "cutout: do not trim"),
}


@dataclass(frozen=True)
class EditStep:
    """One step: what to do, with which settings, to what.

    texts: the words as they were typed. names: what they are called in results.
    """

    operation: str
    config: DataclassInstance
    texts: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def makes_transparent(self) -> bool:
        """Whether the edited picture has transparent pixels, which not every kind of file holds."""
        return self.operation == "cutout" or getattr(self.config, "ground", None) == "transparent"

    def with_network(self, progress: Callable[[int, int], None], options: LoadOptions) -> EditStep:
        """Return the step with its network loaded, where it needs one.

        progress: called with (step, steps) of denoising. options: where it computes.
        Raises UnknownName or OptionError where the settings cannot be, and WeightsMissing.
        """
        from lexiseg.edit import generative, wanted_model

        model = wanted_model(self.config)
        if model is None:
            return self
        network = generative.load_inpainter(model, options)
        return replace(self, config=replace(self.config, model=network, progress=progress))

    @property
    def makes_several(self) -> bool:
        """Whether there may be several edited pictures: one by instance, or by seed."""
        one_by_one = self.operation == "cutout" and getattr(self.config, "instances", False)
        return one_by_one or len(getattr(self.config, "seeds", ())) > 1

    def masks(self, seg: Segmentation) -> tuple[tuple[str, ...], Masks]:
        """Return the words that were found, and where: by instance, or all that the map gives them.

        What is removed must be gone: see `lexiseg.edit.removal_mask`.
        """
        from lexiseg.edit.region import label_mask, removal_mask

        words = tuple(word for word in self.names if word in seg.found)
        if getattr(self.config, "instances", False):
            # Of a word that the map has and no mask, the map's pixels are the one instance.
            each = [
                seg[word] if len(seg[word]) else Masks.from_dense(label_mask(seg, (word,))[None])
                for word in words
            ]
            return words, Masks.concat(each)
        if self.operation == "remove":
            return words, Masks.from_dense(removal_mask(seg, words)[None])
        return words, Masks.from_dense(label_mask(seg, words)[None])


def add_step_flags(parser: Parser) -> None:
    """Add the flags that set one step; those after a "+" belong to the next."""
    group = parser.add_argument_group("the edit")
    group.add_argument(
        "--with", dest="with_", metavar="WHAT", help="a picture's file, a colour, or a style"
    )
    for name, (metavar, what) in _FLAGS.items():
        group.add_argument(f"--{name}", metavar=metavar, help=what)
    for name, (_, _, what) in _SWITCHES.items():
        group.add_argument(f"--{name}", action="store_true", help=what)


def split(argv: list[str]) -> list[list[str]]:
    """Split the arguments at "+"."""
    parts: list[list[str]] = [[]]
    for item in argv:
        if item == "+":
            parts.append([])
        else:
            parts[-1].append(item)
    if len(parts) > 1 and not all(parts):
        raise OptionError(
            '"+" joins two edits, as in: lexiseg edit photo.jpg remove dog + blur cat'
        )
    return parts


def common_flags(given: Sequence[argparse.Namespace]) -> argparse.Namespace:
    """Return the flags that belong to the whole call, wherever among the steps they stand."""
    of_steps = {"items", "with_", *_FLAGS, *map(_attribute, _SWITCHES)}
    out = argparse.Namespace()
    for name in vars(given[0]):
        if name in of_steps:
            continue
        values = [getattr(one, name) for one in given]
        set_values = [value for value in values if value not in (None, False, [])]
        if set_values and isinstance(set_values[0], list):
            setattr(out, name, [one for several in set_values for one in several])
            continue
        if any(value != set_values[0] for value in set_values):
            raise OptionError(f"--{name.replace('_', '-')} is given twice; it holds for all steps")
        setattr(out, name, set_values[0] if set_values else values[0])
    return out


def read_steps(given: Sequence[argparse.Namespace]) -> tuple[list[str], list[EditStep]]:
    """Return the pictures and what to do with them; raises InputError for what is not understood.

    The first item is a picture, and so are those up to the name of an operation.
    """
    from lexiseg import edit

    if not given[0].items:
        raise PictureError("no picture is given: lexiseg edit PICTURE... OPERATION WORD...")
    count = _count_pictures(given[0].items)
    names = list(given[0].items[:count])
    steps = []
    for number, one in enumerate(given):
        items = one.items[count:] if number == 0 else one.items
        if not items:
            known = ", ".join(edit.operation_names())
            raise OptionError(f"no operation is given; after the picture comes one of: {known}")
        edit.operation(items[0])  # raises UnknownName
        if len(items) < 2:
            line = shlex.join(["lexiseg", "edit", *names[:3], items[0]])
            raise PromptError(f"no words to look for: {line} WORD...")
        steps.append(_step(items[0], inputs.words(items[1:]), one))
    for step in steps[:-1]:
        if step.operation in _LAST:
            raise OptionError(f"nothing can follow {step.operation!r}: it gives no whole picture")
    return names, steps


def with_files(given: Iterable[argparse.Namespace]) -> list[str]:
    """Return the files that --with names: a run may write over none of them."""
    return [one.with_ for one in given if one.with_ is not None and os.path.isfile(one.with_)]


def all_words(steps: Iterable[EditStep], others: str | None) -> list[str]:
    """Return the words of all steps and those that only compete, as they were typed, each once.

    others: words, or the vocabulary of a data set: "@voc20".
    """
    from lexiseg.prompts import Vocabulary

    texts = [text for step in steps for text in step.texts]
    names = {name for step in steps for name in step.names}
    for text in inputs.words([others]) if others is not None else []:
        several = Vocabulary.parse(text).names if text.startswith("@") else (text,)
        texts += [one for one in several if one not in names]
    return list(dict.fromkeys(texts))


def _count_pictures(items: Sequence[str]) -> int:
    """How many of the items are pictures; where no operation is named, one may be misspelt."""
    from lexiseg import edit

    known = edit.operation_names()
    for number, item in enumerate(items[1:], start=1):
        if item in known:
            return number
    for number, item in enumerate(items[1:], start=1):
        if not (inputs.is_picture(item) or os.path.lexists(item)):
            return number
    return len(items)


def _step(operation: str, texts: list[str], args: argparse.Namespace) -> EditStep:
    from lexiseg import edit
    from lexiseg.prompts import Vocabulary

    config = edit.settings(operation, **_fields(operation, args))
    return EditStep(operation, config, tuple(texts), Vocabulary.parse(texts).names)


def _fields(operation: str, args: argparse.Namespace) -> dict[str, Any]:
    """The fields of the operation's Config that the flags give."""
    from lexiseg import edit

    config = edit.operation(operation).Config
    known = {field.name for field in fields(config)}
    out: dict[str, Any] = {}
    if args.with_ is not None:
        if operation not in _WITH:
            raise OptionError(f"{operation} takes no --with; it is for {', '.join(_WITH)}")
        out[_WITH[operation]] = args.with_
    elif operation == "replace":
        raise OptionError(
            "replace needs what is to come in its place: --with a colour, a picture or words"
        )
    texts = {name: text for name in _FLAGS if (text := getattr(args, name)) is not None}
    switches = [name for name in _SWITCHES if getattr(args, _attribute(name))]
    for flag, field in [*((n, n) for n in texts), *((n, _SWITCHES[n][0]) for n in switches)]:
        if field not in known:
            raise OptionError(f"{operation} takes no --{flag}; leave it out")
    for name in switches:
        field, value, _ = _SWITCHES[name]
        out[field] = value
    if "model" in texts:  # a name or a folder, whatever it looks like
        out["model"] = texts.pop("model")
    try:
        return out | overrides([f"{name}={text}" for name, text in texts.items()], config)
    except OptionError as error:
        raise OptionError(str(error).replace("--set ", "--")) from error


def _attribute(flag: str) -> str:
    """Where argparse keeps a flag."""
    return flag.replace("-", "_")
