"""Say what you want in a picture, and get its masks.

    seg = lexiseg.load("tiny")
    out = seg("photo.jpg", ["dog", "grass", "sky"])
    out.labels, out.scores, out["dog"].union(), out.semantic()

Every name below is imported when it is first used: importing the package loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lexiseg._rooms import make_callable
from lexiseg._version import __version__

if TYPE_CHECKING:
    from lexiseg import edit, errors
    from lexiseg.checkpoints import records as checkpoints
    from lexiseg.edit import EditResult
    from lexiseg.evaluate import Evaluation, evaluate
    from lexiseg.imaging import Picture
    from lexiseg.loading import MethodInfo, config_class, load, methods
    from lexiseg.masks import Masks
    from lexiseg.prompts import Example, Like, Vocabulary
    from lexiseg.results import Provenance, ScoreMap, Segmentation, UnknownWord

__all__ = [
    "EditResult",
    "Evaluation",
    "Example",
    "Like",
    "Masks",
    "MethodInfo",
    "Picture",
    "Provenance",
    "ScoreMap",
    "Segmentation",
    "UnknownWord",
    "Vocabulary",
    "__version__",
    "checkpoints",
    "config_class",
    "edit",
    "errors",
    "evaluate",
    "load",
    "methods",
]

_HOMES = {
    "EditResult": "lexiseg.edit:EditResult",
    "Evaluation": "lexiseg.evaluate:Evaluation",
    "Example": "lexiseg.prompts:Example",
    "Like": "lexiseg.prompts:Like",
    "Masks": "lexiseg.masks:Masks",
    "MethodInfo": "lexiseg.loading:MethodInfo",
    "Picture": "lexiseg.imaging:Picture",
    "Provenance": "lexiseg.results:Provenance",
    "ScoreMap": "lexiseg.results:ScoreMap",
    "Segmentation": "lexiseg.results:Segmentation",
    "UnknownWord": "lexiseg.results:UnknownWord",
    "Vocabulary": "lexiseg.prompts:Vocabulary",
    "checkpoints": "lexiseg.checkpoints",
    "config_class": "lexiseg.loading:config_class",
    "edit": "lexiseg.edit",
    "errors": "lexiseg.errors",
    "evaluate": "lexiseg.evaluate",
    "load": "lexiseg.loading:load",
    "methods": "lexiseg.methods",
}

# These are rooms and functions at once.
make_callable(
    __name__,
    {
        "checkpoints": "lexiseg.checkpoints:records",
        "evaluate": "lexiseg.evaluate:evaluate",
        "methods": "lexiseg.loading:methods",
    },
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lexiseg' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value = import_module(module)
    return getattr(value, attribute) if attribute else value


def __dir__() -> list[str]:
    return sorted(__all__)
