"""The formats by name: each module of `lexiseg.export.formats`, and those that packages add."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from lexiseg.errors import InputError
from lexiseg.export.annotated import Annotated
from lexiseg.export.format import Format
from lexiseg.export.source import Source
from lexiseg.registry import Registry

__all__ = ["format_names", "get_format", "list_formats", "read_annotations", "recognise"]


@cache
def _formats() -> Registry[Format]:
    found: Registry[Format] = Registry("format")
    found.discover("lexiseg.export.formats", attribute="FORMAT", group="lexiseg.formats")
    return found


def format_names() -> tuple[str, ...]:
    """Return the names of all formats, sorted."""
    return _formats().names()


def list_formats() -> tuple[Format, ...]:
    """Return all formats, with their options as they are by default."""
    return tuple(_formats().get(name) for name in format_names())


def get_format(name: str, **options: Any) -> Format:
    """Return a format by its name; options: fields of it. Raises UnknownName."""
    form = _formats().get(name.lower().replace("_", "-"))
    return replace(form, **options) if options else form


def recognise(path: Path, photos: Path | None = None) -> tuple[Format, Source]:
    """Return the format of a file or folder, by what is in it, and the source to read it from.

    Raises InputError for what is of no format that is read.
    """
    source = Source(path, photos)
    form = _form_of(source)
    if form is not None:
        return form, source
    if source.is_folder:
        inside = [Source(one, photos) for one in sorted(path.glob("*")) if one.is_file()]
        found = [(form, one) for one in inside if (form := _form_of(one)) is not None]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(one.path.name for _, one in found)
            raise InputError(f"{str(path)!r} holds several files that are read; name one: {names}")
    what = "holds no file" if source.is_folder else "is not"
    names = ", ".join(form.name for form in list_formats() if form.reads)
    raise InputError(f"{str(path)!r} {what} of a format that is read ({names})")


def _form_of(source: Source) -> Format | None:
    return next((form for form in list_formats() if form.reads and form.accepts(source)), None)


def read_annotations(path: str | Path, photos: str | Path | None = None) -> Iterator[Annotated]:
    """Yield the pictures of a file or folder in any format that is read.

    photos: the folder in which the pictures lie; they are looked for near the file without it.
    Raises InputError.
    """
    form, source = recognise(Path(path), None if photos is None else Path(photos))
    return form.read(source)
