"""Colours by name."""

from __future__ import annotations

from lexiseg.errors import OptionError

__all__ = ["Colour", "is_colour", "parse_colour"]

Colour = tuple[int, int, int]


def parse_colour(text: str) -> Colour:
    """Return (red, green, blue), 0 to 255, of "red", "#f00", "#ff0000" or "rgb(255, 0, 0)".

    The names are those of CSS. Raises OptionError for anything else, transparent colours too.
    """
    from PIL import ImageColor

    try:
        found = ImageColor.getrgb(text.strip())
    except ValueError as error:
        raise OptionError(
            f"{text!r} is not a colour; give a name as in CSS, such as 'teal', or '#rrggbb'"
        ) from error
    if len(found) != 3:
        raise OptionError(f"the colour {text!r} is transparent; give '#rrggbb'")
    return found


def is_colour(text: str) -> bool:
    """Whether `parse_colour` takes the text."""
    try:
        parse_colour(text)
    except OptionError:
        return False
    return True
