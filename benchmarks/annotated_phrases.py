"""The rule by which phrases are built from annotations: true and false ones, by geometry alone.

Things are the instances of a COCO file, the 8-connected parts of a class in a class mask, and the
one object of a video's frame, of at least 1,024 pixels.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import Unmeasurable
from lexiseg import imaging
from lexiseg.datasets import open_set
from lexiseg.masks import Masks
from lexiseg.stages.spatial_relations import Shape, distance, shapes

__all__ = ["Asked", "Photo", "annotated_photos", "place_phrases", "related_phrases"]

MIN_AREA, MOST_THINGS, FRAMES = 1024, 6, (0, 31)
APART, LARGER, ASIDE = 0.1, 1.5, 0.12  # of the side; of areas; of a single thing from the middle
TOUCH, NEAR = 0.02, 0.06  # of the longer side
_PART = 0.1  # of the largest part of a class: smaller ones are pieces of it
# No things: their connected parts are not what people count.
_STUFF = frozenset({
    "building", "grass", "tree", "sky", "mountain", "water", "road", "body", "background",
})  # fmt: skip
_VIDEOS = {
    "bmx-trees": "bicycle", "camel": "camel", "car-shadow": "car", "dance-twirl": "person",
    "dog": "dog", "drift-chicane": "car", "drift-straight": "car", "libby": "dog",
    "motocross-jump": "motorcycle", "parkour": "person", "scooter-black": "motorcycle",
}  # fmt: skip
# Pairs that people speak of: what is on what, and what people have with them.
_SEATS = ("dining table", "bed", "bench", "chair", "couch")
_ON = {
    "person": (
        "horse", "motorcycle", "bicycle", "surfboard", "skateboard", "snowboard", "skis", "boat",
        "elephant", *_SEATS[1:],
    ),
    **dict.fromkeys(
        (
            "cup", "bottle", "bowl", "wine glass", "laptop", "book", "vase", "pizza", "cake", "cat",
            "dog", "fork", "knife", "sandwich", "teddy bear",
        ),
        _SEATS,
    ),
}  # fmt: skip
_WITH = ("backpack", "handbag", "umbrella", "tie", "suitcase", "cell phone", "tennis racket",
         "baseball bat", "baseball glove", "frisbee", "kite", "sports ball")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo's place, and the masks of the things of each noun; few: how many small ones more."""

    set_name: str
    path: Path
    things: dict[str, Masks]
    small: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A phrase, its noun, and which thing of the noun it means: None for a false phrase.

    other: the noun of what it stands to, and which of its things that is.
    """

    kind: str
    phrase: str
    noun: str
    target: int | None
    other: tuple[str, int] | None = None


def annotated_photos(folders: list[Path], split: str, limit: int | None) -> Iterator[Photo]:
    """Yield the photos of the sets coco, voc, msrc and davis that lie in any of the folders."""
    count = 0
    for name in ("coco", "voc", "msrc", "davis"):
        places = [f if f.name == name else f / name for f in folders]
        home = next((one for one in places if one.is_dir()), None)
        if home is None:
            continue
        read = {"coco": _coco, "davis": _videos}.get(name, _class_masks)
        for number, photo in enumerate(read(home, split)):
            if limit is not None and number >= limit:
                break
            count += 1
            yield photo
    if not count:
        raise Unmeasurable("none of the sets coco, voc, msrc and davis is in the --data folders")


def place_phrases(noun: str, masks: Masks, *, all_there: bool = True) -> list[Asked]:
    """Return the phrases of place and size that are clearly true, or false, of a noun's things.

    all_there: there are no others in the photo; else no phrase is known to be false.
    """
    height, width = masks.size_hw
    boxes = masks.boxes_xyxy.astype(np.float64)
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2 / width, (boxes[:, 1] + boxes[:, 3]) / 2 / height
    if len(masks) == 1:
        if abs(x[0] - 0.5) < ASIDE:
            return []
        side, other = ("left", "right") if x[0] < 0.5 else ("right", "left")
        true = Asked("place, one thing", f"{noun} on the {side}", noun, 0)
        return [true, Asked("place, false", f"{noun} on the {other}", noun, None)][: 1 + all_there]
    out = []
    for side, key in (("left", x), ("right", -x), ("top", y), ("bottom", -y)):
        order = np.argsort(key, kind="stable")
        if key[order[1]] - key[order[0]] >= APART:
            where = f"the {side} {noun}" if side in ("left", "right") else f"{noun} at the {side}"
            out.append(Asked("place", where, noun, int(order[0])))
        if side in ("left", "right") and len(masks) > 2:
            gaps = np.diff(key[order])[:2]
            if gaps.min() >= APART:
                out.append(Asked("order", f"second {noun} from the {side}", noun, int(order[1])))
    areas = masks.areas
    for word, order in (("largest", np.argsort(-areas)), ("smallest", np.argsort(areas))):
        first, second = areas[order[0]], areas[order[1]]
        if max(first, second) >= LARGER * min(first, second):
            out.append(Asked("size", f"the {word} {noun}", noun, int(order[0])))
    number = len(masks) + 1
    out.append(Asked("number, false", f"{number} {noun}s", noun, None))
    return out


def related_phrases(photo: Photo) -> list[Asked]:
    """Return relations that are clearly true, or false, of things of two nouns.

    "Person on horse": one person alone is near a horse, touches it, stands over it with the middle
    of the box, and ends above where it ends. "Person with umbrella": of all people one alone is
    near. False, where all things of both nouns are there: no two of them are near, or, of "on",
    those that are stand beside and end below. "Left of": of two nouns with a thing each, apart
    from side to side.
    """
    out = []
    for noun, masks in photo.things.items():
        own = shapes(masks)
        for other in (*_ON.get(noun, ()), *(_WITH if noun == "person" else ())):
            if other not in photo.things:
                continue
            name = "with" if other in _WITH else "on"
            theirs = shapes(photo.things[other])
            side = max(own[0].mask.shape)
            apart = np.array([[distance(a, b) / side for b in theirs] for a in own])
            whole = not (photo.small.get(noun) or photo.small.get(other))
            phrase = f"{noun} {name} {other}"
            near = np.argwhere(apart < NEAR)
            if len(near) == 1:
                i, k = near[0].tolist()
                if apart[i, k] < TOUCH and (name == "with" or _is_over(own[i], theirs[k])):
                    out.append(Asked(f"relation: {name}", phrase, noun, i, (other, k)))
                    continue
            off = apart > APART
            if name == "on":
                off |= np.array([[_is_beside(a, b) for b in theirs] for a in own])
            if whole and off.all():
                out.append(Asked(f"relation: {name}, false", phrase, noun, None, (other, 0)))
    return [*out, *_beside(photo)]


def _is_over(thing: Shape, other: Shape) -> bool:
    x0, _, x1, y1 = thing.box_xyxy
    left, _, right, bottom = other.box_xyxy
    return left < (x0 + x1) / 2 < right and y1 < bottom - TOUCH * max(thing.mask.shape)


def _is_beside(thing: Shape, other: Shape) -> bool:
    x0, _, x1, y1 = thing.box_xyxy
    left, _, right, bottom = other.box_xyxy
    return not left < (x0 + x1) / 2 < right and y1 >= bottom


def _beside(photo: Photo) -> list[Asked]:
    out = []
    alone = [n for n, masks in photo.things.items() if len(masks) == 1 and not photo.small.get(n)]
    for noun in alone:
        for other in alone:
            one, two = (photo.things[n].boxes_xyxy[0].tolist() for n in (noun, other))
            width = photo.things[noun].size_hw[1]
            if noun == other or (two[0] + two[2] - one[0] - one[2]) / 2 < 2 * APART * width:
                continue  # only what is to the left, so that each pair comes once
            if one[0] < two[0] and one[2] < two[2]:
                true, false = f"{noun} left of {other}", f"{noun} right of {other}"
                out.append(Asked("relation: beside", true, noun, 0, (other, 0)))
                out.append(Asked("relation: beside, false", false, noun, None, (other, 0)))
    return out


def _coco(home: Path, split: str) -> Iterator[Photo]:
    content = json.loads((home / split / "instances.json").read_text("utf-8"))
    names = {one["id"]: one["name"] for one in content["categories"]}
    by_photo: dict[int, dict[str, list[list[list[float]]]]] = defaultdict(lambda: defaultdict(list))
    crowds = set()
    for note in content["annotations"]:
        noun = names[note["category_id"]]
        if note["iscrowd"] or not isinstance(note["segmentation"], list):
            crowds.add((note["image_id"], noun))
        else:
            by_photo[note["image_id"]][noun].append(note["segmentation"])
    for image in content["images"]:
        size = (image["height"], image["width"])
        stem = Path(image["file_name"]).stem
        things, small = {}, {}
        for noun, polygons in by_photo[image["id"]].items():
            if (image["id"], noun) in crowds:
                continue
            masks = Masks.from_polygons(polygons, size)
            things[noun] = masks[masks.areas >= MIN_AREA]
            small[noun] = int((masks.areas < MIN_AREA).sum())
        yield Photo("coco", home / split / "images" / f"{stem}.webp", _some(things), small)


def _class_masks(home: Path, split: str) -> Iterator[Photo]:
    import cv2

    data = open_set(home, split)
    for sample in data:
        with Image.open(sample.path) as file:
            size_hw = (file.height, file.width)
        labels = sample.labels(size_hw)
        things, small = {}, {}
        for index in np.unique(labels).tolist():
            if index in (data.ignore_index, data.background_index):
                continue
            noun = data.classes[index]
            if noun in _STUFF:
                continue
            _, parts = cv2.connectedComponents((labels == index).astype(np.uint8))
            masks = Masks.from_labels(parts, range(1, int(parts.max()) + 1))
            kept = (masks.areas >= MIN_AREA) & (masks.areas >= _PART * masks.areas.max())
            things[noun], small[noun] = masks[kept], int((~kept).sum())
        yield Photo(home.name, sample.path, _some(things), small)


def _videos(home: Path, split: str) -> Iterator[Photo]:
    del split  # every video is of the val part
    for name, noun in _VIDEOS.items():
        video = home / name
        if not (video / "masks").is_dir():
            continue
        for path in [p for k, p in enumerate(sorted((video / "images").iterdir())) if k in FRAMES]:
            pixels = imaging.read(video / "masks" / f"{path.stem}.png").rgb[..., 0]
            mask: NDArray[np.bool_] = pixels > 0
            if mask.sum() >= MIN_AREA:
                yield Photo("davis", path, {noun: Masks.from_dense(mask[None])})


def _some(things: dict[str, Masks]) -> dict[str, Masks]:
    return {noun: masks for noun, masks in things.items() if 0 < len(masks) <= MOST_THINGS}
