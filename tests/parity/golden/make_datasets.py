"""Read the small published trees with the official loaders, and keep what they say.

    python -m tests.parity.golden.make_datasets SOURCES

SOURCES holds checkouts under their own names: hsnet (6b1bc12), PFENet (a505675), PhraseCutDataset
(276470b), refer (e3bbaa3, through 2to3), SCLIP (b56bd30), davis2017-evaluation (ac7c43f) and
panopticapi. mmsegmentation 1.2.2 with its converters, mmcv-lite 2.1.0, mmengine, cityscapesscripts,
lvis and pycocotools are installed. ``datasets.json`` gets class names, label maps, masks and
episodes.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import random
import runpy
import sys
import tempfile
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.published_trees import LARGE, TREES

HERE = Path(__file__).parent


def stand_ins() -> None:
    """What mmseg wants beside its readers: compiled operators, and optimizers it registers."""

    class Operators(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return lambda *given, **named: None

    operators = Operators("mmcv._ext")
    operators.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)
    sys.modules["mmcv._ext"] = operators
    sys.modules["transformers"] = None  # type: ignore[assignment]


def rows(labels: Any) -> list[list[int]]:
    return np.asarray(labels).astype(int).tolist()


def semantic(data: Any, base: Path) -> dict[str, Any]:
    """Class names, and the label map of each photo in the loader's order."""
    photos = []
    for i in range(len(data)):
        item = data[i]
        photos.append([Path(item["img_path"]).relative_to(base).as_posix(),
                       rows(item["gt_seg_map"])])  # fmt: skip
    return {"classes": list(data.metainfo["classes"]), "photos": photos}


def mmseg_sets(sources: Path, tree: dict[str, Path]) -> dict[str, Any]:
    import mmseg.datasets as official
    from cityscapesscripts.helpers.labels import labels
    from mmengine.registry import init_default_scope

    init_default_scope("mmseg")
    sys.path.insert(0, str(sources / "SCLIP"))
    papers = load(sources / "SCLIP" / "custom_datasets.py")
    tools = Path(official.__file__).parents[1] / ".mim" / "tools" / "dataset_converters"
    pipeline = [{"type": "LoadAnnotations"}]

    def of_list(cls: Any, root: Path, masks: str, listed: str) -> dict[str, Any]:
        prefix = {"img_path": "JPEGImages", "seg_map_path": masks}
        data = cls(data_root=str(root), data_prefix=prefix, ann_file=listed, pipeline=pipeline)
        return semantic(data, root)

    def of_folders(cls: Any, root: Path, photos: str, masks: str, **how: Any) -> dict[str, Any]:
        prefix = {"img_path": photos, "seg_map_path": masks}
        return semantic(
            cls(data_root=str(root), data_prefix=prefix, pipeline=pipeline, **how), root
        )

    voc = tree["voc21"] / "VOCdevkit" / "VOC2012"
    context = tree["context60"] / "VOCdevkit" / "VOC2010"
    lists = "ImageSets/Segmentation/val.txt"
    context_list, context_masks = (
        "ImageSets/SegmentationContext/val.txt",
        "SegmentationClassContext",
    )
    found = {
        "voc21": of_list(official.PascalVOCDataset, voc, "SegmentationClass", lists),
        "voc20": of_list(papers.PascalVOC20Dataset, voc, "SegmentationClass", lists),
        "voc21-aug": of_list(official.PascalVOCDataset, voc, "SegmentationClassAug", lists),
        "context60": of_list(official.PascalContextDataset, context, context_masks, context_list),
        "context59": of_list(official.PascalContextDataset59, context, context_masks, context_list),
        "ade20k": of_folders(
            official.ADE20KDataset, tree["ade20k"] / "ADEChallengeData2016", "images/validation",
            "annotations/validation",
        ),
    }  # fmt: skip

    streets = tree["cityscapes"]
    ids = {label.id: label.trainId for label in labels if label.id >= 0}
    for path in streets.glob("gtFine/*/*/*_labelIds.png"):
        mask = np.vectorize(ids.get)(np.array(Image.open(path))).astype(np.uint8)
        Image.fromarray(mask).save(str(path).replace("labelIds", "labelTrainIds"))
    found["cityscapes"] = of_folders(
        official.CityscapesDataset, streets, "leftImg8bit/val", "gtFine/val"
    )

    coco = tree["coco-stuff164k"]
    stuff, objects = (
        load(tools / "coco_stuff164k.py"),
        load(sources / "SCLIP/datasets/cvt_coco_object.py"),
    )
    (coco / "annotations" / "val2017").mkdir()
    for path in sorted((coco / "stuffthingmaps" / "val2017").glob("*.png")):
        stuff.convert_to_trainID(str(path), str(coco / "annotations"), False)
        objects.convert_to_trainID(str(path), str(coco / "annotations"), False)
    found["coco-stuff164k"] = of_folders(
        official.COCOStuffDataset, coco, "val2017", "annotations/val2017"
    )
    found["coco-object"] = of_folders(
        papers.COCOObjectDataset, coco, "val2017", "annotations/val2017"
    )

    small = tree["coco-stuff10k"] / "cocostuff-10k-v1.1"
    convert = load(tools / "coco_stuff10k.py")
    for part in ("images", "annotations"):
        (small / "made" / part / "test2014").mkdir(parents=True)
    for name in (small / "imageLists" / "test.txt").read_text().split():
        convert.convert_to_trainID(
            (f"{name}.jpg", f"{name}.mat"), str(small / "images"), str(small / "annotations"),
            str(small / "made" / "images"), str(small / "made" / "annotations"), False,
        )  # fmt: skip
    found["coco-stuff10k"] = of_folders(
        official.COCOStuffDataset, small / "made", "images/test2014", "annotations/test2014",
        reduce_zero_label=True,
    )  # fmt: skip

    augmented = load(tools / "voc_aug.py")
    folder = tree["sbd"] / "benchmark_RELEASE" / "dataset"
    masks = []
    for name in (folder / "val.txt").read_text().split():
        augmented.convert_mat(f"{name}.mat", str(folder / "cls"), str(folder))
        masks.append([f"img/{name}.jpg", rows(Image.open(folder / f"{name}.png"))])
    found["sbd"] = {"classes": found["voc21"]["classes"], "photos": masks}
    return found


