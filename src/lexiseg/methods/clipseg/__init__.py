"""CLIPSeg: a decoder draws a map for each prompt, a word, an example image, or both mixed.

Lüddecke and Ecker, "Image Segmentation Using Text and Image Prompts" (CVPR 2022). The image is
encoded once; prompts, however many, cost a small decoder each. Published decoders run on CLIP; on
the encoder in the package a prompt is a linear classifier of its features.
"""

from __future__ import annotations

from lexiseg.methods.clipseg.config import PRESETS, Config
from lexiseg.methods.clipseg.segmenter import Segmenter, load

__all__ = ["PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "a map for each word or example image, drawn by a decoder on it"
