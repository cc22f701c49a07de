"""Folders of edited pictures, measured: as sets, against their words, and each against the photo.

Distances of sets (FID, KID) say whether edited pictures look like the photos, the CLIP score
whether they show the words. The other measures need no network: what changed outside the mask,
whether the texture inside is that around it, and whether the mask's outline shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.errors import InputError
from lexiseg.metrics import clip_score, fid, kid, psnr, seam, texture_gap
from lexiseg.metrics.report import json_value

if TYPE_CHECKING:
    import torch

    from lexiseg.protocols import Encoder

__all__ = ["EditScores", "Extractor", "PictureScores", "pair_folders", "score_edits"]

_SIDE = 224  # pixels that pictures are squashed to for an encoder, at most
_CONTEXT = 0.25  # of the mask's box, around it, for the score of the region
_BATCH = 8
_SUBSET = 1000  # pictures, of the subsets of KID

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class Extractor(Protocol):
    """What makes features of pictures: an encoder, or Inception."""

    name: str

    def pooled(self, rgb: torch.Tensor) -> torch.Tensor:
        """Return features, (B, D), of (B, H, W, 3) uint8."""


@dataclass(frozen=True)
class PictureScores:
    """One edited picture; NaN for what does not exist.

    changed: the share of its pixels that differ from the photo's; changed_outside: of those outside
    the mask. psnr_outside: in dB, there, infinite where nothing changed. texture, seam: see
    ``texture_gap`` and ``seam``, of the edited picture; with before in the name, of the photo.
    """

    name: str
    changed: float
    changed_outside: float
    psnr_outside: float
    texture: float
    texture_before: float
    seam: float
    seam_before: float


@dataclass(frozen=True)
class EditScores:
    """A folder of edits. fid, kid, kid_std: against the photos, of `features`. clip_score: of the
    edited pictures with their words, of `encoder`, clip_score_before of the photos; the two with
    region in the name of the surroundings of the mask. NaN for what was not asked or has too few
    pictures (`notes` say which).
    """

    pictures: tuple[PictureScores, ...]
    features: str
    encoder: str
    fid: float
    kid: float
    kid_std: float
    clip_score: float
    clip_score_before: float
    clip_score_region: float
    clip_score_region_before: float
    notes: tuple[str, ...]

    def mean(self, name: str) -> float:
        """Return the mean of a measure over the pictures that have it."""
        values = [getattr(one, name) for one in self.pictures]
        known = [value for value in values if math.isfinite(value)]
        return float(np.mean(known)) if known else math.nan

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; null for NaN and infinity."""
        names = [name for name in asdict(self.pictures[0]) if name != "name"]
        means = {name: self.mean(name) for name in names}
        plain: dict[str, Any] = json_value({**asdict(self), "means": means})
        return plain

    def summary(self) -> str:
        """Return a text of lines for people."""
        rows = [
            ("FID", self.fid, f"features of {self.features}; lower is closer to the photos"),
            ("KID", self.kid, "the same" if math.isnan(self.kid_std) else
             f"the same; standard deviation {self.kid_std:.4f} over subsets"),
            ("CLIP score", self.clip_score,
             f"by {self.encoder}; photos {self.clip_score_before:.2f}"),
            ("  in the region", self.clip_score_region,
             f"photos {self.clip_score_region_before:.2f}"),
            ("texture distance", self.mean("texture"),
             f"inside to around, 0 to 1; photos {self.mean('texture_before'):.3f}"),
            ("seam", self.mean("seam"),
             f"gradients along the outline to around; photos {self.mean('seam_before'):.3f}"),
            ("changed", self.mean("changed"), "share of the pixels"),
            ("  outside", self.mean("changed_outside"), "of the pixels outside the mask"),
            ("  PSNR there", self.mean("psnr_outside"), "dB, of pictures that changed there"),
        ]  # fmt: skip
        lines = [f"{len(self.pictures)} pictures", ""]
        for name, value, what in rows:
            if math.isfinite(value):
                lines.append(f"{name:<17} {value:>9.4f}   {what}")
            else:
                lines.append(f"{name:<17} {'-':>9}")
        return "\n".join([*lines, *(f"{note}" for note in self.notes)]) + "\n"


