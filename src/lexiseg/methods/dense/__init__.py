"""Dense open-vocabulary segmentation: every place of an image is compared with every word.

The image becomes a grid of features, words become vectors in the same space, and the softmax of
their cosines, at the encoder's own scale, says which word each place shows. Works with any encoder
whose features are dense, such as the bundled one. CLIP's last attention is read out as MaskCLIP
(Zhou et al. 2022) and its successors do, and its windows are joined as they join them; the presets
with their names hold their settings.
"""

from __future__ import annotations

from lexiseg.methods.dense.config import PRESETS, Config
from lexiseg.methods.dense.papers import DATA_SETS
from lexiseg.methods.dense.segmenter import Segmenter, load

__all__ = ["DATA_SETS", "PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "compare every place of the image with every word"
