"""Single files of weights that are not in the table: told by the names of their tensors."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from lexiseg.checkpoints.manifest import describe_files
from lexiseg.checkpoints.records import Preprocessing, Record
from lexiseg.errors import CheckpointError

__all__ = ["describe_file", "names_of"]

_ENDINGS = (".pth", ".pt", ".safetensors")
_MOST = 1 << 25  # bytes in which names of tensors are looked for
# Family -> names, of each of which a file holds one form: Meta's or transformers'.
_MARKS: dict[str, tuple[bytes, ...]] = {
    "sam": (
        rb"(image_encoder\.blocks|vision_encoder\.layers)\.0\.attn\.rel_pos_h",
        rb"prompt_encoder\.(point_embeddings|point_embed)\.0\.weight",
        rb"mask_decoder\.iou_token\.weight",
    ),
    "sam2": (rb"image_encoder\.trunk\.", rb"sam_mask_decoder\.iou_token\.weight"),
}
_PIXELS = Preprocessing(1024, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")


def describe_file(path: Path) -> Record | None:
    """Return the record of a mask model's own file, such as Meta's; None for other files.

    Only names are read here, and nothing that the file holds is run: its sizes and its tensors are
    for the family that it names. Nobody knows its licence. Raises CheckpointError for a damaged
    file.
    """
    if path.suffix not in _ENDINGS or not path.is_file():
        return None
    names = names_of(path)
    for family, marks in _MARKS.items():
        if all(re.search(mark, names) for mark in marks):
            return Record(
                name=re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or family,
                family=family,
                kind="masker",
                files=describe_files(path.parent, [path.name]),
                licence="not known",
                licence_url="not known",
                preprocessing=_PIXELS,
                activation="gelu",
                embed_dim=256,
                stride=16,
                notes="described by the names of its tensors",
            )
    return None


def names_of(path: Path) -> bytes:
    """Return the part of a file in which the names of its tensors stand; nothing of it is run."""
    try:
        if zipfile.is_zipfile(path):  # as torch saves it
            with zipfile.ZipFile(path) as archive:
                inside = [n for n in archive.namelist() if n.endswith("data.pkl")]
                if not inside:
                    return b""
                with archive.open(inside[0]) as file:
                    return file.read(_MOST)
        with path.open("rb") as file:
            return file.read(_MOST)
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy it again") from error
