"""Pictures read by window, so that none must fit in memory: TIFF, JPEG 2000 and what GDAL reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import PictureError
from lexiseg.export.georeference import rasterio
from lexiseg.imaging import to_eight_bits

__all__ = ["WindowReader", "bounded_cache", "open_windows"]

CACHE_BYTES = 64 << 20  # blocks that GDAL keeps; its own default is a share of all memory


class WindowReader:
    """A picture of which windows are read.

    size_hw: (H, W). place: its transform and coordinate system, as rasterio's profile has them;
    empty where the file tells of none. Raises PictureError for kinds of pixels that have no colour.
    """

    def __init__(self, file: Any, path: Path) -> None:
        self._file = file
        self._path = path
        self.size_hw: tuple[int, int] = (int(file.height), int(file.width))
        self.place: dict[str, Any] = {}
        if file.crs is not None:
            self.place = {"crs": file.crs, "transform": file.transform}
        kinds = {str(kind) for kind in file.dtypes}
        if not kinds <= {"uint8", "uint16"}:
            raise PictureError(
                f"{str(path)!r} has pixels of kind {', '.join(sorted(kinds))}, and where black and "
                "white lie is not known; save it with 8 or 16 bits a channel"
            )
        self._palette = self._colours()
        count = int(file.count)
        self._bands = [1, 2, 3] if count >= 3 else [1]

    def _colours(self) -> NDArray[np.uint8] | None:
        if [one.name for one in self._file.colorinterp] != ["palette"]:
            return None
        out = np.zeros((256, 3), np.uint8)
        for index, colour in self._file.colormap(1).items():
            out[index] = colour[:3]
        return out

    def read(self, y0: int, x0: int, y1: int, x1: int, every: int = 1) -> NDArray[np.uint8]:
        """Return a window, (y1 - y0, x1 - x0, 3) uint8 RGB, its sides `every` times smaller.

        Raises PictureError for damage.
        """
        shape = (-(-(y1 - y0) // every), -(-(x1 - x0) // every))
        way = rasterio("enums").Resampling
        window = rasterio("windows").Window(x0, y0, x1 - x0, y1 - y0)
        try:
            bands = self._file.read(
                self._bands, window=window, out_shape=(len(self._bands), *shape),
                resampling=way.nearest if self._palette is not None else way.average,
            )  # fmt: skip
        except rasterio("errors").RasterioError as error:
            raise PictureError(
                f"{str(self._path)!r} is damaged or cut off near x {x0}, y {y0} ({error})"
            ) from error
        if self._palette is not None:
            return np.asarray(self._palette[bands[0]], np.uint8)
        if bands.dtype == np.uint16:
            bands = to_eight_bits(bands)
        if len(bands) == 1:
            bands = np.broadcast_to(bands, (3, *bands.shape[1:]))
        return np.ascontiguousarray(bands.transpose(1, 2, 0))


@contextmanager
def bounded_cache() -> Iterator[None]:
    """Keep GDAL's cache of blocks small while files are read and written."""
    with rasterio().Env(GDAL_CACHEMAX=CACHE_BYTES):
        yield


@contextmanager
def open_windows(path: Path) -> Iterator[WindowReader]:
    """Open a picture for reading by window. Raises PictureError; ExtraMissing without rasterio."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it lies nowhere on the earth
            file = rasterio().open(path)
    except (OSError, ValueError) as error:
        raise PictureError(
            f"{str(path)!r} cannot be read by window ({error}); give a TIFF or JPEG 2000"
        ) from error
    with file:
        yield WindowReader(file, path)
