"""Pictures too big for memory, tile by tile."""

from __future__ import annotations

from lexiseg.tiled.run import TILE, TiledInstance, TiledResult, segment_tiled

__all__ = ["TILE", "TiledInstance", "TiledResult", "segment_tiled"]