def instances(sources: Path, tree: dict[str, Path]) -> dict[str, Any]:
    from lvis import LVIS
    from pycocotools.coco import COCO

    coco = COCO(tree["coco"] / "annotations" / "instances_val2017.json")
    names = [one["name"] for one in coco.loadCats(sorted(coco.getCatIds()))]
    things = [
        [number, one["category_id"], rows(coco.annToMask(one))]
        for number in sorted(coco.getImgIds())
        for one in coco.loadAnns(coco.getAnnIds(number))
    ]
    lvis = LVIS(str(tree["lvis"] / "lvis_v1_val.json"))
    federated = [
        [number, one["category_id"], rows(lvis.ann_to_mask(one))]
        for number in sorted(lvis.get_img_ids())
        for one in lvis.load_anns(lvis.get_ann_ids(img_ids=[number]))
    ]
    sys.path.insert(0, str(sources / "panopticapi"))
    converter = load(sources / "panopticapi" / "converters" / "panoptic2semantic_segmentation.py")
    root = tree["coco-panoptic"]
    listed = json.loads((root / "annotations" / "panoptic_val2017.json").read_text())
    (root / "made").mkdir()
    converter.extract_semantic_single_core(
        0, listed["annotations"], str(root / "panoptic_val2017"), None, str(root / "made"),
        {one["id"]: one for one in listed["categories"]}, True, False,
    )  # fmt: skip
    panoptic = [
        [one["file_name"], rows(Image.open(root / "made" / one["file_name"]))]
        for one in listed["annotations"]
    ]
    return {"coco": {"classes": names, "things": things}, "lvis": federated, "panoptic": panoptic}


