"""Modules that are imported when they are used: collecting tests must not cost seconds."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Later:
    """Stands for a module. pytest, which looks through a test module's names, does not wake it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_") or attribute == "pytestmark":
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)
