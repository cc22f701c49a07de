"""Flags that stand for settings by the names that papers and scripts use, and CLIP's own names."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from lexiseg.cli.terminal import Parser
from lexiseg.errors import OptionError, UnknownName
from lexiseg.loading import WITH_MASKS

__all__ = ["add_mode_flags", "kind_thresholds", "mode_fields"]

# OpenAI's names of its models -> our records.
_CLIPS = {
    "RN50": "clip-rn50.openai", "RN101": "clip-rn101.openai", "RN50x4": "clip-rn50x4.openai",
    "RN50x16": "clip-rn50x16.openai", "RN50x64": "clip-rn50x64.openai",
    "ViT-B/32": "clip-vit-b32.openai", "ViT-B/16": "clip-vit-b16.openai",
    "ViT-L/14": "clip-vit-l14.openai", "ViT-L/14@336px": "clip-vit-l14-336.openai",
}  # fmt: skip
_CROP, _STRIDE = 224, 112  # the windows of SCLIP and its successors


def add_mode_flags(parser: Parser) -> None:
    """Add the flags; each is short for fields of a method's Config."""
    add = parser.add_argument_group("modes, short for settings of a method").add_argument
    add("--model", metavar="NAME", help="a CLIP by OpenAI's name: ViT-B/16")
    add("--use-sam", action="store_true", help="refine by masks: the method clip-then-sam")
    add("--use-pamr", action="store_true", help="refine by PAMR: refine=pamr")
    add(
        "--slide-inference", action="store_true",
        help=f"encode by sliding windows: window={_CROP}, stride={_STRIDE}",
    )  # fmt: skip
    add("--slide-crop", metavar="N", type=int, help="the windows' side in pixels: window=N")
    add("--slide-stride", metavar="N", type=int, help="from window to window: stride=N")
    add("--logit-scale", metavar="X", type=float, help="what cosines are multiplied with")
    add("--stuff-threshold", metavar="SCORE", type=float, help="of words like sky and grass")
    add("--thing-threshold", metavar="SCORE", type=float, help="of all other words")


def mode_fields(args: argparse.Namespace) -> dict[str, Any]:
    """Return the Config's fields that the flags give; set the method and encoder that they name.

    Raises OptionError for flags that do not go together, UnknownName for another model.
    """
    if not hasattr(args, "use_sam"):  # a command without these flags
        return {}
    _take_model(args)
    fields: dict[str, Any] = {}
    if args.use_pamr:
        if args.refine not in (None, "pamr"):
            raise OptionError(f"--use-pamr and --refine {args.refine} do not go together; give one")
        fields["refine"] = "pamr"
    if args.slide_inference or args.slide_crop is not None or args.slide_stride is not None:
        crop = _CROP if args.slide_crop is None else args.slide_crop
        fields["window"] = crop
        fields["stride"] = _stride(args.slide_stride, crop)
    if args.logit_scale is not None:
        fields["logit_scale"] = args.logit_scale
    if args.use_sam:
        _take_sam(args)
    if args.method == WITH_MASKS and fields:
        if "refine" in fields:
            raise OptionError(
                f"--use-pamr refines label maps, and {WITH_MASKS} draws its boundaries by masks; "
                "leave one of the two out"
            )
        return {"mapper_fields": fields}
    return fields


def kind_thresholds(args: argparse.Namespace, words: Sequence[str]) -> dict[str, float]:
    """Return the threshold of each word that `--stuff-threshold` and `--thing-threshold` give.

    The literal word "background" is neither.
    """
    if not hasattr(args, "use_sam"):  # a command without these flags
        return {}
    from lexiseg.prompts.named import is_stuff

    given = {True: args.stuff_threshold, False: args.thing_threshold}
    for kind, score in given.items():
        if score is not None and not 0 <= score <= 1:
            flag = "--stuff-threshold" if kind else "--thing-threshold"
            raise OptionError(f"{flag} takes a score from 0 to 1, got {score:g}")
    out = {word: given[is_stuff(word)] for word in words if word != "background"}
    return {word: score for word, score in out.items() if score is not None}


def _take_model(args: argparse.Namespace) -> None:
    """Put the record's name of `--model` in the place of `--encoder`, and say so."""
    if args.model is None:
        return
    if args.encoder is not None:
        raise OptionError("--model and --encoder both name an encoder; give one")
    by_name = {name.casefold(): name for name in _CLIPS}
    name = by_name.get(
        args.model.casefold().replace("vit-b-", "vit-b/").replace("vit-l-", "vit-l/")
    )
    if name is None:
        raise UnknownName.among("model of OpenAI", args.model, _CLIPS)
    args.encoder = _CLIPS[name]
    if not getattr(args, "quiet", False):
        sys.stderr.write(f"lexiseg: --model {name} is the encoder {args.encoder}\n")


def _take_sam(args: argparse.Namespace) -> None:
    """Put clip-then-sam in the place of dense, with the encoder that stood for it."""
    from lexiseg import loading

    if args.method is not None and args.method != WITH_MASKS:
        fixed = loading.make_config(args.method)
        if type(fixed) is not loading.config_class("dense"):
            raise OptionError(
                f"--use-sam refines the map of dense; {args.method} is another method, so leave it "
                f"out, or name {WITH_MASKS}"
            )
        if args.method != "dense":
            if args.encoder is not None:
                raise OptionError(f"{args.method!r} and --encoder both name an encoder; give one")
            args.encoder = args.method
    args.method = WITH_MASKS


def _stride(given: int | None, crop: int) -> int:
    if given is None:
        return min(_STRIDE, max(1, crop // 2))
    if given > crop:
        raise OptionError(
            f"--slide-stride {given} is more than --slide-crop {crop}: windows would leave gaps; "
            "give less"
        )
    return given
