"""Say what you want in a picture, and get its masks.

    seg = lexiseg.load("tiny")
    out = seg("photo.jpg", ["dog", "grass", "sky"])
    out.labels, out.scores, out["dog"].union(), out.semantic()

Every name below is imported when it is first used: importing the package loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lexiseg._version import __version__

if TYPE_CHECKING:
    from lexiseg import edit, errors
    from lexiseg.batch.options import BatchOptions, BatchResult
    from lexiseg.batch.run import run_batch
    from lexiseg.checkpoints import records as list_checkpoints
    from lexiseg.client import Client
    from lexiseg.datasets import list_datasets
    from lexiseg.edit import EditResult
    from lexiseg.evaluation import Evaluation, evaluate
    from lexiseg.export import save_masks, save_overlay, to_coco
    from lexiseg.imaging import Picture
    from lexiseg.loading import MethodInfo, config_class, list_methods, load
    from lexiseg.masks import Masks
    from lexiseg.prompts import Example, Like, Vocabulary
    from lexiseg.protocols import Segmenter, View
    from lexiseg.results import PromptSummary, Provenance, ScoreMap, Segmentation, UnknownWord
    from lexiseg.video import run_video, track
    from lexiseg.visualize import overlay

__all__ = [
    "BatchOptions",
    "BatchResult",
    "Client",
    "EditResult",
    "Evaluation",
    "Example",
    "Like",
    "Masks",
    "MethodInfo",
    "Picture",
    "PromptSummary",
    "Provenance",
    "ScoreMap",
    "Segmentation",
    "Segmenter",
    "UnknownWord",
    "View",
    "Vocabulary",
    "__version__",
    "config_class",
    "edit",
    "errors",
    "evaluate",
    "list_checkpoints",
    "list_datasets",
    "list_methods",
    "load",
    "overlay",
    "run_batch",
    "run_video",
    "save_masks",
    "save_overlay",
    "to_coco",
    "track",
]

# Public name -> "module:attribute", or "module" for a package that is public itself.
_PUBLIC = {
    "BatchOptions": "lexiseg.batch.options:BatchOptions",
    "BatchResult": "lexiseg.batch.options:BatchResult",
    "Client": "lexiseg.client:Client",
    "EditResult": "lexiseg.edit:EditResult",
    "Evaluation": "lexiseg.evaluation:Evaluation",
    "Example": "lexiseg.prompts:Example",
    "Like": "lexiseg.prompts:Like",
    "Masks": "lexiseg.masks:Masks",
    "MethodInfo": "lexiseg.loading:MethodInfo",
    "Picture": "lexiseg.imaging:Picture",
    "PromptSummary": "lexiseg.results:PromptSummary",
    "Provenance": "lexiseg.results:Provenance",
    "ScoreMap": "lexiseg.results:ScoreMap",
    "Segmentation": "lexiseg.results:Segmentation",
    "Segmenter": "lexiseg.protocols:Segmenter",
    "UnknownWord": "lexiseg.results:UnknownWord",
    "View": "lexiseg.protocols:View",
    "Vocabulary": "lexiseg.prompts:Vocabulary",
    "config_class": "lexiseg.loading:config_class",
    "edit": "lexiseg.edit",
    "errors": "lexiseg.errors",
    "evaluate": "lexiseg.evaluation:evaluate",
    "list_checkpoints": "lexiseg.checkpoints:records",
    "list_datasets": "lexiseg.datasets:list_datasets",
    "list_methods": "lexiseg.loading:list_methods",
    "load": "lexiseg.loading:load",
    "overlay": "lexiseg.visualize:overlay",
    "run_batch": "lexiseg.batch.run:run_batch",
    "run_video": "lexiseg.video.run:run_video",
    "save_masks": "lexiseg.export:save_masks",
    "save_overlay": "lexiseg.export:save_overlay",
    "to_coco": "lexiseg.export:to_coco",
    "track": "lexiseg.video:track",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lexiseg' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = import_module(module)
    return getattr(value, attribute) if attribute else value


def __dir__() -> list[str]:
    return sorted(__all__)
