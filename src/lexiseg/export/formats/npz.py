"""NumPy's NPZ: arrays of masks, labels and scores, a file a picture, for `numpy.load`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.errors import InputError
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.format import PictureFormat, Writer
from lexiseg.export.source import Source
from lexiseg.masks import Masks

__all__ = ["FORMAT", "Npz"]

_KEYS = ("masks", "labels", "scores", "words", "label_map", "file_name")


@dataclass(frozen=True)
class Npz(PictureFormat):
    """masks (N, H, W) bool, labels (N,), scores (N,), words (K,), label_map (H, W), file_name."""

    name: ClassVar[str] = "npz"
    summary: ClassVar[str] = "NumPy arrays: masks, labels, scores, label map"
    keeps: ClassVar[str] = "all: masks, words, scores, the label map"
    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _NpzWriter(self, folder, words)

    def accepts_file(self, source: Source) -> bool:
        if source.head[:2] != b"PK":
            return False
        try:
            with zipfile.ZipFile(source.path) as file:
                return {f"{key}.npy" for key in _KEYS} <= set(file.namelist())
        except (OSError, zipfile.BadZipFile):
            return False

    def read_file(self, source: Source, file_name: str) -> Annotated:
        try:
            with np.load(source.path, allow_pickle=False) as file:
                content = {key: file[key] for key in _KEYS}
            seg = segmentation_of(
                content["words"].tolist(),
                content["labels"].tolist(),
                Masks.from_dense(content["masks"]),
                content["scores"],
                source=self.name,
                label_map=content["label_map"],
            )
            name = str(content["file_name"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, InputError) as error:
            raise source.wrong(str(error), "NPZ file of lexiseg") from error
        return Annotated(name, seg, source.photo(name))


FORMAT = Npz()


class _NpzWriter(Writer):
    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        path = self.folder / f"{picture.stem}.npz"
        arrays: dict[str, Any] = {
            "labels": np.asarray(seg.labels, np.str_),
            "scores": seg.scores,
            "words": np.array(seg.words, np.str_),
            "label_map": seg.label_map,
            "file_name": np.array(picture.file_name),
        }
        with (
            imaging.writing(path) as out,
            zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as file,
        ):
            _member(file, "masks", np.bool_, (len(seg), *seg.size_hw), seg.masks)
            for name, array in arrays.items():
                _member(file, name, array.dtype, array.shape, [array])
        self.written.files.append(path)


def _member(
    file: zipfile.ZipFile,
    name: str,
    dtype: Any,
    shape: tuple[int, ...],
    parts: Iterable[NDArray[Any]],
) -> None:
    """Write an array of a shape, given in parts: all masks of a picture may be too much at once.

    Without the time, so that the same content is the same file.
    """
    header = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
    np.lib.format.write_array_header_1_0(header, {**described, "shape": shape})
    entry = zipfile.ZipInfo(f"{name}.npy")
    entry.compress_type = zipfile.ZIP_DEFLATED
    with file.open(entry, "w", force_zip64=True) as member:
        member.write(header.getvalue())
        for part in parts:
            member.write(np.ascontiguousarray(part).tobytes())
