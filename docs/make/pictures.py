"""The pictures of the README and the docs, made by the bundled model from the example photos."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import lexiseg
from lexiseg import visualize
from lexiseg.edit.steps import make_step, run_steps
from lexiseg.imaging import read, write_bytes

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ROOT / "examples" / "photos"
IMAGES = ROOT / "docs" / "images"
_WIDEST, _MOST_BYTES = 1040, 150_000
_PHOTO = 640  # larger photos are scaled down first, or their legends could not be read

Pixels = NDArray[np.uint8]

# Name -> photo and words: the photo beside its overlay.
BEFORE_AFTER: Mapping[str, tuple[str, str]] = {
    "before-after": ("pets", "dog; grass"),
    "railway": ("railway", "train; tree; sky; person"),
    "portrait": ("astronaut", "face; hair; person"),
    "cat": ("cat", "cat; carpet|rug; curtain"),
    # Hard ones, shown as they come out: see the model card.
    "hard-coffee": ("coffee", "cup; saucer; spoon; table"),
    "hard-hot-dog": ("hot-dog", "hot dog; paper"),
    "hard-kitchen": ("kitchen", "table; chair; refrigerator; sink; curtain; wall; floor"),
    "hard-parrot": ("parrot", "bird|parrot; tree; rock"),
}

# A photo, the box in it that is shown as an example (x0, y0, x1, y1), and where to look.
EXAMPLES: tuple[tuple[str, tuple[int, int, int, int], str], ...] = (
    ("cat", (70, 37, 457, 357), "chelsea-cat"),
    ("pets", (130, 65, 240, 285), "pets"),
    ("cows", (85, 205, 230, 310), "cows"),
)
# Name -> photo, what to remove, what else is there: the photo beside what is left.
REMOVED: Mapping[str, tuple[str, str, str]] = {
    "removed-cows": ("cows", "cow", "grass; tree; sky; water"),
    "removed-plane": ("plane", "airplane", "sky; road; tree"),
    "removed-sign": ("sign", "stop sign", "sky; tree; building; road"),
}


# What phrases mean: rows of photos with the method and the phrase for each.
PHRASES: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (
        ("clip-then-sam", "cows", "the largest cow"),
        ("tiny", "pets", "the dog on the left"),
        ("clip-then-sam", "cyclist", "person on bicycle"),
    ),
    (
        ("tiny", "cows", "everything but the sky"),
        ("tiny", "pets", "the largest dog"),
        ("tiny", "sign", "red stop sign"),
    ),
    (
        ("tiny", "phrases/glasses", "eyes and glasses"),
        ("tiny", "phrases/players", "left player"),
        ("tiny", "phrases/motorcyclist", "person wearing a helmet"),
    ),
    (
        ("tiny", "phrases/lamp", "lamp next to the bed"),
        ("tiny", "phrases/bus", "red bus"),
        ("tiny", "phrases/bus", "yellow bus"),
    ),
)


# The modes of `lexiseg evaluate` on photos: the method, its settings, and what it is called.
MODES: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("dense", {}, "dense"),
    ("dense", {"refine": "pamr"}, "dense, PAMR"),
    ("clip-then-sam", {}, "clip-then-sam"),
    ("sam-then-clip", {"preset": "fast"}, "sam-then-clip"),
)
IN_MODES = (("pets", "dog; grass; fence"), ("railway", "train; tree; sky; person"))


def draw() -> list[str]:
    """Draw all pictures; return their names."""
    seg = lexiseg.load("tiny")
    for name, (photo, words) in BEFORE_AFTER.items():
        save(name, _before_after(seg, photo, words))
    for name, (photo, words, others_there) in REMOVED.items():
        save(name, _removed(seg, photo, words, others_there))
    others: Mapping[str, Callable[[Any], Pixels]] = {"open-closed": _open_closed, "heat": _heat}
    for name, make in others.items():
        save(name, make(seg))
    save("examples", _examples())
    save("modes", _modes())
    finder = lexiseg.load("clip-then-sam")
    save("phrases", _phrases({"tiny": seg, "clip-then-sam": finder}))
    save("video", _video(seg))
    names = (*BEFORE_AFTER, *REMOVED, *others, "examples", "modes", "phrases", "video")
    return [f"docs/images/{name}.jpg" for name in names]


def _video(seg: Any) -> Pixels:
    """Frames of a clip made of two photos, what is followed in them, and without it."""
    from lexiseg.video.edits import VideoEdit
    from lexiseg.video.outputs import paint_tracks

    ground, cat = _photo("cows"), _photo("cat")
    found = seg(cat, ["cat", "carpet|rug", "curtain"])["cat"]
    thing = found.mask(int(found.areas.argmax()))
    height, width, count = 260, 420, 25
    small = (width // 3, width // 3 * cat.shape[0] // cat.shape[1])
    cat = np.asarray(Image.fromarray(cat).resize(small, Image.Resampling.LANCZOS))
    inside = np.asarray(Image.fromarray(thing).resize(small))
    frames = []
    for k in range(count):  # the camera pans, the cat goes the other way
        frame = ground[80 : 80 + height, 2 * k : 2 * k + width].copy()
        left, top = width - small[0] - 10 * k, height - small[1]
        frame[top:, left : left + small[0]][inside] = cat[inside]
        frames.append(frame)
    tracked = list(lexiseg.track(seg, frames, ["cat"]))
    edit = VideoEdit([make_step("remove", ["cat"], {})], (height, width), None)
    shown = [(rgb, one, k) for k, (rgb, one) in enumerate(zip(frames, tracked, strict=True))]
    edited = [rgb for part in edit.parts(shown, 0) for rgb, _ in part]
    painted = [paint_tracks(rgb, one) for rgb, one, _ in shown]
    rows = [[row[k] for k in (2, 10, 18)] for row in (frames, painted, edited)]
    return _below(*(_beside(*(_scaled(tile, 190) for tile in row)) for row in rows))


def _phrases(segmenters: Mapping[str, Any]) -> Pixels:
    """What phrases mean on photos, rows of them."""
    rows = []
    for row in PHRASES:
        tiles = []
        for method, photo, phrase in row:
            picture = _photo(photo)
            found = segmenters[method](picture, [phrase])
            tiles.append(_scaled(visualize.overlay(found, picture, legend=False), 240))
        rows.append(_beside(*tiles))
    return _below(*rows)


def _modes() -> Pixels:
    """Photos by every mode, all words competing; the modes from left to right."""
    segmenters = [lexiseg.load(name, **settings) for name, settings, _ in MODES]
    rows = []
    for photo, words in IN_MODES:
        picture = _photo(photo)
        found = [seg(picture, words, background=None) for seg in segmenters]
        tiles = [visualize.overlay(one, picture, legend=False) for one in found]
        rows.append(_beside(*(_scaled(tile, 170) for tile in tiles)))
    return _below(*rows)


def _examples() -> Pixels:
    """What was shown, in its box, beside what was found like it; no word is given."""
    seg = lexiseg.load("clipseg")
    rows = []
    for photo, box, other in EXAMPLES:
        shown, picture = _photo(photo), _photo(other)
        out = seg(picture, lexiseg.Like.of(shown, box=box, name=f"like the {photo}"))
        marked = Image.fromarray(shown)
        ImageDraw.Draw(marked).rectangle(box, outline="#f33", width=4)
        found = visualize.overlay(out, picture, legend=False)
        rows.append([_scaled(np.asarray(marked)), _scaled(found)])
    return _below(*(_beside(*row) for row in rows))


def _scaled(photo: Pixels, height: int = 300) -> Pixels:
    size = (round(photo.shape[1] * height / photo.shape[0]), height)
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def _below(*parts: Pixels, gap: int = 8) -> Pixels:
    """Pictures one below the other, left edges level, on white."""
    width = max(part.shape[1] for part in parts)
    rows = []
    for part in parts:
        row = np.full((part.shape[0] + gap, width, 3), 255, np.uint8)
        row[: part.shape[0], : part.shape[1]] = part
        rows.append(row)
    return np.concatenate(rows)[:-gap]


def _before_after(seg: Any, photo: str, words: str) -> Pixels:
    picture = _photo(photo)
    after = visualize.overlay(seg(picture, words), picture)
    return _beside(_fitted(picture, after), after)


def _removed(seg: Any, photo: str, words: str, others: str) -> Pixels:
    """What `lexiseg edit PHOTO remove WORDS --words OTHERS` gives, beside the photo."""
    picture = _photo(photo)
    asked = words.split("; ")
    out = seg(picture, [*asked, *others.split("; ")])
    step = make_step("remove", asked, {})
    return _beside(picture, run_steps(read(picture), out, [step]).rgb)


def _open_closed(seg: Any) -> Pixels:
    """The same words against the background words, and among themselves alone."""
    picture = _photo("pets")
    words = "dog; cat; fence"
    both = [seg(picture, words), seg(picture, words, background=None)]
    return _beside(*(visualize.overlay(one, picture) for one in both))


def _heat(seg: Any) -> Pixels:
    picture = _photo("pets")
    out = seg(picture, "dog; grass")
    return _beside(picture, visualize.heatmap(out, "dog", picture))


def _photo(name: str) -> Pixels:
    """An example photo, (H, W, 3), at most 640 pixels long."""
    image = Image.fromarray(read(PHOTOS / f"{name}.jpg").rgb)
    image.thumbnail((_PHOTO, _PHOTO), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _fitted(photo: Pixels, figure: Pixels) -> Pixels:
    """The photo at the size that it has in the upper left corner of a figure."""
    height, width = photo.shape[:2]
    # The legend stands beside or under the photo, so one side is the photo's.
    scale = min(figure.shape[0] / height, figure.shape[1] / width)
    size = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def _beside(*parts: Pixels, gap: int = 8) -> Pixels:
    """Pictures side by side, upper edges level; what is left takes the colour of the legend."""
    height = max(part.shape[0] for part in parts)
    width = sum(part.shape[1] for part in parts) + gap * (len(parts) - 1)
    out = np.empty((height, width, 3), np.uint8)
    out[:] = parts[-1][-1, -1]
    left = 0
    for part in parts:
        out[:, max(0, left - gap) : left] = 255
        out[: part.shape[0], left : left + part.shape[1]] = part
        left += part.shape[1] + gap
    return out


def save(name: str, pixels: Pixels) -> None:
    """Write a JPEG of at most 1040 pixels and 150 KB."""
    image = Image.fromarray(pixels)
    if image.width > _WIDEST:
        size = (_WIDEST, round(image.height * _WIDEST / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    for quality in range(88, 40, -4):
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality, optimize=True, progressive=True)
        if data.tell() < _MOST_BYTES:
            break
    write_bytes(IMAGES / f"{name}.jpg", data.getvalue())
