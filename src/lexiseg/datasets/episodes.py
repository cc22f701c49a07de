"""Few-shot episodes as the papers' code draws them: pure functions of list, seed and shots.

Two protocols are in use, and the same net differs by half a point to a point between them:

HSNet (Min et al., ICCV 2021; Matcher and GF-SAM follow it): 1,000 episodes a fold, seed 0, NumPy's
generator. Pascal takes the queries from a published list in its order, and the first ones again
after its end; COCO draws class and query; FSS-1000 makes every photo the query once. Any photo of
the class but the query may support, whatever the object's size, and of several supports two may be
the same.

PFENet (Tian et al., TPAMI 2020; CLIPSeg's Pascal run): 5,000 episodes a fold of Pascal and 20,000
of COCO, seed 321, Python's generator. Queries are the photos that hold at least 2,048 pixels of one
of the fold's classes, in order, again and again; the class is any one in the query, also one that
is smaller there; supports hold at least 2,048 pixels of it, and are all different.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lexiseg.errors import InputError

__all__ = [
    "MIN_AREA",
    "Episode",
    "fold_classes",
    "hsnet_coco_episodes",
    "hsnet_fss_episodes",
    "hsnet_pascal_episodes",
    "pfenet_episodes",
]

# "Larger than 2 x 32 x 32": two cells of a net that sees a cell of 32 pixels (PFENet).
MIN_AREA = 2 * 32 * 32


@dataclass(frozen=True)
class Episode:
    """One task: find the class in the query, given photos that show it; photos by their ids."""

    query: str
    supports: tuple[str, ...]
    class_id: int


def fold_classes(fold: int, num_classes: int, *, interleaved: bool) -> tuple[int, ...]:
    """Return the classes that are new in one of four folds, from 0.

    Pascal-5i has contiguous folds. COCO-20i has interleaved ones, f, f + 4, f + 8, ..., in HSNet
    and most papers since FWB (Nguyen and Todorovic, 2019), contiguous ones in PFENet's default.
    Raises InputError for a fold other than 0 to 3.
    """
    if fold not in range(4):
        raise InputError(f"fold {fold} is none of the four; give 0, 1, 2 or 3")
    size = num_classes // 4
    if interleaved:
        return tuple(range(fold, num_classes, 4))
    return tuple(range(fold * size, (fold + 1) * size))


def hsnet_pascal_episodes(
    entries: Sequence[tuple[str, int]], *, seed: int = 0, count: int = 1000, shots: int = 1
) -> tuple[Episode, ...]:
    """Draw episodes from a fold's list of (photo, class), in its order."""
    _check(len(entries), count, shots)
    by_class: dict[int, list[str]] = {}
    for name, class_id in entries:
        by_class.setdefault(class_id, []).append(name)
    draw = np.random.RandomState(seed)
    drawn = []
    for place in range(count):
        query, class_id = entries[place % len(entries)]
        drawn.append(Episode(query, _others(draw, query, by_class[class_id], shots), class_id))
    return tuple(drawn)


def hsnet_coco_episodes(
    by_class: Mapping[int, Sequence[str]],
    class_ids: Sequence[int],
    *,
    seed: int = 0,
    count: int = 1000,
    shots: int = 1,
) -> tuple[Episode, ...]:
    """Draw episodes of random classes and queries; by_class: the photos that show each class."""
    _check(sum(len(by_class[i]) for i in class_ids), count, shots)
    draw = np.random.RandomState(seed)
    drawn = []
    for _ in range(count):
        class_id = int(draw.choice(np.array(class_ids), 1, replace=False)[0])
        query = _one(draw, by_class[class_id])
        drawn.append(Episode(query, _others(draw, query, by_class[class_id], shots), class_id))
    return tuple(drawn)