def pair_folders(
    before: Path, after: Path, masks: Path | None
) -> list[tuple[str, Path, Path, Path | None]]:
    """Return name, photo, edited picture and mask of each edited picture, by their names' stems.

    Each may also be a single file. Raises InputError where one is missing.
    """
    if after.is_file():
        return [(after.stem, before, after, masks)]
    sides = [_by_stem(folder) for folder in (before, after)]
    held = None if masks is None else _by_stem(masks)
    missing = [name for name in sides[1] if name not in sides[0]]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(sides[1])} edited pictures have no photo of their name in "
            f"{str(before)!r}: {', '.join(missing[:3])}; give both the same names"
        )
    missing = [name for name in sides[1] if held is not None and name not in held]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(sides[1])} edited pictures have no mask of their name in "
            f"{str(masks)!r}: {', '.join(missing[:3])}; give each one"
        )
    return [
        (name, sides[0][name], path, None if held is None else held[name])
        for name, path in sides[1].items()
    ]


def score_edits(
    pairs: Sequence[tuple[str, Path, Path, Path | None]],
    encoder: Encoder,
    *,
    words: str | Mapping[str, str] | None = None,
    features: Extractor | None = None,
) -> EditScores:
    """Measure edited pictures.

    pairs: what `pair_folders` returns. Without a mask file the mask is what changed. words: what
    the edited pictures should show, one text for all or one by name. features: of FID and KID;
    None: the encoder's. Raises InputError for files that do not fit each other.
    """
    extractor: Extractor = encoder if features is None else features
    vectors: dict[str, list[NDArray[np.float32]]] = {}
    scores, asked = [], []
    batch: dict[str, list[Pixels]] = {}
    side = min(_SIDE, encoder.size.window)
    for name, photo_path, edited_path, mask_path in pairs:
        photo, edited = imaging.read(photo_path).rgb, imaging.read(edited_path).rgb
        if photo.shape != edited.shape:
            raise InputError(
                f"{str(edited_path)!r} is {edited.shape[1]}x{edited.shape[0]} and its photo "
                f"{photo.shape[1]}x{photo.shape[0]}; compare pictures of one size"
            )
        changed = (photo != edited).any(2)
        mask = changed if mask_path is None else _read_mask(mask_path, changed.shape)
        scores.append(_picture(name, photo, edited, mask, changed))
        text = words if isinstance(words, str) or words is None else words.get(name)
        if isinstance(words, Mapping) and text is None:
            raise InputError(f"there are no words for {name!r}; give a text for every picture")
        asked.append(text or "")
        for key, picture in (("photo", photo), ("edited", edited)):
            batch.setdefault(key, []).append(picture)
            batch.setdefault(f"{key} region", []).append(_region(picture, mask))
        if len(batch["photo"]) == _BATCH:
            _encode(batch, extractor, encoder, side, vectors, words is not None)
    _encode(batch, extractor, encoder, side, vectors, words is not None)
    return _scores(scores, asked, vectors, extractor, encoder, words is not None)


def _picture(name: str, photo: Pixels, edited: Pixels, mask: Mask, changed: Mask) -> PictureScores:
    outside = ~mask
    return PictureScores(
        name=name,
        changed=float(changed.mean()),
        changed_outside=float(changed[outside].mean()) if outside.any() else math.nan,
        psnr_outside=psnr(edited, photo, outside) if outside.any() else math.nan,
        texture=texture_gap(edited, mask),
        texture_before=texture_gap(photo, mask),
        seam=seam(edited, mask),
        seam_before=seam(photo, mask),
    )


