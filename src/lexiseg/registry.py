"""Names that stand for things, each kept as a string that says where the thing lives."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Generic, TypeVar, cast

from lexiseg.errors import OptionError, UnknownName

__all__ = ["Registry", "methods"]

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from names to things of one kind, which are imported only when asked for.

    kind: what the names stand for, for messages, as in "method".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._targets: dict[str, str] = {}

    def register(self, name: str, target: str) -> None:
        """Give `target`, "package.module:attribute" or "package.module", the name `name`.

        Raises OptionError where the name is taken.
        """
        if name in self._targets:
            raise OptionError(
                f"the {self.kind} name {name!r} is taken by {self._targets[name]}, so {target} "
                f"cannot have it; rename one of them or uninstall its package"
            )
        self._targets[name] = target

    def get(self, name: str) -> T:
        """Import and return what `name` stands for; raises UnknownName with the nearest names."""
        if name not in self._targets:
            raise UnknownName.among(self.kind, name, self._targets)
        module_name, _, attribute = self._targets[name].partition(":")
        module = import_module(module_name)
        return cast(T, getattr(module, attribute) if attribute else module)

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        return tuple(sorted(self._targets))

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def discover(self, package: str, *, attribute: str = "", group: str | None = None) -> None:
        """Register every public module of `package`, then the entry points of `group`.

        A module is found by its file alone, nothing of it is imported, and its name is the
        file's with dashes: `clip_then_sam.py` is "clip-then-sam". It stands for the module, or
        for `attribute` in it. An entry point stands for what it names.
        """
        from importlib.metadata import entry_points  # kept out of `import lexiseg`
        from pkgutil import iter_modules

        for module in iter_modules(import_module(package).__path__):
            if not module.name.startswith("_"):
                target = f"{package}.{module.name}"
                self.register(
                    module.name.replace("_", "-"), f"{target}:{attribute}" if attribute else target
                )
        if group is not None:
            for point in sorted(entry_points(group=group), key=lambda point: point.name):
                self.register(point.name, point.value)


@cache
def methods() -> Registry[ModuleType]:
    """Return the modules of all methods by name: how one method is built on another's answer."""
    found: Registry[ModuleType] = Registry("method")
    found.discover("lexiseg.methods", group="lexiseg.methods")
    return found
