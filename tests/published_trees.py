"""Published data sets, drawn small: every folder and file has its published name, no side is equal.

`TREES` names a builder for every set that is registered; what it draws depends on nothing but the
code here, so that golden files hold what official code said of the same trees.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from lexiseg.datasets.published.coco import THINGS

SIZES = ((6, 9), (9, 7), (5, 8))  # height and width of a set's photos, in turn
LARGE = ((58, 47), (49, 63), (61, 53))  # of those that must hold 2,048 pixels of a class
VOC_IDS = ("2007_000033", "2007_000042", "2008_000008")
COCO_IDS = (139, 285, 632)
# COCO's numbers of its 80 classes.
THING_IDS = tuple(i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))


def write(path: Path, pixels: NDArray[Any], *, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([value for i in range(256) for value in (i * 7 % 256, i * 3 % 256, i)])
    image.save(path)


def photo(path: Path, size_hw: tuple[int, int], seed: int = 0) -> None:
    rows, columns = np.indices(size_hw)
    rgb = np.stack([rows * 20 + seed, columns * 25, (rows + columns) * 10], -1) % 256
    write(path, rgb.astype(np.uint8))


def blocks(size_hw: tuple[int, int], values: Sequence[int], seed: int) -> NDArray[np.uint8]:
    """A mask of small blocks, in which every value stands."""
    height, width = size_hw
    cells = np.random.RandomState(seed).permutation(height * width) % len(values)
    return np.array(values, np.uint8)[cells.reshape(size_hw)]


def lines(path: Path, texts: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def dump(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def voc(root: Path) -> None:
    folder = root / "VOCdevkit" / "VOC2012"
    for seed, (name, size) in enumerate(zip(VOC_IDS, SIZES, strict=True)):
        mask = blocks(size, (0, 1, 7, 20, 255, 12 + seed), seed)
        photo(folder / "JPEGImages" / f"{name}.jpg", size, seed)
        write(folder / "SegmentationClass" / f"{name}.png", mask, palette=True)
        write(folder / "SegmentationClassAug" / f"{name}.png", blocks(size, (0, 3, 19), seed))
    lists = folder / "ImageSets" / "Segmentation"
    lines(lists / "val.txt", [VOC_IDS[2], VOC_IDS[0]])  # not in the order of names
    lines(lists / "train.txt", VOC_IDS[1:2])
    lines(lists / "trainval.txt", VOC_IDS)
    pair = "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png"
    lines(lists / "trainaug.txt", [pair.format(name) for name in VOC_IDS[:2]])


def sbd(root: Path) -> None:
    folder = root / "benchmark_RELEASE" / "dataset"
    for seed, (name, size) in enumerate(zip(VOC_IDS, SIZES, strict=True)):
        photo(folder / "img" / f"{name}.jpg", size, seed)
        (folder / "cls").mkdir(exist_ok=True)
        inner = {"Segmentation": blocks(size, (0, 1, 20), seed), "Boundaries": np.zeros((2, 3))}
        savemat(folder / "cls" / f"{name}.mat", {"GTcls": inner})
    lines(folder / "val.txt", VOC_IDS[:2])
    lines(folder / "train.txt", VOC_IDS[2:])


def context(root: Path) -> None:
    folder = root / "VOCdevkit" / "VOC2010"
    for seed, (name, size) in enumerate(zip(VOC_IDS, SIZES, strict=True)):
        photo(folder / "JPEGImages" / f"{name}.jpg", size, seed)
        mask = blocks(size, (0, 1, 59, 30 + seed), seed)
        write(folder / "SegmentationClassContext" / f"{name}.png", mask)
    lines(folder / "ImageSets" / "SegmentationContext" / "val.txt", VOC_IDS[:2])
    lines(folder / "ImageSets" / "SegmentationContext" / "train.txt", VOC_IDS[2:])


def ade20k(root: Path) -> None:
    folder = root / "ADEChallengeData2016"
    for part, title, numbers in (("validation", "val", (2, 10, 1)), ("training", "train", (7,))):
        for seed, number in enumerate(numbers):
            name, size = f"ADE_{title}_{number:08}", SIZES[seed]
            photo(folder / "images" / part / f"{name}.jpg", size, seed)
            mask = blocks(size, (0, 1, 150, 77 + seed), seed)
            write(folder / "annotations" / part / f"{name}.png", mask)


def cityscapes(root: Path) -> None:
    places = {"val": ("munster_000001", "frankfurt_000000", "munster_000000"), "train": ("ulm_01",)}
    for split, names in places.items():
        for seed, name in enumerate(names):
            city, size = name.partition("_")[0], SIZES[seed]
            photo(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", size, seed)
            mask = blocks(size, tuple(range(34)), seed)
            write(root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", mask)


def coco(root: Path) -> None:
    """Photos, instances, panoptic segments and COCO-Stuff's maps of 2017, below one folder."""
    stuff = (0, 10, 12, 89, 91, 181, 255)
    for split, numbers in (("val", COCO_IDS), ("train", (9,))):
        images, things, segments = [], [], []
        for seed, number in enumerate(numbers):
            name, size = f"{number:012}", SIZES[seed]
            photo(root / f"{split}2017" / f"{name}.jpg", size, seed)
            maps = root / "stuffthingmaps" / f"{split}2017"
            write(maps / f"{name}.png", blocks(size, stuff, seed))
            images.append({"id": number, "file_name": f"{name}.jpg", "height": size[0],
                           "width": size[1]})  # fmt: skip
            things += _things(number, size)
            segments.append(_segments(root / f"panoptic_{split}2017", name, number, size, seed))
        names = [{"id": i, "name": n} for i, n in zip(THING_IDS, THINGS, strict=True)]
        # Neither images nor categories in the order of their numbers.
        content = {"images": images[::-1], "annotations": things, "categories": names[::-1]}
        dump(root / "annotations" / f"instances_{split}2017.json", content)
        stuffs = [{"id": 92, "name": "banner", "isthing": 0}, {"id": 200, "name": "rug-merged",
                                                              "isthing": 0}]  # fmt: skip
        content = {"images": images, "annotations": segments, "categories": names + stuffs}
        dump(root / "annotations" / f"panoptic_{split}2017.json", content)