def phrases(sources: Path, tree: dict[str, Path]) -> dict[str, Any]:
    from pycocotools import mask as coco_mask
    from skimage.draw import polygon2mask

    drawn = load(sources / "PhraseCutDataset" / "utils" / "data_transfer.py")
    tasks = json.loads((tree["phrasecut"] / "VGPhraseCut_v0" / "refer_test.json").read_text())
    sizes = {2412: LARGE[0], 7: LARGE[1], 150417: LARGE[2]}
    official, clipseg = {}, {}
    for task in tasks:
        height, width = sizes[task["image_id"]]
        polygons = [polygon for thing in task["Polygons"] for polygon in thing]
        own = drawn.polygons_to_mask(polygons, width, height)
        official[task["task_id"]] = np.flatnonzero(own).tolist()
        # As PhraseCut.load_sample of clipseg/datasets/phrasecut.py.
        parts = [polygon2mask((height, width), [p[::-1] for p in polygon]) for polygon in polygons]
        clipseg[task["task_id"]] = np.flatnonzero(np.stack(parts).max(0)).tolist()

    external = types.ModuleType("external")
    external.mask = coco_mask  # type: ignore[attr-defined]
    sys.modules["external"] = external
    refer = runpy.run_path(str(sources / "refer" / "refer.py"))["REFER"]
    sentences: dict[str, Any] = {}
    for name, divided in (("refcoco", "unc"), ("refcoco+", "unc"), ("refcocog", "umd")):
        data = refer(str(tree["refcoco"]), name, divided)
        kinds = ("val", "test", "train") if divided == "umd" else ("val", "testA", "testB", "train")
        for split in kinds:
            sentences[f"{name}/{split}"] = [
                [said["sent_id"], said["sent"], data.Imgs[ref["image_id"]]["file_name"],
                 rows(np.minimum(data.getMask(ref)["mask"], 1))]
                for ref in data.loadRefs(data.getRefIds(split=split)) for said in ref["sentences"]
            ]  # fmt: skip
    return {"phrasecut": official, "phrasecut-clipseg": clipseg, "refer": sentences}


def videos(sources: Path, tree: dict[str, Path]) -> dict[str, Any]:
    reader = load(sources / "davis2017-evaluation" / "davis2017" / "davis.py")
    data = reader.DAVIS(str(tree["davis2017"] / "DAVIS"), "semi-supervised", "val")
    found = {}
    for name in data.get_sequences():
        masks, _, frames = data.get_all_masks(name, separate_objects_masks=True)
        numbers = (masks * np.arange(1, len(masks) + 1)[:, None, None, None]).sum(0)
        shown = [rows(one) for one in numbers]
        found[name] = {"frames": frames, "objects": len(masks), "numbers": shown}
    return found


def episodes(sources: Path, tree: dict[str, Path]) -> dict[str, Any]:
    sys.path.insert(0, str(sources / "hsnet"))
    found: dict[str, Any] = {}
    for shots in (1, 3):
        for fold in range(4):
            found[f"pascal5i/fold{fold}/{shots}"] = hsnet_pascal(tree["pascal5i"], fold, shots)
            found[f"coco20i/fold{fold}/{shots}"] = hsnet_coco(tree["coco20i"], fold, shots)
    for shots in (1, 5):
        found[f"fss1000/test/{shots}"] = hsnet_fss(tree["fss1000"], shots)
    reader = load(sources / "PFENet" / "util" / "dataset.py")
    voc = tree["pascal5i"] / "VOCdevkit" / "VOC2012"
    voc_list = voc / "pairs.txt"
    names = (voc / "ImageSets" / "Segmentation" / "val.txt").read_text().split()
    pair = "JPEGImages/{0}.jpg SegmentationClassAug/{0}.png\n"
    voc_list.write_text("".join(pair.format(name) for name in names))
    coco = tree["coco20i"] / "COCO2014"
    coco_list = coco / "lists" / "coco" / "val_data_list.txt"
    for fold in range(4):
        for shots in (1, 3):
            end = f"fold{fold}/{shots}"
            found[f"pascal5i-pfenet/{end}"] = pfenet(reader, voc, voc_list, fold, shots)
            for name in ("coco20i-pfenet", "coco20i-contiguous"):
                how = (True, name == "coco20i-pfenet")
                found[f"{name}/{end}"] = pfenet(reader, coco, coco_list, fold, shots, *how)
    return found


def hsnet_pascal(tree: Path, fold: int, shots: int) -> list[Any]:
    os.chdir(tree / "VOCdevkit")
    (tree / "VOCdevkit" / "data").mkdir(exist_ok=True)
    link(tree / "VOCdevkit" / "data" / "splits", tree / "VOCdevkit" / "VOC2012" / "splits")
    from data.pascal import DatasetPASCAL

    data = DatasetPASCAL(str(tree / "VOCdevkit"), fold, None, "test", shots, True)
    np.random.seed(0)  # noqa: NPY002 - the stream that is compared
    drawn = []
    for i in range(40):
        query, supports, class_id = data.sample_episode(i % len(data.img_metadata))
        mask, ignored = data.extract_ignore_idx(data.read_mask(query).float(), class_id)
        drawn.append([query, [str(s) for s in supports], class_id, int(mask.sum()),
                      int(ignored.sum())])  # fmt: skip
    return drawn


