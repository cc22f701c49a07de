"""Rooms that can be called: `lexiseg.evaluate` is a module and, called, its main function."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["make_callable"]


def make_callable(package: str, functions: Mapping[str, str]) -> None:
    """Let the rooms of `package` be called: `functions` has "module:function" for each name.

    Importing a room binds it to its name in the package, over whatever stood there. So a function
    of the same name lasts until somebody imports the room; a room that can be called lasts.
    """

    class Package(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            if name in functions and isinstance(value, ModuleType):
                value.__class__ = _room(functions[name])
            super().__setattr__(name, value)

    sys.modules[package].__class__ = Package


def _room(target: str) -> type[ModuleType]:
    module, _, function = target.partition(":")

    class Room(ModuleType):
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            return getattr(import_module(module), function)(*arguments, **options)

    return Room
