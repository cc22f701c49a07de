"""How a run over many pictures works, and what became of one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lexiseg.batch import formats, ray_workers, summary_tables
from lexiseg.batch.outputs import KINDS
from lexiseg.errors import OptionError, UnknownName

__all__ = ["BatchOptions", "BatchResult"]


@dataclass(frozen=True)
class BatchOptions:
    """How a run works, and what it writes.

    kinds: files of each picture beside result.json: "overlay", "labels", "masks", "cutouts",
    "heatmaps". both: write results of pictures that are edited, too. masks: the table of all
    masks, "parquet", "jsonl" or "none"; None: Parquet where pyarrow is installed. formats: written
    to a folder each, when all is done; see `lexiseg.export.format_names`. sheet: make index.html.
    workers: processes; None: one a CPU, or a GPU. threads: of each, on a CPU; results are the same
    bytes for any number of workers, not of threads. shard: (I, N), from 1: do only each Nth
    picture. ray: the address of a Ray whose actors do the work, `ray_workers.HERE` for one of this
    run's own. anew: forget what an earlier run has done. max_pixels: refuse larger pictures.
    watch: seconds; look for new pictures again and again.
    """

    kinds: tuple[str, ...] = KINDS[:3]
    both: bool = False
    masks: str | None = None
    formats: tuple[str, ...] = ()
    sheet: bool = True
    workers: int | None = None
    threads: int = 1
    shard: tuple[int, int] = (1, 1)
    ray: str | None = None
    anew: bool = False
    max_pixels: int | None = None
    watch: float | None = None

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise UnknownName.among("kind of file", kind, KINDS)
        if self.masks not in (None, "none", *summary_tables.MASKS):
            raise UnknownName.among(
                "table of masks", str(self.masks), ["none", *summary_tables.MASKS]
            )
        number, count = self.shard
        if not 1 <= number <= count:
            raise OptionError(f"shard {number}/{count}; give I/N with I from 1 to N")
        for name, value in (("workers", self.workers), ("threads", self.threads)):
            if value is not None and value < 1:
                raise OptionError(f"{name} is {value}; give at least 1")
        if self.watch is not None and not 0 < self.watch < 1e6:
            raise OptionError(f"watch is {self.watch}; give seconds above 0")
        if self.ray is not None:
            ray_workers.check_address(self.ray)
        formats.check(self.formats)


@dataclass(frozen=True)
class BatchResult:
    """What became of a run.

    out: the folder of results, or its address. total: pictures. done: in this call; earlier:
    before. not_found: those in which the words of their edit are not. failed: those that could not
    be done, and why. waiting: those that other shards have still to do; as long as there are any,
    no tables are made. found: whether any word was found anywhere. instances: of all. remarks: to
    be said once. seconds: of this call.
    """

    out: Path | str
    total: int = 0
    done: int = 0
    earlier: int = 0
    not_found: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    waiting: int = 0
    found: bool = False
    instances: int = 0
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        failed = [{"picture": name, "error": error} for name, error in self.failed]
        return {**asdict(self), "out": str(self.out), "failed": failed}
