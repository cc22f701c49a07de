"""A segmenter of clip-then-sam made of its Config: a mapper, itself a method, and a masker."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from lexiseg.errors import OptionError, UnknownName
from lexiseg.methods.clip_then_sam.config import Config
from lexiseg.methods.clip_then_sam.segmenter import Segmenter
from lexiseg.protocols import LoadOptions

__all__ = ["load"]

# What the mapper would make of its scores, and what it competes with: clip-then-sam's own matter.
_OWN_FIELDS = (
    "area_threshold", "background", "flat", "instances", "min_agreement", "min_share",
    "pamr_dilations", "pamr_steps", "refine", "refine_epsilon", "refine_masker", "refine_radius",
    "threshold", "word_thresholds",
)  # fmt: skip


def load(config: Config, options: LoadOptions) -> Segmenter:
    """Load the mapper and the mask model that the Config names, and return the segmenter.

    Raises OptionError for a mapper, or fields of its Config, that cannot map words here.
    """
    from lexiseg.models import load_masker
    from lexiseg.registry import methods

    module = methods().get(config.mapper)
    known = {f.name for f in fields(module.Config)}
    if "masker" in known or not hasattr(module.Segmenter, "score_map"):
        raise OptionError(
            f"the mapper is {config.mapper!r}, which gives no map of words; give one that does, "
            "such as 'dense'"
        )
    mapper = module.load(_mapper_config(module.Config, known, config), options)
    masker = load_masker(config.masker, options, compile=config.compile)
    return Segmenter(mapper, masker, config)


def _mapper_config(made_of: Any, known: set[str], config: Config) -> Any:
    """The Config of the mapper; ``known``: the fields that it has."""
    given: dict[str, Any] = dict(config.mapper_fields)
    if config.encoder is not None and given.setdefault("encoder", config.encoder) != config.encoder:
        raise OptionError(
            f"encoder is {config.encoder!r}, and mapper_fields gives {given['encoder']!r}; give "
            "one of the two"
        )
    for name in given:
        if name not in known:
            raise UnknownName.among(f"field of {config.mapper}'s Config", name, known)
        if name in _OWN_FIELDS:
            raise OptionError(
                f"mapper_fields gives {name!r}, but clip-then-sam draws outlines, applies "
                "thresholds and has a background itself; set its own fields"
            )
    if "background" in known:
        given["background"] = config.background
    if "instances" in known:
        given["instances"] = "off"
    try:
        return made_of(**given)
    except TypeError as error:
        raise OptionError(
            f"one of mapper_fields {dict(config.mapper_fields)} is not of its field's type "
            f"({error}); see lexiseg.config_class({config.mapper!r})"
        ) from error