def hsnet_fss_episodes(
    classes: Sequence[tuple[int, Sequence[str]]], *, seed: int = 0, shots: int = 1
) -> tuple[Episode, ...]:
    """Draw an episode for every photo; classes: (class, its photos 1.jpg to 10.jpg) in order.

    Queries come in the order of their file names as texts: 1, 10, 2, ..., 9.
    """
    _check(sum(len(photos) for _, photos in classes), 1, shots)
    draw = np.random.RandomState(seed)
    drawn = []
    for class_id, photos in classes:
        for query in sorted(photos, key=lambda name: f"{name}.jpg"):
            drawn.append(Episode(query, _others(draw, query, photos, shots), class_id))
    return tuple(drawn)


def pfenet_episodes(
    areas: Sequence[tuple[str, Mapping[int, int]]],
    class_ids: Sequence[int],
    *,
    seed: int = 321,
    count: int = 5000,
    shots: int = 1,
    workers: int = 8,
) -> tuple[Episode, ...]:
    """Draw episodes from photos with the pixels of each class that they hold, in the list's order.

    workers: processes of PyTorch's loader, as the code is run with; each has its own stream of
    numbers and every eighth photo. 0: one stream, for lists that need no torch. The published
    code does one episode more than `count` before it stops.
    """
    wanted = sorted(class_ids)
    usable = [
        (name, held) for name, held in areas if any(held.get(c, 0) >= MIN_AREA for c in wanted)
    ]
    _check(len(usable), count, shots)
    large = {c: [name for name, held in usable if held.get(c, 0) >= MIN_AREA] for c in wanted}
    drawn: list[Episode] = []
    epochs = _worker_seeds(seed, -(-count // len(usable)), workers)
    single = random.Random(seed)
    for seeds in epochs:
        streams = [random.Random(one) for one in seeds] or [single]
        for place, (query, held) in enumerate(usable[: count - len(drawn)]):
            draw = streams[place % len(streams)]
            present = [c for c in wanted if held.get(c, 0) > 0]
            class_id = present[draw.randint(1, len(present)) - 1]
            drawn.append(Episode(query, _distinct(draw, query, large[class_id], shots), class_id))
    return tuple(drawn)


def _check(photos: int, count: int, shots: int) -> None:
    if photos < 1:
        raise InputError("no photo holds a class of the fold; take the published list and masks")
    if count < 1 or shots < 1:
        raise InputError(f"{count} episodes of {shots} shots; give at least 1 of each")


def _one(draw: np.random.RandomState, names: Sequence[str]) -> str:
    # `choice` without replacement shuffles all places: what the published code does.
    return names[int(draw.choice(len(names), 1, replace=False)[0])]


def _others(
    draw: np.random.RandomState, query: str, names: Sequence[str], shots: int
) -> tuple[str, ...]:
    """Draw supports, none of which is the query; two may be the same."""
    if all(name == query for name in names):
        raise InputError(f"no photo but {query!r} shows its class; take the published list")
    drawn: list[str] = []
    while len(drawn) < shots:
        name = _one(draw, names)
        if name != query:
            drawn.append(name)
    return tuple(drawn)


def _distinct(draw: random.Random, query: str, names: Sequence[str], shots: int) -> tuple[str, ...]:
    """Draw supports that are all different, none of which is the query."""
    if len(set(names) - {query}) < shots:
        raise InputError(
            f"fewer than {shots} photos but {query!r} show enough of its class; ask for fewer "
            "shots, or take the published list and masks"
        )
    drawn: list[str] = []
    for _ in range(shots):
        draw.randint(1, len(names))  # drawn and not looked at, as in the published code
        name = query
        while name == query or name in drawn:
            name = names[draw.randint(1, len(names)) - 1]
        drawn.append(name)
    return tuple(drawn)


def _worker_seeds(seed: int, epochs: int, workers: int) -> list[list[int]]:
    """Return the seeds of PyTorch's loader processes, for each time that it goes over the set."""
    if workers == 0:
        return [[] for _ in range(epochs)]
    import torch

    numbers = torch.Generator().manual_seed(seed)
    bases = [
        int(torch.empty((), dtype=torch.int64).random_(generator=numbers)) for _ in range(epochs)
    ]
    return [[base + worker for worker in range(workers)] for base in bases]
