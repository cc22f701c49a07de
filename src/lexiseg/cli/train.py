"""`lexiseg train`: train a model on a folder of data sets."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lexiseg.batch.outputs import check_folder
from lexiseg.cli.terminal import Parser
from lexiseg.errors import OptionError, UnknownName
from lexiseg.fields import replaced

if TYPE_CHECKING:
    from lexiseg.training import RunOptions

__all__ = ["run"]

Log = Callable[[str], None]

_STAGES = ("head",)
_NOTES = """models:
  tiny     the bundled model: a text tower, the picture side, the mask network; --backbone is
           MobileNetV2's .tflite, --teacher is DeepLab's, which tells stuff where the sets name
           nothing. On a CPU the recipe is a smaller one. With --stage head only the head of a
           bundle learns, on all photos: minutes on a CPU; --backbone names the bundle: tiny, or a
           folder
  words    words of your own for a bundle, from your labelled photos; --backbone names the bundle
  clipseg  a decoder for words and example pictures on a frozen encoder; --backbone names that
           encoder: a CLIP (clip-vit-b16.openai), or tiny

DIR holds data sets in the plain layout, each with a split "train", or is one; or it is one as
published (`lexiseg datasets list`), and --only says which, as in --only voc21-aug; or as evaluate
has it: --data voc21-aug --root VOCdevkit. PhraseCut and RefCOCO are for clipseg. The recipe's
settings are fields of TinyRecipe, WordsRecipe and ClipSegRecipe: --set vision.lr=0.001. A run that
was stopped goes on with --resume and the same settings.
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    trainers = {"clipseg": _clipseg, "tiny": _tiny, "words": _words}
    parser = Parser("train", "Train a model on a folder of data sets.", epilog=_NOTES)
    add = parser.add_argument
    add("model", metavar="MODEL", help=f"what to train: {', '.join(trainers)}")
    add("--data", metavar="DIR", type=Path, required=True, help="the data sets")
    add("--root", metavar="DIR", type=Path, help="where the set that --data names lies")
    add("--backbone", metavar="NAME", help="a file for tiny, a bundle for words, or an encoder")
    add("--teacher", metavar="FILE", type=Path, help="DeepLab's .tflite, a teacher of stuff (tiny)")
    add("--out", metavar="DIR", type=Path, required=True, help="for the state and the bundle")
    add("--stage", metavar="NAME", help=f"of tiny, this stage alone: {', '.join(_STAGES)}")
    add("--only", metavar="SET", action="append", help="train on this set; may be repeated")
    add("--steps", metavar="N", type=int, help="steps (of tiny: of the picture side or stage)")
    add("--stop-after", metavar="N", type=int, help="stop after N of them, to go on later")
    add("--set", metavar="FIELD=VALUE", action="append", default=[], dest="settings")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--device", help="auto, cpu, cuda, cuda:1, mps (clipseg; tiny's picture side)")
    add("--tensorboard", action="store_true", help="write a TensorBoard log (clipseg)")
    add("--pull", action="store_true", help="download an encoder that is missing (clipseg)")
    args = parser.parse(argv)
    if args.model not in trainers:
        raise UnknownName.among("model to train", args.model, trainers)
    if args.root is not None:
        args.data, args.only = args.root, [*(args.only or []), str(args.data)]
    _check(args)
    check_folder(args.out)
    begun = time.monotonic()

    def log(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - begun:7.0f} s] {line}\n")
        sys.stderr.flush()

    made = trainers[args.model](args, log)
    if made is None:
        sys.stdout.write(f"stopped after {args.stop_after} steps; go on with --resume\n")
    else:
        sys.stdout.write(f"{made}\n")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise OptionError for flags that do not go together, before anything is loaded."""
    if not args.data.is_dir():
        flag = "--data" if args.root is None else "--root"
        raise OptionError(f"{flag} {str(args.data)!r} is not a folder; give one with data sets")
    if args.stage is not None and args.model != "tiny":
        raise OptionError(f"--stage is for tiny, and the model is {args.model}; leave it out")
    if args.stage is not None and args.stage not in _STAGES:
        raise UnknownName.among("stage", args.stage, _STAGES)
    needs_file = args.model == "tiny" and args.stage is None
    if args.teacher is not None and not needs_file:
        raise OptionError("--teacher is for the picture side of tiny; leave it out")
    if args.teacher is not None and not args.teacher.is_file():
        raise OptionError(f"--teacher {str(args.teacher)!r} is not a file; give DeepLab's .tflite")
    if needs_file and not (args.backbone and Path(args.backbone).is_file()):
        given = "is missing" if args.backbone is None else f"{args.backbone!r} is not a file"
        raise OptionError(f"--backbone {given}; give MobileNetV2's .tflite")
    if args.out.is_dir() and any(args.out.iterdir()) and not args.resume:
        raise OptionError(
            f"--out {str(args.out)!r} is not empty; go on with its run by --resume, "
            "or give another folder"
        )


def _options(args: argparse.Namespace, log: Log) -> RunOptions:
    from lexiseg.training import RunOptions

    return RunOptions(stop_after=args.stop_after, log=log, progress=True)


def _tiny(args: argparse.Namespace, log: Log) -> Path | None:
    from lexiseg.training.tiny import recipe_for, refine_tiny, train_tiny

    steps = [] if args.steps is None else [f"{args.stage or 'vision'}.steps={args.steps}"]
    recipe = replaced(recipe_for(args.device), [*args.settings, *steps])
    if args.stage == "head":
        return refine_tiny(
            args.data,
            args.out,
            recipe,
            bundle=args.backbone or "tiny",
            only=args.only,
            options=_options(args, log),
        )
    return train_tiny(
        args.data,
        args.backbone,
        args.out,
        recipe,
        teacher=args.teacher,
        only=args.only,
        device=args.device,
        options=_options(args, log),
    )


def _words(args: argparse.Namespace, log: Log) -> Path | None:
    from lexiseg.training.tiny import WordsRecipe, train_words

    steps = [] if args.steps is None else [f"steps={args.steps}"]
    return train_words(
        args.data,
        args.out,
        replaced(WordsRecipe(), [*args.settings, *steps]),
        bundle=args.backbone or "tiny",
        only=args.only,
        options=_options(args, log),
    )


def _clipseg(args: argparse.Namespace, log: Log) -> Path | None:
    from lexiseg.training.clipseg import ClipSegRecipe, tiny_recipe, train_clipseg

    backbone = args.backbone or "clip-vit-b16.openai"
    steps = [] if args.steps is None else [f"steps={args.steps}"]
    usual = tiny_recipe() if backbone == "tiny" else ClipSegRecipe()
    return train_clipseg(
        args.data,
        args.out,
        replaced(usual, [*args.settings, *steps]),
        backbone=backbone,
        only=args.only,
        device=args.device,
        tensorboard=args.tensorboard,
        pull=args.pull,
        options=_options(args, log),
    )
