"""Measure segmenters on data sets, go on after an interruption, compare runs, score edits."""

from __future__ import annotations

from lexiseg.evaluation.result import Evaluation
from lexiseg.evaluation.run import evaluate

__all__ = ["Evaluation", "evaluate"]
