"""Requests that wait or are worked on, and why one comes to nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from lexiseg.errors import LexisegError, PictureError

__all__ = ["Abandoned", "Job", "QueueFull", "TimeUp", "UnknownDigest"]


class QueueFull(LexisegError):
    """Too many requests wait already; try again after `seconds`."""

    def __init__(self, waiting: int, seconds: int) -> None:
        super().__init__(f"{waiting} requests wait already; try again in {seconds} s")
        self.seconds = seconds


class UnknownDigest(PictureError):
    """A picture is named by its digest, and is not kept (any more)."""


class TimeUp(LexisegError):
    """A request took longer than it may."""


class Abandoned(LexisegError):
    """The client has left; nobody gets the answer."""


@dataclass
class Job:
    """A request that is worked on; `left` is set once nobody waits for its answer."""

    left: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise Abandoned once nobody waits for the answer any more."""
        if self.left.is_set():
            raise Abandoned("the client has left")