def hsnet_coco(tree: Path, fold: int, shots: int) -> list[Any]:
    os.chdir(tree)
    (tree / "data").mkdir(exist_ok=True)
    link(tree / "data" / "splits", tree / "COCO2014" / "splits")
    from data.coco import DatasetCOCO

    data = DatasetCOCO(str(tree), fold, None, "test", shots, True)
    np.random.seed(0)  # noqa: NPY002 - the stream that is compared
    drawn = []
    for _ in range(40):
        _, mask, _, _, query, supports, class_id, _ = data.load_frame()
        names = [str(one).removesuffix(".jpg") for one in supports]
        drawn.append([str(query).removesuffix(".jpg"), names, int(class_id), int(mask.sum()), 0])
    return drawn


def hsnet_fss(tree: Path, shots: int) -> list[Any]:
    os.chdir(tree)
    (tree / "data" / "splits" / "fss").mkdir(parents=True, exist_ok=True)
    text = (tree / "FSS-1000" / "fss_test_set.txt").read_text()
    (tree / "data" / "splits" / "fss" / "test.txt").write_text(text)
    from data.fss import DatasetFSS

    data = DatasetFSS(str(tree), 0, None, "test", shots, True)
    np.random.seed(0)  # noqa: NPY002 - the stream that is compared
    drawn = []
    for i in range(len(data)):
        query, supports, class_id = data.sample_episode(i)
        _, mask, _, _ = data.load_frame(query, supports)
        short = ["/".join(name.removesuffix(".jpg").split("/")[-2:]) for name in (query, *supports)]
        drawn.append([short[0], short[1:], class_id, int(mask.sum()), 0])
    return drawn


def pfenet(
    reader: Any, root: Path, listed: Path, fold: int, shots: int, *use_coco: bool
) -> list[Any]:
    import torch

    read: list[str] = []
    plain = reader.cv2.imread

    def imread(path: str, how: int) -> Any:
        read.append(path)
        return plain(path, how)

    class Names(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __init__(self) -> None:
            both = lambda *pair: tuple(torch.from_numpy(p[:9, :9]) for p in pair)  # noqa: E731
            self.data = reader.SemData(fold, shots, str(root), str(listed), both, "val", *use_coco)

        def __len__(self) -> int:
            return len(self.data)

        def __getitem__(self, place: int) -> Any:
            read.clear()
            reader.cv2.imread = imread
            *_, classes, label = self.data[place]
            reader.cv2.imread = plain
            short = [Path(one).relative_to(root).with_suffix("").as_posix() for one in read]
            photos = [one for one in short if not one.startswith(("annotations", "Segm"))]
            photos = [one.removeprefix("JPEGImages/") for one in photos]
            class_id = self.data.sub_val_list[classes[0]] - 1
            return [photos[0], photos[1:], class_id, int((label == 1).sum()),
                    int((label == 255).sum())]  # fmt: skip

    data = Names()
    random.seed(321)
    torch.manual_seed(321)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=8)
    drawn: list[Any] = []
    while len(drawn) < 40:
        drawn += list(loader)
    return drawn[:40]


def link(place: Path, target: Path) -> None:
    if not place.exists():
        place.symlink_to(target)


def load(path: Path) -> Any:
    """Import a file by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def main(sources: Path) -> None:
    warnings.filterwarnings("ignore")
    stand_ins()
    with tempfile.TemporaryDirectory() as place:
        tree = {name: Path(place).resolve() / name for name in TREES}
        for name, build in TREES.items():
            build(tree[name])
        found = {
            "semantic": mmseg_sets(sources, tree),
            "instances": instances(sources, tree),
            "phrases": phrases(sources, tree),
            "videos": videos(sources, tree),
            "episodes": episodes(sources, tree),
        }
        os.chdir(HERE)
    text = json.dumps(found, separators=(",", ":"))
    (HERE / "datasets.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
