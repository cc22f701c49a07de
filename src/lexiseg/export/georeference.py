"""Where the pixels of a picture lie on the earth, as its file tells it (with rasterio)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexiseg.errors import ExtraMissing, InputError

__all__ = ["Georeference", "doubled_area", "rasterio"]

_NEAR = 1e-3  # pixels by which a corner may miss a whole number after a way there and back
LONGITUDE_LATITUDE = "OGC:CRS84"


def rasterio(part: str = "") -> ModuleType:
    """Return rasterio, or a module of it; raises ExtraMissing where it is not installed."""
    try:
        return import_module(f"rasterio.{part}" if part else "rasterio")
    except ImportError as error:
        raise ExtraMissing(
            "GeoTIFF, GeoJSON and JPEG 2000 need rasterio; install it: pip install 'lexiseg[geo]'"
        ) from error


@dataclass(frozen=True)
class Georeference:
    """transform: a, b, c, d, e, f: X = a x + b y + c and Y = d x + e y + f, x and y in pixels from
    the picture's upper left corner; X and Y in units of `crs`, a text such as "EPSG:32633".
    """

    transform: tuple[float, ...]
    crs: str

    @classmethod
    def of(cls, path: Path) -> Georeference:
        """Read it from a picture's file. Raises InputError where it has none."""
        import warnings

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that there is none, which is told below
                with rasterio().open(path) as file:
                    transform, crs = file.transform, file.crs
        except (OSError, ValueError) as error:
            raise InputError(f"{str(path)!r} is not read by rasterio ({error})") from error
        if crs is None or transform.is_identity:
            raise InputError(
                f"{str(path)!r} has no georeference (a transform and a coordinate system); give a "
                "picture that has one, or choose a format without, such as svg"
            )
        text = crs.to_string() if crs.to_epsg() else crs.to_wkt()
        return cls(tuple(float(value) for value in tuple(transform)[:6]), text)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Georeference:
        """Read what `to_json` made."""
        return cls(tuple(float(value) for value in content["transform"]), str(content["crs"]))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {"transform": list(self.transform), "crs": self.crs}

    def to_degrees(self, corners_xy: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return corners in pixels, (C, 2), as longitude and latitude, (C, 2) degrees, WGS 84."""
        a, b, c, d, e, f = self.transform
        x, y = corners_xy[:, 0].astype(np.float64), corners_xy[:, 1].astype(np.float64)
        longitude, latitude = rasterio("warp").transform(
            self.crs, LONGITUDE_LATITUDE, a * x + b * y + c, d * x + e * y + f
        )
        return np.stack([longitude, latitude], axis=1)

    def to_pixels(self, degrees: ArrayLike) -> NDArray[np.float64]:
        """Return longitudes and latitudes, (C, 2), as corners in pixels, (C, 2).

        Those that miss whole pixels by rounding alone are whole.
        """
        given = np.asarray(degrees, np.float64)[:, :2]
        east, north = rasterio("warp").transform(
            LONGITUDE_LATITUDE, self.crs, given[:, 0], given[:, 1]
        )
        a, b, c, d, e, f = self.transform
        matrix = np.array([[a, b], [d, e]])
        offset = np.stack([np.asarray(east) - c, np.asarray(north) - f])
        corners: NDArray[np.float64] = np.linalg.solve(matrix, offset).T
        whole = np.rint(corners)
        return np.where(np.abs(corners - whole) < _NEAR, whole, corners)


def doubled_area(ring: Sequence[Sequence[float]] | NDArray[np.float64]) -> float:
    """Twice the area of a ring, (C, 2); positive where it goes counterclockwise, y upwards."""
    corners = np.asarray(ring, np.float64)
    x, y = corners[:, 0] - corners[0, 0], corners[:, 1] - corners[0, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
