"""Prompts on the command line: points, boxes, example images, and the flags of mask methods."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Any

from lexiseg.cli import options
from lexiseg.cli.modes import kind_thresholds
from lexiseg.cli.terminal import Parser
from lexiseg.errors import OptionError
from lexiseg.fields import overrides
from lexiseg.prompts import Clicks
from lexiseg.prompts.written import read_numbers

__all__ = [
    "add_click_flags", "add_like_flag", "read_clicks", "with_fields",
]  # fmt: skip

# Flag -> the field of a Config that it sets.
_FIELDS = {
    "min_region_size": "min_region_area",
    "iou_threshold": "iou_threshold",
    "points_per_region": "points_per_region",
    "negative_points": "negative_points",
    "top_k": "top_k",
}


def add_click_flags(parser: Parser) -> None:
    """Add --point, --not-point, --box, and the flags for regions and masks."""
    group = parser.add_argument_group("points, boxes and masks")
    add = group.add_argument
    place: dict[str, Any] = {"action": "append", "default": []}
    add("--point", metavar="X,Y", help="what lies at a pixel; may be repeated", **place)
    add("--not-point", metavar="X,Y", help="not what lies there; may be repeated", **place)
    add("--box", metavar="X0,Y0,X1,Y1", help="what a box holds; may be repeated", **place)
    add(
        "--min-confidence",
        metavar="SCORE",
        action="append",
        default=[],
        help="ask for masks only where words score this; other methods: as --threshold",
    )
    add("--min-region-size", metavar="N", help="and only in regions of so many pixels")
    add("--points-per-region", metavar="N", help="points that a region gets at most")
    add("--negative-points", metavar="N", help="points of other words told to each prompt")
    add("--iou-threshold", metavar="IOU", help="masks that overlap so much are one")
    add("--top-k", metavar="N", help="the best N masks of each word")


def read_clicks(args: argparse.Namespace) -> Clicks:
    """Read the points and boxes."""
    return Clicks.parse(
        [read_numbers(text, 2, "--point") for text in args.point],
        [read_numbers(text, 4, "--box") for text in args.box],
        [read_numbers(text, 2, "--not-point") for text in args.not_point],
    )


def with_fields(config: Any, args: argparse.Namespace, asked: Sequence[str]) -> Any:
    """Return a Config with the fields that --threshold and the flags of this file give.

    asked: the words. --min-confidence is the threshold of a method whose regions have none.
    Raises OptionError where --set gives one of them too.
    """
    from lexiseg import loading

    known = {field.name for field in fields_of(config)}
    settings: list[str] = []
    thresholds = list(args.threshold)
    if "region_threshold" not in known:
        thresholds += args.min_confidence
    else:
        settings += [f"region_threshold={score}" for score in args.min_confidence]
    for flag, name in _FIELDS.items():
        value = getattr(args, flag)
        if value is not None and name not in known:
            others = [one.name for one in loading.list_methods() if name in one.defaults]
            bundled = (options.WITH_MASKS, "sam-then-clip")  # the others want weights first
            best = next(one for one in (*bundled, *others) if one in others)
            raise OptionError(
                f"--{flag.replace('_', '-')} is for {', '.join(others)}, not for the method in "
                f"use; add --method {best}"
            )
        if value is not None:
            settings.append(f"{name}={value}")
    given = {**options.thresholds(thresholds, asked), **overrides(settings, type(config))}
    by_kind = kind_thresholds(args, asked)
    if by_kind:
        given["word_thresholds"] = {**by_kind, **given.get("word_thresholds", {})}
    options.refuse_twice(args, given)
    return replace(config, **given)


def add_like_flag(parser: Parser) -> None:
    """Add --like."""
    parser.add_argument(
        "--like",
        metavar="[WORD=]FILE[:X0,Y0,X1,Y1]",
        action="append",
        default=[],
        help="what an example picture shows, or its box; of one WORD, examples are averaged, and "
        "mixed with the word where it is asked for too; may be repeated",
    )
