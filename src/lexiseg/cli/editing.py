"""The parts of `lexiseg edit`: steps joined by "+", their flags, and where the picture goes."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexiseg.cli import inputs
from lexiseg.cli.fields import overrides
from lexiseg.cli.parser import Parser
from lexiseg.errors import OptionError, PictureError, PromptError
from lexiseg.masks import Masks

if TYPE_CHECKING:
    from lexiseg.editing import EditResult
    from lexiseg.results import Segmentation

__all__ = [
    "Planned",
    "add_step_flags",
    "common",
    "masks",
    "parts",
    "save",
    "steps",
    "target",
    "vocabulary",
]

_OUT = Path("lexiseg-out")
_KINDS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})
_ENDS = ("mask", "cutout")  # give something else than the picture: nothing can follow
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
_SWITCHES = {
    "instances": "cutout, replace: one by one",
    "full-size": "cutout: do not trim",
}


@dataclass(frozen=True)
class Planned:
    """One step of the command line: what to do, to what, and the fields of its Config."""

    operation: str
    texts: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    @property
    def instances(self) -> bool:
        """Whether instances are asked for one by one."""
        return bool(self.options.get("instances"))

    def ready(self, tell: Callable[[int, int], None], **where: Any) -> Planned:
        """Return the step with its network loaded, where it needs one.

        tell: called with (step, steps) of denoising. where: device, dtype, pull, offline.
        Raises UnknownName or OptionError where the settings cannot be, and WeightsMissing.
        """
        from lexiseg import editing
        from lexiseg.editing import generate

        model = editing.wanted_model(self.operation, **self.options)
        if model is None:
            return self
        loaded = generate.load(model, **where)
        return replace(self, options={**self.options, "model": loaded, "progress": tell})


def add_step_flags(parser: Parser) -> None:
    """Add the flags that set one step; those after a "+" belong to the next."""
    group = parser.add_argument_group("the edit")
    group.add_argument(
        "--with", dest="with_", metavar="WHAT", help="a picture's file, a colour, or a style"
    )
    for name, (metavar, what) in _FLAGS.items():
        group.add_argument(f"--{name}", metavar=metavar, help=what)
    for name, what in _SWITCHES.items():
        group.add_argument(f"--{name}", action="store_true", help=what)


def parts(argv: list[str]) -> list[list[str]]:
    """Split the arguments at "+"."""
    out: list[list[str]] = [[]]
    for item in argv:
        if item == "+":
            out.append([])
        else:
            out[-1].append(item)
    if len(out) > 1 and not all(out):
        raise OptionError(
            '"+" joins two edits, as in: lexiseg edit photo.jpg remove dog + blur cat'
        )
    return out


def common(parser: Parser, given: list[argparse.Namespace]) -> argparse.Namespace:
    """Return the flags that belong to the whole call, wherever among the steps they stand."""
    own = {"items", "with_", *_FLAGS, *(name.replace("-", "_") for name in _SWITCHES)}
    out: dict[str, Any] = {}
    for action in parser._actions:
        name = action.dest
        if name in own or name == "help":
            continue
        told = [value for one in given if (value := getattr(one, name)) not in (None, False, [])]
        if len(told) > 1 and not isinstance(told[0], list) and any(v != told[0] for v in told):
            raise OptionError(f"--{name.replace('_', '-')} is given twice; it holds for all steps")
        if told and isinstance(told[0], list):
            out[name] = [value for values in told for value in values]
        else:
            out[name] = told[0] if told else getattr(given[0], name)
    return argparse.Namespace(**out)


def steps(given: list[argparse.Namespace]) -> tuple[Path, list[Planned]]:
    """Return the picture and what to do with it; raises InputError for what is not understood."""
    from lexiseg import editing

    if not given[0].items:
        raise PictureError("no picture is given: lexiseg edit PICTURE OPERATION WORD...")
    source = Path(given[0].items[0])
    planned = []
    for number, one in enumerate(given):
        items = one.items[1:] if number == 0 else one.items
        if not items:
            names = ", ".join(info.name for info in editing.operations())
            raise OptionError(f"no operation is given; after the picture comes one of: {names}")
        editing.operation(items[0])  # raises UnknownName
        if len(items) < 2:
            line = shlex.join(["lexiseg", "edit", str(source), items[0]])
            raise PromptError(f"no words to look for: {line} WORD...")
        texts = tuple(inputs.words(items[1:]))
        planned.append(Planned(items[0], texts, _options(items[0], one), _names(texts)))
    for step in planned[:-1]:
        if step.operation in _ENDS:
            raise OptionError(f"nothing can follow {step.operation!r}: it gives no whole picture")
    return source, planned


def vocabulary(planned: list[Planned], others: str | None) -> list[str]:
    """Return the words of all steps and those that only compete, each once.

    others: words, or the vocabulary of a data set: "@voc20".
    """
    from lexiseg.prompts import Vocabulary

    texts = [text for step in planned for text in step.texts]
    asked = {name for step in planned for name in step.names}
    for text in inputs.words([others]) if others is not None else []:
        many = Vocabulary.parse(text).names if text.startswith("@") else (text,)
        texts += [one for one in many if one not in asked]
    texts = list(dict.fromkeys(texts))
    Vocabulary.parse(texts)  # raises PromptError for words that cannot stand together
    return texts


def masks(seg: Segmentation, words: tuple[str, ...], operation: str, *, instances: bool) -> Masks:
    """Return where to edit: instance by instance, or all that the words have in the label map.

    What is removed must be gone: see `lexiseg.edit.all_of`.
    """
    from lexiseg.editing import all_of

    if instances:
        return Masks.concat([seg[word] for word in words])
    if operation == "remove":
        return Masks.from_dense(all_of(seg, words)[None])
    chosen = [seg.index(word) for word in words]
    return Masks.from_dense(np.isin(seg.semantic(), chosen)[None])


def target(out: Path | None, source: Path, planned: list[Planned]) -> Path:
    """Return the file to write: `out` where it names a picture, else one in the folder `out`.

    Raises OptionError where it would be the photo itself.
    """
    path = _OUT if out is None else out
    if path.suffix.lower() not in _KINDS or path.is_dir():
        path = path / f"{source.stem}-{'-'.join(step.operation for step in planned)}.png"
    if path.resolve() == source.resolve():
        raise OptionError(f"--out {str(path)!r} is the photo itself; choose another name")
    return path


def save(result: EditResult, path: Path) -> list[Path]:
    """Write the pictures of a result: one to `path`, several to numbered names beside it."""
    if len(result.pictures) == 1:
        return [result.save(path)]
    names = [path.with_stem(f"{path.stem}-{n}") for n in range(1, len(result.pictures) + 1)]
    return [result.save(name, number) for number, name in enumerate(names)]


def _options(operation: str, args: argparse.Namespace) -> dict[str, Any]:
    """The fields of the operation's Config that the flags give."""
    from lexiseg import editing

    config = editing.operation(operation).Config
    known = set(config.__dataclass_fields__)
    out: dict[str, Any] = {}
    if args.with_ is not None:
        if operation not in _WITH:
            raise OptionError(f"{operation} takes no --with; it is for {', '.join(_WITH)}")
        out[_WITH[operation]] = args.with_
    for name in _FLAGS:
        text = getattr(args, name)
        if text is None:
            continue
        if name not in known:
            raise OptionError(f"{operation} takes no --{name}; leave it out")
        if name == "model":
            out[name] = text
            continue
        try:
            out |= overrides([f"{name}={text}"], config)
        except OptionError as error:
            raise OptionError(str(error).replace("--set ", "--")) from error
    if args.instances:
        if "instances" not in known:
            raise OptionError(f"{operation} takes no --instances; leave it out")
        out["instances"] = True
    if args.full_size:
        if "trim" not in known:
            raise OptionError(f"{operation} takes no --full-size; leave it out")
        out["trim"] = False
    return out


def _names(texts: tuple[str, ...]) -> tuple[str, ...]:
    from lexiseg.prompts import Vocabulary

    return tuple(Vocabulary.parse(list(texts)).names)
