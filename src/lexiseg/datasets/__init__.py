"""Photos with masks to measure on and to train on: folders of one's own, and published sets."""

from __future__ import annotations

from lexiseg.datasets.catalogue import (
    DatasetInfo,
    dataset_info,
    list_datasets,
    open_dataset,
    open_datasets,
    open_semantic,
    paper_words,
)
from lexiseg.datasets.episodes import Episode
from lexiseg.datasets.fewshot import FewShotDataset, episodes_of
from lexiseg.datasets.instances import InstanceDataset
from lexiseg.datasets.phrases import PhraseDataset
from lexiseg.datasets.plain import find_sets, open_instances, open_set
from lexiseg.datasets.semantic import Sample, SemanticDataset
from lexiseg.datasets.videos import VideoDataset

__all__ = [
    "DatasetInfo",
    "Episode",
    "FewShotDataset",
    "InstanceDataset",
    "PhraseDataset",
    "Sample",
    "SemanticDataset",
    "VideoDataset",
    "dataset_info",
    "episodes_of",
    "find_sets",
    "list_datasets",
    "open_dataset",
    "open_datasets",
    "open_instances",
    "open_semantic",
    "open_set",
    "paper_words",
]
