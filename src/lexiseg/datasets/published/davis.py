"""DAVIS 2016 (Perazzi et al., CVPR 2016) and 2017 (Pont-Tuset et al.): videos with masks.

    DAVIS/JPEGImages/480p/<video>/*.jpg
    DAVIS/Annotations/480p/<video>/*.png
    DAVIS/ImageSets/2017/<split>.txt           names of videos
    DAVIS/ImageSets/2016/<split>.txt, or DAVIS/ImageSets/480p/<split>.txt (lines of photo and mask)

2017 numbers the objects of a video, and 255 is none of them. 2016 has one object a video: whatever
is not 0, 255 included, in its own masks as in those of 2017.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.layout import require
from lexiseg.datasets.videos import Video, VideoDataset
from lexiseg.errors import InputError

__all__ = ["DATASETS"]

_TITLES = {
    "davis2016": "DAVIS 2016, one object a video, 480p",
    "davis2017": "DAVIS 2017, several objects a video, 480p",
}
_FRAMES, _MASKS = "JPEGImages/480p", "Annotations/480p"


def _lists(name: str, split: str) -> tuple[str, ...]:
    if name == "davis2017":
        return (f"ImageSets/2017/{split}.txt",)
    return (f"ImageSets/2016/{split}.txt", f"ImageSets/480p/{split}.txt")


def _open(root: Path, split: str, *, name: str) -> VideoDataset:
    listed = require(root, name, *_lists(name, split))
    frames, masks = require(root, name, _FRAMES), require(root, name, _MASKS)
    try:
        lines = listed.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{listed} cannot be read ({error}); take the published list") from error
    # A line is a video's name, or a photo's path, /JPEGImages/480p/<video>/00000.jpg.
    first = [line.split()[0] for line in lines if line.strip()]
    names = dict.fromkeys(Path(one).parent.name if "/" in one else one for one in first)
    if not names:
        raise InputError(f"{listed} lists no videos; take the published list")
    one_object = name == "davis2016"
    videos = tuple(_video(frames / video, masks / video, one_object) for video in names)
    return VideoDataset(name, _TITLES[name], split, videos)


def _video(frames: Path, masks: Path, one_object: bool) -> Video:
    photos = sorted(frames.glob("*.jpg"))
    if not photos:
        raise InputError(f"the video {frames.name} has no frames in {frames}; download it again")
    known = {path.stem: path for path in masks.glob("*.png")}
    alone = sorted(known.keys() - {path.stem for path in photos})
    if alone or photos[0].stem not in known:
        what = f"a mask {alone[0]}.png without a frame" if alone else "no mask of its first frame"
        raise InputError(f"the video {frames.name} has {what} in {masks}; download it again")
    return Video(frames.name, tuple(photos), tuple(known.get(p.stem) for p in photos), one_object)


def _info(name: str, counts: dict[str, int], size: str, commands: tuple[str, ...]) -> DatasetInfo:
    return DatasetInfo(
        name, _TITLES[name], "video", ("DAVIS",), _lists(name, "val") + _lists(name, "train"),
        tuple(
            Split(s, n, (Part("frames", (_FRAMES,)), Part("masks", (_MASKS,)),
                         Part("list of the split", _lists(name, s))))
            for s, n in counts.items()
        ),
        partial(_open, name=name), "https://davischallenge.org",
        "BSD-3-Clause, as its repository says", size, commands, primary=name == "davis2017",
    )  # fmt: skip


DATASETS = (
    _info(
        "davis2016", {"val": 20, "train": 30}, "1.9 GB",
        ("wget https://graphics.ethz.ch/Downloads/Data/Davis/DAVIS-data.zip",
         "unzip DAVIS-data.zip"),
    ),
    _info(
        "davis2017", {"val": 30, "train": 60}, "0.8 GB",
        ("wget https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
         "unzip DAVIS-2017-trainval-480p.zip"),
    ),
)  # fmt: skip
