"""The part of `lexiseg evaluate` for data sets of phrases, few-shot episodes and instances."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lexiseg.cli import options
from lexiseg.cli.terminal import Parser, Progress
from lexiseg.errors import InputError, OptionError

__all__ = ["add_kind_flags", "chosen_kind", "run_kind"]

# What is for class masks only.
_NOT_HERE = (
    "predictions", "shuffle_seed", "shuffle_words", "extra_words",
    "vocabulary", "background", "stuff_threshold", "thing_threshold",
)  # fmt: skip


def add_kind_flags(parser: Parser) -> None:
    """Add the flags that only such data sets know."""
    add = parser.add_argument_group("of phrases, episodes and instances").add_argument
    add("--instances", action="store_true", help="measure instances, not class masks: COCO's AP")
    add(
        "--episodes", metavar="PROTOCOL",
        help="draw few-shot episodes from class masks, as hsnet or pfenet does",
    )  # fmt: skip
    add(
        "--shots",
        metavar="N",
        type=int,
        help="examples an episode; 1 if left out; 0: the word alone",
    )
    add("--with-words", action="store_true", help="name an episode's class, beside its examples")
    add("--clipseg", action="store_true", help="score episodes by CLIPSeg's evaluator, too")


def chosen_kind(args: argparse.Namespace, sets: Sequence[Any]) -> Sequence[Any]:
    """Return the opened data sets to measure here, all folds of one; nothing for class masks.

    Raises InputError for sets of several kinds, and for those that cannot be measured.
    """
    from lexiseg.datasets import FewShotDataset, InstanceDataset, PhraseDataset, VideoDataset

    for one in sets:
        if isinstance(one, VideoDataset):
            raise InputError(
                f"{one.name} is a set of videos, which are followed, not measured photo by photo; "
                "lexiseg.metrics.VideoMetrics scores masks that were made of them"
            )
    if args.episodes is not None:
        sets = _as_episodes(args, sets)
    kinds = {type(one) for one in sets}
    if InstanceDataset not in kinds and args.instances:
        raise OptionError(f"--instances is for sets of instances, and {sets[0].name} has none")
    here = kinds & {FewShotDataset, PhraseDataset, *([InstanceDataset] if args.instances else ())}
    if not here:
        for flag in ("shots", "with_words", "clipseg"):
            if getattr(args, flag) not in (None, False):
                raise OptionError(
                    f"--{flag.replace('_', '-')} is for few-shot episodes; leave it out"
                )
        return ()
    if len(kinds) > 1 or len(sets) > 1:
        raise InputError("phrases, episodes and instances are measured one set at a time; give one")
    if here == {FewShotDataset} and args.split is None and args.episodes is None:
        return _folds(args, sets[0])
    return sets


def run_kind(args: argparse.Namespace, sets: Sequence[Any], command: str) -> int:
    """Measure the sets that `chosen_kind` returned, write and print; return the exit code."""
    from lexiseg import imaging
    from lexiseg.evaluation.run import output_folder

    for flag in _NOT_HERE:
        if getattr(args, flag) not in (None, False):
            raise OptionError(
                f"--{flag.replace('_', '-')} is for data sets with class masks; leave it out"
            )
    with output_folder(args.out) as folder:
        segmenter = options.load_segmenter(args)
        with Progress() as progress:
            found = _measure(args, sets, segmenter, progress.step)
        document = json.dumps(found.document(command), ensure_ascii=False, indent=1) + "\n"
        if folder is not None:
            imaging.write_text(folder / "results.json", document)
            imaging.write_text(folder / "summary.txt", found.summary())
    sys.stdout.write(document if args.json else found.summary())
    if folder is not None and not args.json:
        sys.stdout.write(f"\nwritten to {folder}\n")
    return 0


def _measure(
    args: argparse.Namespace,
    sets: Sequence[Any],
    segmenter: Any,
    progress: Callable[[int, int], None],
) -> Any:
    from lexiseg.datasets import FewShotDataset, PhraseDataset

    how: dict[str, Any] = {
        name: getattr(args, name) for name in ("limit", "out", "resume", "save_vis")
    }
    how |= {"progress": progress} | ({} if args.jobs is None else {"jobs": args.jobs})
    if isinstance(sets[0], FewShotDataset):
        from lexiseg.evaluation.few_shot import evaluate_few_shot

        how |= {"with_words": args.with_words, "clipseg": args.clipseg}
        how |= {} if args.shots is None else {"shots": args.shots}
        return evaluate_few_shot(segmenter, sets, **how)
    if isinstance(sets[0], PhraseDataset):
        from lexiseg.evaluation.phrases import evaluate_phrases

        return evaluate_phrases(segmenter, sets[0], **how)
    from lexiseg.evaluation.instances import evaluate_instances

    return evaluate_instances(segmenter, sets[0], **how)


def _as_episodes(args: argparse.Namespace, sets: Sequence[Any]) -> Sequence[Any]:
    """The sets with class masks, as episodes drawn from their photos."""
    from lexiseg.datasets import SemanticDataset, episodes_of

    for one in sets:
        if not isinstance(one, SemanticDataset):
            raise OptionError(f"--episodes draws from class masks, and {one.name} has none")
    return [episodes_of(one, args.episodes) for one in sets]


def _folds(args: argparse.Namespace, first: Any) -> Sequence[Any]:
    """All folds of a few-shot set, where its splits are folds."""
    from lexiseg.datasets import dataset_info, open_dataset

    names = [split.name for split in dataset_info(first.name).splits]
    folds = [name for name in names if name.startswith("fold")]
    if first.split not in folds:
        return [first]
    return [open_dataset(first.name, fold, root=args.root) for fold in folds]
