"""Models of the tests, made for the CPU, as if they computed on a GPU: what comes out is there."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

__all__ = ["Moved"]


class Moved:
    """A model whose tensors come back on a device, and which takes them from there."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model, self._device = model, device
        self.device_name = str(device)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._model, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            args = tuple(self._brought(x) for x in args)
            kwargs = {key: self._brought(x) for key, x in kwargs.items()}
            return moved(value(*args, **kwargs), self._device)

        return call

    def _brought(self, value: Any) -> Any:
        """An argument on the CPU; one that is called gets what it is given on the device."""
        if not callable(value):
            return moved(value, torch.device("cpu"))

        def call(*args: Any) -> Any:
            return moved(value(*(moved(x, self._device) for x in args)), torch.device("cpu"))

        return call


def moved(value: Any, device: torch.device) -> Any:
    """A value with all tensors in it on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f.name for f in dataclasses.fields(value) if f.init]
        return dataclasses.replace(value, **{n: moved(getattr(value, n), device) for n in fields})
    if isinstance(value, dict):
        return {key: moved(one, device) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(moved(one, device) for one in value)
    return value
