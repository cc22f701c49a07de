"""Edits as people write them: steps in a row, each an operation, its settings and its words."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from lexiseg.edit.region import label_mask, places_alike, removal_mask
from lexiseg.edit.run import operation as find_operation
from lexiseg.edit.run import operation_names, run, settings, wanted_model
from lexiseg.errors import NothingFound, OptionError, UnknownName
from lexiseg.fields import overrides
from lexiseg.masks import Masks
from lexiseg.prompts import Vocabulary, split_words
from lexiseg.protocols import LoadOptions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from lexiseg.edit.result import EditResult
    from lexiseg.imaging import Picture
    from lexiseg.results import Segmentation

__all__ = [
    "FLAGS", "SWITCHES", "EditStep", "check_order", "competing_words", "make_step",
    "missing_reasons", "nothing_found", "read_steps", "run_steps",
]  # fmt: skip

_LAST = ("mask", "cutout")  # give something else than the picture: nothing can follow
# What "with" gives to each operation.
_WITH = {"replace": "with_", "style": "with_", "recolour": "colour", "background": "ground"}
FLAGS: dict[str, tuple[str, str]] = {
    "fill": ("NAME", "remove: how the hole is filled, or a colour"),
    "dilation": ("PX", "pixels by which the region grows"),
    "blur": ("PX", "pixels over which new and old mix at its border"),
    "radius": ("PX", "blur, background blur: standard deviation"),
    "block": ("PX", "pixelate: side of a block"),
    "edges": ("KIND", "cutout, background, replace: soft, closed-form or hard"),
    "band": ("PX", "cutout, background, replace: where edges may be soft"),
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
SWITCHES = {
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
        from lexiseg.edit import generative

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


def make_step(
    operation: str, texts: Sequence[str], options: Mapping[str, str | bool], *, form: str = "--"
) -> EditStep:
    """Return a step of what was typed.

    texts: its words. options: by the names of `FLAGS` and `SWITCHES`, and "with": the text of each,
    True for a switch. form: what stands before an option's name in messages.
    Raises UnknownName and OptionError for what the operation does not take.
    """
    config = settings(operation, **_fields(operation, options, form))
    return EditStep(operation, config, tuple(texts), Vocabulary.parse(list(texts)).names)


def read_steps(
    text: str, options: Mapping[str, str | bool], words: Sequence[str] = ()
) -> list[EditStep]:
    """Return the steps of a text as `lexiseg edit` takes it: "blur face --radius 8 + remove dog".

    options: further ones, which hold for the steps that take them. words: what a step without words
    of its own is about. Raises OptionError, UnknownName.
    """
    try:
        tokens = shlex.split(text)
    except ValueError as error:
        raise OptionError(
            f"the operation {text!r} cannot be read ({error}); close quotes"
        ) from error
    parts: list[list[str]] = [[]]
    for token in tokens:
        parts.append([]) if token == "+" else parts[-1].append(token)
    if not all(parts):
        raise OptionError(f'the operation is {text!r}; write "blur face", or join several by "+"')
    steps, used = [], set[str]()
    for name, *rest in parts:
        own, typed = _split_options(rest)
        known = _taken(name)  # raises UnknownName
        shared = {key: value for key, value in options.items() if key in known}
        used |= set(shared)
        given = [word for one in typed for word in split_words(one)] or list(words)
        if not given:
            raise OptionError(f"the operation {name!r} is about no word; write: {name} WORD")
        steps.append(make_step(name, given, {**shared, **own}))
    for key in options:
        if key not in used:
            raise OptionError(f"{parts[0][0]} takes no {key!r}; leave it out")
    check_order(steps)
    return steps


def check_order(steps: Sequence[EditStep]) -> None:
    """Raise OptionError where a step follows one that gives no whole picture."""
    for step in steps[:-1]:
        if step.operation in _LAST:
            raise OptionError(f"nothing can follow {step.operation!r}: it gives no whole picture")


def competing_words(steps: Iterable[EditStep], others: Sequence[str]) -> list[str]:
    """Return the words of all steps and those that only compete, as they were typed, each once.

    others: words; "@voc20" is the vocabulary of a data set.
    """
    texts = [text for step in steps for text in step.texts]
    names = {name for step in steps for name in step.names}
    for text in others:
        several = Vocabulary.parse(text).names if text.startswith("@") else (text,)
        texts += [one for one in several if one not in names]
    return list(dict.fromkeys(texts))


def run_steps(picture: Picture, seg: Segmentation, steps: Sequence[EditStep]) -> EditResult:
    """Do one step after the other, at least one. Raises NothingFound, before any is done."""
    for step in steps:
        if not any(word in seg.found for word in step.names):
            raise NothingFound(nothing_found(step.names, "the picture", missing_reasons(seg)))
    result: Any = picture
    for step in steps:
        words, masks = step.masks(seg)
        alike = places_alike(seg, words)
        result = run(step.operation, result, masks, step.config, words=words, alike=alike)
    edited: EditResult = result
    return edited


def missing_reasons(seg: Segmentation) -> dict[str, str]:
    """Return word -> why it was not found, where something is known of that."""
    out = {one.phrase: f"{one.phrase}: {one.reason}" for one in seg.readings if one.reason}
    for item in seg.unknown:
        near = f"; nearest: {', '.join(item.nearest)}" if item.nearest else ""
        out[item.word] = f"the model does not know it{near}"
    return out


def nothing_found(names: Sequence[str], where: str, why: Mapping[str, str]) -> str:
    """Return the line for when none of the words was found; why: as `missing_reasons`."""
    asked = ", ".join(repr(name) for name in names)
    known = list(dict.fromkeys(why[name] for name in names if name in why))
    hint = "; ".join(known) or "try a lower --threshold, or other --words"
    return f"nothing found in {where} for {asked}, so nothing is written; {hint}"


def _split_options(tokens: Sequence[str]) -> tuple[dict[str, str | bool], list[str]]:
    """The options among the tokens of a step, and its words."""
    options: dict[str, str | bool] = {}
    words: list[str] = []
    left = list(tokens)
    while left:
        token = left.pop(0)
        name, equals, value = token.removeprefix("--").partition("=")
        if not token.startswith("--"):
            words.append(token)
        elif name in SWITCHES and not equals:
            options[name] = True
        elif name in FLAGS or name == "with":
            if not equals and not left:
                raise OptionError(f"{token} is given without a value; give one")
            options[name] = value if equals else left.pop(0)
        else:
            raise UnknownName.among("option of an edit", name, [*FLAGS, *SWITCHES, "with"])
    return options, words


def _taken(operation: str) -> set[str]:
    """The options that an operation takes."""
    known = {field.name for field in fields(find_operation(operation).Config)}
    taken = {name for name in FLAGS if name in known}
    taken |= {name for name, (field, _, _) in SWITCHES.items() if field in known}
    return taken | ({"with"} if operation in _WITH else set())


def _fields(operation: str, options: Mapping[str, str | bool], form: str) -> dict[str, Any]:
    """The fields of the operation's Config that options give."""
    if operation not in operation_names():
        raise UnknownName.among("operation", operation, operation_names())
    taken = _taken(operation)
    out: dict[str, Any] = {}
    texts = {name: str(value) for name, value in options.items() if name not in SWITCHES}
    if "with" in texts:
        if operation not in _WITH:
            raise OptionError(f"{operation} takes no {form}with; it is for {', '.join(_WITH)}")
        if not texts["with"].strip():
            raise OptionError(f"{form}with is empty; give {operation} a colour, picture or words")
        out[_WITH[operation]] = texts.pop("with")
    elif operation == "replace":
        raise OptionError(
            f"replace needs what is to come in its place: {form}with a colour, a picture or words"
        )
    switches = [name for name, value in options.items() if name in SWITCHES and value]
    for name in (*texts, *switches):
        if name not in taken:
            raise OptionError(f"{operation} takes no {form}{name}; leave it out")
    for name in switches:
        field, value, _ = SWITCHES[name]
        out[field] = value
    if "model" in texts:  # a name or a folder, whatever it looks like
        out["model"] = texts.pop("model")
    config = find_operation(operation).Config
    try:
        return out | overrides([f"{name}={text}" for name, text in texts.items()], config)
    except OptionError as error:
        raise OptionError(str(error).replace("--set ", form)) from error