def _encode(
    batch: dict[str, list[Pixels]],
    extractor: Extractor,
    encoder: Encoder,
    side: int,
    vectors: dict[str, list[NDArray[np.float32]]],
    with_words: bool,
) -> None:
    """Encode what is waiting, and forget it."""
    import torch

    from lexiseg.visualize.canvas import resize

    inception = extractor is not encoder
    for key, pictures in batch.items():
        small = torch.from_numpy(np.stack([resize(one, (side, side)) for one in pictures]))
        if with_words or not (inception or key.endswith("region")):
            found = encoder.pooled(small).float().cpu().numpy()
            vectors.setdefault(key, []).append(found)
        if inception and not key.endswith("region"):
            for one in pictures:
                made = extractor.pooled(torch.from_numpy(one)[None]).float().cpu().numpy()
                vectors.setdefault(f"{key} features", []).append(made)
    batch.clear()


def _scores(
    pictures: Sequence[PictureScores],
    asked: Sequence[str],
    vectors: Mapping[str, Sequence[NDArray[np.float32]]],
    extractor: Extractor,
    encoder: Encoder,
    with_words: bool,
) -> EditScores:
    nan = math.nan
    joined = {key: np.concatenate(list(parts)) for key, parts in vectors.items()}
    ending = "" if extractor is encoder else " features"
    sets = joined[f"edited{ending}"], joined[f"photo{ending}"]
    notes, distance, kernel = [], nan, (nan, nan)
    if len(pictures) < 2:
        notes.append("FID and KID need two pictures at least.")
    else:
        distance = fid(*sets)
        few = len(pictures) <= _SUBSET  # then a subset is all, and there is no spread
        made = kid(*sets, subset_size=min(_SUBSET, len(pictures)), subsets=1 if few else 100)
        kernel = made.mean, nan if few else made.std
        if len(pictures) < sets[0].shape[1]:
            notes.append(
                f"{len(pictures)} pictures are fewer than the {sets[0].shape[1]} features: FID is "
                "biased upwards, and compares with runs of as many pictures only; take KID."
            )
    if extractor is encoder:
        notes.append(
            f"Published FID and KID are of Inception features; these are of {encoder.name}, and "
            "compare among themselves only."
        )
    by_key: dict[str, float] = {}
    if with_words:
        texts = encoder.text(list(dict.fromkeys(asked)), ("a photo of {}",)).float().cpu().numpy()
        rows = {text: i for i, text in enumerate(dict.fromkeys(asked))}
        chosen = texts[[rows[text] for text in asked]]
        names = ("photo", "edited", "photo region", "edited region")
        by_key = {key: clip_score(joined[key], chosen) for key in names}
    return EditScores(
        pictures=tuple(pictures),
        features=extractor.name,
        encoder=encoder.name,
        fid=distance,
        kid=kernel[0],
        kid_std=kernel[1],
        clip_score=by_key.get("edited", nan),
        clip_score_before=by_key.get("photo", nan),
        clip_score_region=by_key.get("edited region", nan),
        clip_score_region_before=by_key.get("photo region", nan),
        notes=tuple(notes),
    )


def _region(picture: Pixels, mask: Mask) -> Pixels:
    """The box of a mask with what is around it; the whole picture for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return picture
    spans = []
    for places, length in ((rows, mask.shape[0]), (columns, mask.shape[1])):
        low, high = int(places[0]), int(places[-1]) + 1
        more = round(_CONTEXT * (high - low)) + 1
        spans.append(slice(max(0, low - more), min(length, high + more)))
    return picture[spans[0], spans[1]]


def _read_mask(path: Path, size_hw: tuple[int, ...]) -> Mask:
    mask: Mask = imaging.read(path).rgb.max(2) > 127
    if mask.shape != size_hw:
        raise InputError(
            f"mask {str(path)!r} is {mask.shape[1]}x{mask.shape[0]} and its photo "
            f"{size_hw[1]}x{size_hw[0]}; give masks the photo's size"
        )
    return mask


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is not a folder; give one of pictures")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in imaging.SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise InputError(
                    f"{str(folder)!r} holds {found[path.stem].name} and {path.name}; a name stands "
                    "for one picture"
                )
            found[path.stem] = path
    if not found:
        raise InputError(f"{str(folder)!r} holds no pictures; give a folder that does")
    return found
