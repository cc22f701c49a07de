"""`lexiseg train`: train a model on a folder of data sets."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lexiseg.cli.fields import replaced
from lexiseg.cli.outputs import check_folder
from lexiseg.cli.terminal import Parser
from lexiseg.errors import OptionError, UnknownName

__all__ = ["run"]

_MODELS = ("clipseg", "tiny")
_NOTES = """models:
  tiny     the bundled model: a text tower, the picture side, the mask network; --backbone is
           MobileNetV2's .tflite
  clipseg  a decoder for words and example pictures on a frozen encoder; --backbone names that
           encoder: a CLIP (clip-vit-b16.openai), or tiny

DIR holds data sets in the plain layout, each with a split "train"; for clipseg also PhraseCut, VOC
or COCO-Stuff as published. The recipe's settings are fields of TinyRecipe and ClipSegRecipe:
--set vision.lr=0.001. A run that was stopped goes on with --resume and the same settings.
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("train", "Train a model on a folder of data sets.", epilog=_NOTES)
    add = parser.add_argument
    add("model", metavar="MODEL", help=f"what to train: {', '.join(_MODELS)}")
    add("--data", metavar="DIR", type=Path, required=True, help="the data sets")
    add("--backbone", metavar="NAME", help="a file for tiny, an encoder for clipseg")
    add("--out", metavar="DIR", type=Path, required=True, help="for the state and the bundle")
    add("--only", metavar="SET", action="append", help="train on this set; may be repeated")
    add("--steps", metavar="N", type=int, help="steps (of tiny: of the picture side)")
    add("--stop-after", metavar="N", type=int, help="stop after N of them, to go on later")
    add("--set", metavar="FIELD=VALUE", action="append", default=[], dest="settings")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--device", help="auto, cpu, cuda, cuda:1, mps (clipseg)")
    add("--tensorboard", action="store_true", help="write a TensorBoard log (clipseg)")
    add("--pull", action="store_true", help="download an encoder that is missing (clipseg)")
    args = parser.parse(argv)
    if args.model not in _MODELS:
        raise UnknownName.among("model to train", args.model, _MODELS)
    if not args.data.is_dir():
        raise OptionError(f"--data {str(args.data)!r} is not a folder; give one with data sets")
    if args.model == "tiny" and not (args.backbone and Path(args.backbone).is_file()):
        given = "is missing" if args.backbone is None else f"{args.backbone!r} is not a file"
        raise OptionError(f"--backbone {given}; give MobileNetV2's .tflite")
    started = args.out.is_dir() and any(args.out.iterdir())
    if started and not args.resume:
        raise OptionError(
            f"--out {str(args.out)!r} is not empty; go on with its run by --resume, "
            "or give another folder"
        )
    check_folder(args.out)
    begun = time.monotonic()

    def log(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - begun:7.0f} s] {line}\n")
        sys.stderr.flush()

    made = (_tiny if args.model == "tiny" else _clipseg)(args, log)
    if made is None:
        sys.stdout.write(f"stopped after {args.stop_after} steps; go on with --resume\n")
    else:
        sys.stdout.write(f"{made}\n")
    return 0


def _tiny(args: argparse.Namespace, log: Callable[[str], None]) -> Path | None:
    from lexiseg.training.tiny import TinyRecipe, train_tiny

    steps = [] if args.steps is None else [f"vision.steps={args.steps}"]
    recipe = replaced(TinyRecipe(), [*args.settings, *steps])
    return train_tiny(
        args.data,
        args.backbone,
        args.out,
        recipe,
        only=args.only,
        log=log,
        stop_after=args.stop_after,
        progress=True,
    )


def _clipseg(args: argparse.Namespace, log: Callable[[str], None]) -> Path | None:
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
        log=log,
        stop_after=args.stop_after,
        tensorboard=args.tensorboard,
        pull=args.pull,
        progress=True,
    )
