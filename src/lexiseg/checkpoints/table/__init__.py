"""The checkpoints of the hub and of other servers that have a name.

What nobody has published of a file stays empty here. Such a record is not pinned: its first pull
asks for trust, and keeps what the server told and what came (``Record.pinned``).
"""

from __future__ import annotations

from lexiseg.checkpoints.records import Record
from lexiseg.checkpoints.table.encoders import ENCODERS
from lexiseg.checkpoints.table.inpainters import INPAINTERS
from lexiseg.checkpoints.table.tasks import DETECTORS, MASKERS, PROXIES

__all__ = ["TABLE"]

TABLE: dict[str, Record] = {
    record.name: record for record in (*ENCODERS, *PROXIES, *MASKERS, *DETECTORS, *INPAINTERS)
}
