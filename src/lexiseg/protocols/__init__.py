"""What stages and methods may ask of models, and what a method is. Models fulfil these."""

from __future__ import annotations

from lexiseg.protocols.detector import (
    Detections,
    Detector,
    DetectorState,
    EncodedImage,
    ExampleDetector,
    PromptedModel,
)
from lexiseg.protocols.encoder import (
    AttentionEncoder,
    AttentionSource,
    BackboneEncoder,
    BackboneMaps,
    Encoder,
    LastBlock,
    Proxy,
    SizePolicy,
    VocabularyAware,
    WholeAttention,
    WordNeighbours,
)
from lexiseg.protocols.masker import Frame, Masker, MaskPrompts, MaskState, RawMasks
from lexiseg.protocols.model import Inpainter, LoadOptions, Model
from lexiseg.protocols.segmenter import DenseMapper, DenseScores, Segmenter, View, WordLevel
from lexiseg.protocols.tracker import Tracker, Tracks

__all__ = [
    "AttentionEncoder", "AttentionSource", "BackboneEncoder", "BackboneMaps", "DenseMapper",
    "DenseScores", "Detections", "Detector", "DetectorState", "EncodedImage", "Encoder",
    "ExampleDetector", "Frame", "Inpainter", "LastBlock", "LoadOptions", "MaskPrompts",
    "MaskState", "Masker", "Model", "PromptedModel", "Proxy", "RawMasks", "Segmenter",
    "SizePolicy", "Tracker", "Tracks", "View", "VocabularyAware", "WholeAttention", "WordLevel",
    "WordNeighbours",
]  # fmt: skip