def _things(number: int, size: tuple[int, int]) -> list[dict[str, Any]]:
    """A large polygon, a small one of two parts on it, and a crowd as run lengths."""
    height, width = size
    large = [0, 0, width - 1, 0, width - 1, height - 2, 0.5, height - 1.5]
    parts = [[1, 1, 3.5, 1, 3.5, 3, 1, 3], [5, 2, 6.5, 2, 6.5, 4]]
    crowd = {"size": [height, width], "counts": [2, 3, height * width - 7, 2]}
    shapes: list[tuple[int, Any, int]] = [(18, [large], 0), (1, parts, 0), (90, crowd, 1)]
    return [
        {"id": number * 10 + place, "image_id": number, "category_id": category,
         "segmentation": shape, "area": 10.0 - place, "iscrowd": crowded, "bbox": [0, 0, 3, 3]}
        for place, (category, shape, crowded) in enumerate(shapes)
    ]  # fmt: skip


def _segments(
    folder: Path, name: str, number: int, size: tuple[int, int], seed: int
) -> dict[str, Any]:
    ids = np.array([0, 7, 300, 70000 + seed, 16777215])
    where = ids[blocks(size, range(5), seed)]
    rgb = np.stack([where % 256, where // 256 % 256, where // 65536], -1)
    write(folder / f"{name}.png", rgb.astype(np.uint8))
    categories = zip(ids[1:].tolist(), (1, 90, 92, 200), strict=True)
    infos = [{"id": i, "category_id": c, "iscrowd": 0} for i, c in categories]
    return {"image_id": number, "file_name": f"{name}.png", "segments_info": infos}


def coco_stuff10k(root: Path) -> None:
    folder = root / "cocostuff-10k-v1.1"
    names = [f"COCO_train2014_{number:012}" for number in COCO_IDS]
    for seed, (name, size) in enumerate(zip(names, SIZES, strict=True)):
        photo(folder / "images" / f"{name}.jpg", size, seed)
        (folder / "annotations").mkdir(exist_ok=True)
        mask = blocks(size, (0, 1, 11, 13, 90, 92, 182), seed)
        savemat(folder / "annotations" / f"{name}.mat", {"S": mask, "names": np.zeros(2)})
    lines(folder / "imageLists" / "test.txt", names[:2])
    lines(folder / "imageLists" / "train.txt", names[2:])


def lvis(root: Path) -> None:
    images, things = [], []
    places = (("val2017", 42), ("train2017", 30), ("val2017", 7))
    for seed, (part, number) in enumerate(places):
        size = SIZES[seed]
        photo(root / part / f"{number:012}.jpg", size, seed)
        url = f"http://images.cocodataset.org/{part}/{number:012}.jpg"
        images.append({"id": number, "coco_url": url, "height": size[0], "width": size[1],
                       "neg_category_ids": [3], "not_exhaustive_category_ids": [2]})  # fmt: skip
        for one in _things(number, size)[:2]:
            category = 2 if one["category_id"] == 18 else 5
            things.append(one | {"category_id": category, "iscrowd": 0})
    names = [{"id": i, "name": f"thing_{i}"} for i in (5, 2, 3)]
    for split in ("val", "train", "minival"):
        content = {"images": images, "annotations": things, "categories": names}
        dump(root / f"lvis_v1_{split}.json", content)


def phrasecut(root: Path) -> None:
    folder = root / "VGPhraseCut_v0"
    sizes, tasks = [], []
    for seed, number in enumerate((2412, 7, 150417)):
        size = LARGE[seed]
        photo(folder / "images" / f"{number}.jpg", size, seed)
        sizes.append({"image_id": number, "height": size[0], "width": size[1], "split": "test"})
    first = [[[[1.6, 2.2], [20.9, 3.5], [18.2, 30.7]]], [[[30, 30.5], [44, 30.5], [37.5, 44.9]]]]
    second = [[[[5, 5], [25, 5], [25, 20], [5, 20]], [[0, 0], [2, 0]]]]
    for place, (number, phrase, polygons) in enumerate([
        (2412, "red car", first), (7, "wooden table", second), (2412, "car", second),
        (150417, "sign", second),
    ]):  # fmt: skip
        task = {"task_id": f"{number}__{place}", "image_id": number, "phrase": phrase}
        tasks.append(task | {"Polygons": polygons, "instance_boxes": [], "phrase_structure": {}})
    dump(folder / "image_data_split.json", sizes)
    for split in ("test", "val", "train", "miniv"):
        dump(folder / f"refer_{split}.json", tasks)


def refcoco(root: Path) -> None:
    images, things = [], []
    for seed, number in enumerate(COCO_IDS):
        size, name = SIZES[seed], f"COCO_train2014_{number:012}.jpg"
        photo(root / "images" / "mscoco" / "images" / "train2014" / name, size, seed)
        images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
        things += _things(number, size)
    splits = ("val", "testA", "testB", "train", "testAB", "test")
    refs = [
        {"ref_id": i, "ann_id": COCO_IDS[i % 3] * 10 + i % 2, "image_id": COCO_IDS[i % 3],
         "category_id": 1, "split": split, "sent_ids": [2 * i, 2 * i + 1], "sentences": [
             {"sent_id": 2 * i, "sent": f"thing {i}", "tokens": []},
             {"sent_id": 2 * i + 1, "sent": "the left one", "tokens": []}]}
        for i, split in enumerate(splits)
    ]  # fmt: skip
    for folder, kinds in (("refcoco", ["unc"]), ("refcoco+", ["unc"]),
                          ("refcocog", ["umd", "google"])):  # fmt: skip
        dump(root / folder / "instances.json",
             {"images": images, "annotations": things, "categories": []})  # fmt: skip
        for kind in kinds:
            (root / folder / f"refs({kind}).p").write_bytes(pickle.dumps(refs, protocol=2))


def _large_mask(place: int, classes: Sequence[int]) -> NDArray[np.uint8]:
    """Mostly one class, a little of the next, none of the others, some that does not count."""
    mask = np.zeros(LARGE[place % 3], np.uint8)
    mask[2:-2, 1:-1] = classes[place % len(classes)]
    mask[5:9, 5:9] = classes[(place + 1) % len(classes)]
    mask[-1] = 255
    return mask


def pascal5i(root: Path) -> None:
    folder = root / "VOCdevkit" / "VOC2012"
    names = [f"2008_{number:06}" for number in range(24)]
    classes = (1, 2, 3, 6, 11, 16)
    for place, name in enumerate(names):
        photo(folder / "JPEGImages" / f"{name}.jpg", LARGE[place % 3], place)
        mask = _large_mask(place, classes)
        write(folder / "SegmentationClassAug" / f"{name}.png", mask)
    lines(folder / "ImageSets" / "Segmentation" / "val.txt", names)
    for fold in range(4):
        own = range(5 * fold + 1, 5 * fold + 6)
        found = [(n, classes[(p + step) % 6]) for p, n in enumerate(names) for step in (0, 1)]
        lines(folder / "splits" / "pascal" / "val" / f"fold{fold}.txt",
              [f"{name}__{number:02}" for name, number in found if number in own])  # fmt: skip


def coco20i(root: Path) -> None:
    folder = root / "COCO2014"
    names = [f"val2014/COCO_val2014_{number:012}" for number in range(32)]
    classes = (1, 2, 3, 4, 5, 26, 47, 68)  # two of each interleaved fold, and of each contiguous
    for place, name in enumerate(names):
        photo(folder / f"{name}.jpg", LARGE[place % 3], place)
        mask = _large_mask(place, classes)
        write(folder / "annotations" / f"{name}.png", np.where(mask == 255, 0, mask))
    lines(folder / "lists" / "coco" / "val_data_list.txt",
          [f"{name}.jpg annotations/{name}.png" for name in names])  # fmt: skip
    for fold in range(4):
        found: dict[int, list[str]] = {class_id: [] for class_id in range(80)}
        for place, name in enumerate(names):
            for number in (classes[place % 8], classes[(place + 1) % 8]):
                if (number - 1) % 4 == fold:
                    found[number - 1].append(f"{name}.jpg")
        # Classes without a photo borrow: every class of a fold has some in the published lists.
        for class_id in range(fold, 80, 4):
            found[class_id] = found[class_id] or [f"{name}.jpg" for name in names[fold : fold + 5]]
        path = folder / "splits" / "coco" / "val" / f"fold{fold}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(found))


def fss1000(root: Path) -> None:
    folder = root / "FSS-1000"
    for place, name in enumerate(("water_buffalo", "abe's_flyingfish", "bus")):
        for number in range(1, 11):
            size = SIZES[(place + number) % 3]
            photo(folder / name / f"{number}.jpg", size, number)
            grey = np.random.RandomState(place * 10 + number).randint(0, 256, (*size, 3))
            write(folder / name / f"{number}.png", grey.astype(np.uint8))
    lines(folder / "fss_test_set.txt", ["water_buffalo", "abe's_flyingfish"])
    for split in ("trn", "val"):
        lines(folder / "splits" / "fss" / f"{split}.txt", ["bus"])


def davis(root: Path) -> None:
    folder = root / "DAVIS"
    for seed, name in enumerate(("blackswan", "bmx-trees", "bear")):
        for frame in range(3):
            photo(folder / "JPEGImages" / "480p" / name / f"{frame:05}.jpg", SIZES[seed], frame)
            mask = blocks(SIZES[seed], (0, 1, 2, 255), seed * 3 + frame)
            write(folder / "Annotations" / "480p" / name / f"{frame:05}.png", mask, palette=True)
    lines(folder / "ImageSets" / "2017" / "val.txt", ["bmx-trees", "blackswan"])
    lines(folder / "ImageSets" / "2017" / "train.txt", ["bear"])
    both = "/JPEGImages/480p/{0}/{1:05}.jpg /Annotations/480p/{0}/{1:05}.png"
    lines(
        folder / "ImageSets" / "480p" / "val.txt", [both.format("blackswan", i) for i in range(3)]
    )
    lines(folder / "ImageSets" / "480p" / "train.txt", [both.format("bear", i) for i in range(3)])


TREES: dict[str, Callable[[Path], None]] = {
    "ade20k": ade20k, "cityscapes": cityscapes, "coco": coco, "coco-object": coco,
    "coco-open-48-17": coco, "coco-open-65-15": coco, "coco-panoptic": coco,
    "coco-stuff10k": coco_stuff10k, "coco-stuff164k": coco, "coco20i": coco20i,
    "coco20i-contiguous": coco20i, "coco20i-pfenet": coco20i, "context59": context,
    "context60": context, "davis2016": davis, "davis2017": davis, "fss1000": fss1000, "lvis": lvis,
    "pascal5i": pascal5i, "pascal5i-pfenet": pascal5i, "phrasecut": phrasecut,
    "phrasecut-clipseg": phrasecut, "refcoco": refcoco, "refcoco+": refcoco, "refcocog": refcoco,
    "refcocog-google": refcoco, "sbd": sbd, "voc20": voc, "voc21": voc, "voc21-aug": voc,
    "voc21-unseen10": voc, "voc21-unseen4": voc,
}  # fmt: skip
