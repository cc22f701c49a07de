"""Single files of weights that are not in the table: told by the names of their tensors."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from lexiseg.checkpoints.recognise.folders import like
from lexiseg.checkpoints.records import Record
from lexiseg.checkpoints.registry import describe_files
from lexiseg.errors import CheckpointError

__all__ = ["describe_file"]

_ENDINGS = (".pth", ".pt", ".safetensors")
_MOST = 1 << 25  # bytes in which names of tensors are looked for
# Record of the table that is read in the same way -> names, of each of which a file holds one
# form: Meta's or transformers'.
_MARKS: dict[str, tuple[bytes, ...]] = {
    "sam-vit-b": (
        rb"(image_encoder\.blocks|vision_encoder\.layers)\.0\.attn\.rel_pos_h",
        rb"prompt_encoder\.(point_embeddings|point_embed)\.0\.weight",
        rb"mask_decoder\.iou_token\.weight",
    ),
    "sam2-hiera-t": (rb"image_encoder\.trunk\.", rb"sam_mask_decoder\.iou_token\.weight"),
    "clipseg-rd64": (rb"reduces\.0\.",),
}


def describe_file(path: Path) -> Record | None:
    """Return the record of a mask model's own file, such as Meta's, or of a CLIPSeg decoder's, as
    its authors publish it; None for other files.

    Only names are read here, and nothing that the file holds is run: its sizes and its tensors are
    for the family that it names. Nobody knows its licence. Raises CheckpointError for a damaged
    file.
    """
    if path.suffix not in _ENDINGS or not path.is_file():
        return None
    names = _names_of(path)
    for name, marks in _MARKS.items():
        if not all(re.search(mark, names) for mark in marks):
            continue
        fields: dict[str, Any] = {"notes": "described by the names of its tensors"}
        if name == "clipseg-rd64":
            if path.suffix != ".pth":
                return None
            # Their training files name the blocks 3, 7 and 9, and the file itself does not tell.
            fields = {"notes": "a decoder alone, put on clip-vit-b16.openai", "layers": (3, 7, 9)}
        return like(name, path.stem, describe_files(path.parent, [path.name]), **fields)
    return None


def _names_of(path: Path) -> bytes:
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
