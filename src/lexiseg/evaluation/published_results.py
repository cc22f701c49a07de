"""Published numbers, and the command of lexiseg that measures the same: one table for all.

A row names where its numbers are printed, whatever they are worth; `note` says what is known
against them. Read by ``lexiseg.evaluation.reproduce``, `lexiseg reproduce` and docs/reproduce.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lexiseg.errors import UnknownName

__all__ = ["PAPERS", "Paper", "Row", "find_row"]


@dataclass(frozen=True)
class Row:
    """Numbers of one run on one data set.

    published: by measure (see ``lexiseg.evaluation.reproduce.MEASURES``): in percent, times in
        seconds.
    data: the name of a published data set. options: what stands between `lexiseg evaluate` and
        `--data`; "" where no command measures the same, and `note` says why.
    """

    paper: str
    name: str
    published: Mapping[str, float]
    source: str
    data: str
    options: str
    note: str = ""


@dataclass(frozen=True)
class Paper:
    """A publication, and its rows by name; note: what holds for all of them."""

    name: str
    title: str
    rows: Mapping[str, Row] = field(default_factory=dict)
    note: str = ""


def find_row(paper: str, row: str) -> Row:
    """Return a row; raises UnknownName with the nearest names."""
    if paper not in PAPERS:
        raise UnknownName.among("paper", paper, PAPERS)
    rows = PAPERS[paper].rows
    if row not in rows:
        raise UnknownName.among(f"row of {paper}", row, rows)
    return rows[row]


_EIGHT = (
    "voc21", "context60", "coco-object", "voc20", "context59", "coco-stuff164k", "cityscapes",
    "ade20k",
)  # fmt: skip
_CLIP = "--encoder clip-vit-b16.openai"


def _eight(
    paper: str, numbers: str, source: str, options: str, *, suffix: str = "", note: str = ""
) -> list[Row]:
    """Rows of mIoU on the eight sets that papers report, in their order; "-": not reported."""
    rows = []
    for data, number in zip(_EIGHT, numbers.split(), strict=True):
        if number != "-":
            published = {"mIoU": float(number)}
            given = options.format(data=data)
            rows.append(Row(paper, data + suffix, published, source, data, given, note))
    return rows


def _paper(name: str, title: str, *rows: Row, note: str = "") -> Paper:
    by_name = {row.name: row for row in rows}
    if len(by_name) < len(rows):
        raise ValueError(f"two rows of {name} have one name")
    return Paper(name, title, by_name, note)


_SCLIP_README = "README of github.com/wangf3014/SCLIP at b56bd30"
_SCLIP = f"dense --preset sclip@{{data}} {_CLIP} --vocabulary sclip"

_NACLIP = f"dense --preset naclip@{{data}} {_CLIP} --vocabulary naclip"
_NACLIP_README = "README of github.com/sinahmr/NACLIP"

_CLEARCLIP = "dense --preset clearclip@{data} --encoder %s --vocabulary clearclip"
_CLEARCLIP_TABLE = "assets/results.png of github.com/mc-lan/ClearCLIP"

_RESCLIP = "resclip --preset paper@{data} --encoder %s --vocabulary sclip"
_RESCLIP_TABLE = "figures of the main results, github.com/yvhangyang/ResCLIP"
_ONE_WEIGHTING = (
    "the code has one weighting a data set, for NACLIP's attention; whether this is it nobody says"
)

_PROXY = "proxy-clip --preset paper@{data} --encoder %s --vocabulary proxyclip"
_TRIDENT = "trident --preset paper@{data} --encoder %s --vocabulary trident"
_TRIDENT_TABLE = "assets/data_result.png of Trident's code (arXiv 2411.09219) at a93b346"
_OTHERS_TABLE = "tables of later papers (PEARL, github.com/PGSmall/PEARL, and OV-Stitcher)"
_L14, _H14, _META = "clip-vit-l14.openai", "clip-vit-h14.laion2b", "clip-vit-b16.metaclip"
_REFINED = "whether the table is with the code's optional refinement by SAM's masks it does not say"

_CLIPSEG_PAPER = "tables of CLIPSeg, arXiv 2112.10003"
_RD64 = "clipseg --preset paper --encoder clipseg-rd64"
_UNPUBLISHED = "no command: these weights are not published; `lexiseg train clipseg` makes others"
_NOT_BUILT = "no command: not rebuilt"
_ZERO_SHOT = "clipseg --preset zero-shot --encoder clipseg-rd64"
_ZERO_SHOT_NOTE = (
    "the paper's nets had not seen the novel classes and are not published: this one has; there "
    "names are written in one word and pixels counted at 352 x 352; the code gives JoEm's "
    "evaluator unseen classes first, which (at 06ee1fc) takes seen ones first: columns may be "
    "exchanged"
)
_PC_PLUS = (
    "the paper's nets, a fold each, had not seen its classes and are not published: this one has; "
    "at 0.3 as in the paper, whose code has 0.24 (summary.txt shows both)"
)


def _phrasecut(name: str, miou: float, fg: float, ap: float, options: str, note: str = "") -> Row:
    published = {"mIoU": miou, "IoU_FG": fg, "AP": ap}
    name = f"phrasecut-{name}"
    return Row("clipseg", name, published, _CLIPSEG_PAPER, "phrasecut-clipseg", options, note)


def _clipseg(name: str, published: dict[str, float], data: str, options: str, note: str) -> Row:
    return Row("clipseg", name, published, _CLIPSEG_PAPER, data, options, note)


_GUIDED, _GUIDED_README = "clip-guided-sam2", "README of the project CLIP-Guided SAM2 Segmentation"
_VIT = "--model ViT-B/16 --preset sclip@{} --vocabulary sclip"
_TEN = (
    "cannot be a result: ten photos, which are not named; SCLIP's own README has 59.63 on all 1,449"
)
_THESIS = "open-vocabulary-generative"
_THESIS_README = "README of Open-Vocabulary Semantic Segmentation with Generative AI"
_SAM2_L14 = (
    "sam-then-clip --preset sam1 --set scoring=features --encoder clip-vit-l14-336.openai "
    "--masker sam2-hiera-l"
)
_LAYERS = "the README does not say how masks become label maps; these are the nearest settings here"


def _guided(name: str, published: dict[str, float], data: str, options: str, note: str) -> Row:
    return Row(_GUIDED, name, published, _GUIDED_README, data, options, note)


def _thesis(name: str, published: dict[str, float], data: str) -> Row:
    return Row(_THESIS, name, published, _THESIS_README, data, _SAM2_L14, _LAYERS)


_ALL = (
    _paper(
        "sclip", "SCLIP (Wang et al., ECCV 2024, arXiv 2312.01597), CLIP ViT-B/16",
        *_eight("sclip", "59.63 31.74 33.52 81.54 34.46 22.77 32.34 16.45", _SCLIP_README, _SCLIP),
        Row("sclip", "coco-stuff10k", {"mIoU": 25.91}, _SCLIP_README, "coco-stuff10k",
            f"dense --preset sclip {_CLIP} --vocabulary sclip"),
    ),
    _paper(
        "clearclip", "ClearCLIP (Lan et al., ECCV 2024, arXiv 2407.12442)",
        *_eight("clearclip", "- - - 80.9 35.9 23.9 30.0 16.7", _CLEARCLIP_TABLE,
                _CLEARCLIP % "clip-vit-b16.openai"),
        *_eight("clearclip", "51.8 32.6 33.0 - - - - -", _RESCLIP_TABLE,
                _CLEARCLIP % "clip-vit-b16.openai"),
        *_eight("clearclip", "- - - 80.0 29.6 19.9 27.9 15.0", _CLEARCLIP_TABLE,
                _CLEARCLIP % _L14, suffix="-l14"),
    ),
    _paper(
        "naclip", "NACLIP (Hajimiri et al., WACV 2025, arXiv 2404.08181), CLIP ViT-B/16",
        *_eight("naclip", "64.07 34.99 36.19 83.03 38.35 25.69 38.27 19.05", _NACLIP_README,
                _NACLIP),
        *_eight("naclip", "58.9 32.2 33.2 79.7 35.2 23.3 35.5 17.4", _TRIDENT_TABLE,
                f"{_NACLIP} --set refine=none", suffix="-without-pamr"),
    ),
    _paper(
        "resclip", "ResCLIP (Yang et al., CVPR 2025, arXiv 2411.15851)",
        *_eight("resclip", "61.1 33.5 35.0 86.0 36.8 24.7 35.9 18.0", _RESCLIP_TABLE,
                _RESCLIP % "clip-vit-b16.openai"),
        *_eight("resclip", "54.1 30.9 32.5 85.5 34.5 23.4 33.7 18.2", _RESCLIP_TABLE,
                _RESCLIP % _L14, suffix="-l14",
                note="the presets hold the code's settings for ViT-B/16"),
        *_eight("resclip", "60.7 32.9 34.3 84.6 35.8 23.9 34.4 17.6", _RESCLIP_TABLE,
                _RESCLIP % "clip-vit-b16.openai --set readout=sclip", suffix="-on-sclip",
                note=_ONE_WEIGHTING),
        *_eight("resclip", "59.0 32.9 34.0 87.1 36.4 24.3 34.5 17.8", _RESCLIP_TABLE,
                _RESCLIP % "clip-vit-b16.openai --set readout=clearclip", suffix="-on-clearclip",
                note=_ONE_WEIGHTING),
    ),
    _paper(
        "proxyclip", "ProxyCLIP (Lan et al., ECCV 2024, arXiv 2408.04883), DINO ViT-B/8",
        *_eight("proxyclip", "61.3 35.3 37.5 80.3 39.1 26.5 38.1 20.2", _TRIDENT_TABLE,
                _PROXY % "clip-vit-b16.openai"),
        *_eight("proxyclip", "60.6 34.5 39.2 83.2 37.7 25.6 40.1 22.6", _OTHERS_TABLE,
                _PROXY % _L14, suffix="-l14"),
        *_eight("proxyclip", "65.0 35.4 38.6 83.3 39.6 26.8 42.0 24.2", _TRIDENT_TABLE,
                _PROXY % _H14, suffix="-h14"),
        *_eight("proxyclip", "63.3 37.5 38.4 81.0 40.8 28.1 39.9 22.5", _OTHERS_TABLE,
                _PROXY % _META, suffix="-metaclip"),
    ),
    _paper(
        "trident", "Trident (Shi et al., ICCV 2025, arXiv 2411.09219), DINO ViT-B/16 and SAM ViT-B",
        *_eight("trident", "67.1 38.6 41.1 84.5 42.2 28.3 42.9 21.9", _TRIDENT_TABLE,
                _TRIDENT % "clip-vit-b16.openai"),
        *_eight("trident", "62.6 37.3 40.5 85.5 40.9 27.1 43.0 24.0", _OTHERS_TABLE,
                _TRIDENT % _L14, suffix="-l14"),
        *_eight("trident", "70.8 40.1 42.2 88.7 44.3 28.6 47.6 26.7", _TRIDENT_TABLE,
                _TRIDENT % _H14, suffix="-h14"),
        *_eight("trident", "68.4 39.9 41.7 85.4 46.1 29.8 43.6 23.7", _OTHERS_TABLE,
                _TRIDENT % _META, suffix="-metaclip"),
        note=_REFINED,
    ),
    _paper(
        "clipseg", "CLIPSeg (Lüddecke and Ecker, CVPR 2022, arXiv 2112.10003)",
        _phrasecut("pc+", 43.4, 54.7, 76.7, _RD64),
        _phrasecut("pc-d128", 48.2, 56.5, 78.2, "", _UNPUBLISHED),
        _phrasecut("pc-d64", 46.1, 56.2, 78.2, "", _UNPUBLISHED),
        _phrasecut("clip-deconv", 37.7, 49.5, 71.2, "", _NOT_BUILT),
        _phrasecut("vitseg-pc+", 28.4, 35.4, 58.3, "", _NOT_BUILT),
        _phrasecut("vitseg-pc", 38.9, 51.2, 74.4, "", _NOT_BUILT),
        _clipseg("phrasecut-d16", {"mIoU": 37.4, "AP": 71.5}, "phrasecut-clipseg",
                 "clipseg --preset paper --encoder clipseg-rd16",
                 "of the ablation, whose full model has 43.6 and 76.7"),
        _clipseg("phrasecut-layer3", {"mIoU": 31.9, "AP": 64.9}, "phrasecut-clipseg", "",
                 _UNPUBLISHED),
        _clipseg("phrasecut-no-visual", {"mIoU": 46.4, "AP": 77.8}, "phrasecut-clipseg", "",
                 _UNPUBLISHED),
        _clipseg("phrasecut-highlight", {"mIoU": 43.4, "AP": 75.4}, "phrasecut-clipseg", "",
                 _UNPUBLISHED),
        _clipseg("pascal5i", {"mIoU": 59.5, "IoU_BIN": 75.0, "AP": 82.3}, "pascal5i-pfenet",
                 f"{_RD64} --shots 1 --clipseg", _PC_PLUS),
        _clipseg("pascal5i-pc", {"mIoU": 52.3, "IoU_BIN": 69.5, "AP": 72.4}, "pascal5i-pfenet", "",
                 _UNPUBLISHED),
        _clipseg("pascal5i-words", {"mIoU": 72.4, "IoU_BIN": 83.1, "AP": 93.5}, "pascal5i-pfenet",
                 f"{_RD64} --shots 0 --clipseg", _PC_PLUS),
        _clipseg("pascal5i-words-pc", {"mIoU": 70.3, "IoU_BIN": 81.6, "AP": 84.8},
                 "pascal5i-pfenet", "", _UNPUBLISHED),
        _clipseg("coco20i", {"mIoU": 33.3, "IoU_BIN": 59.1, "AP": 41.7}, "coco20i", "",
                 "no command: a net a fold, trained on the other three; none is published"),
        _clipseg("zero-shot-unseen10", {"seen": 35.7, "unseen": 43.1}, "voc21-unseen10",
                 _ZERO_SHOT, _ZERO_SHOT_NOTE),
        _clipseg("zero-shot-unseen4", {"seen": 20.8, "unseen": 47.3}, "voc21-unseen4",
                 _ZERO_SHOT, _ZERO_SHOT_NOTE),
        *(
            _clipseg(f"generalised-{name}", {"mIoU": miou, "AP": ap}, "phrasecut-clipseg", "",
                     "no command: the lists of prompts and photos are not published as a data set")
            for name, miou, ap in (("affordances", 36.9, 50.5), ("attributes", 26.6, 43.0),
                                   ("meronymy", 25.7, 29.0))
        ),
    ),
    _paper(
        _GUIDED, "CLIP-Guided SAM2 Segmentation, a project on SCLIP and SAM 2",
        _guided("voc-dense", {"mIoU": 45.23, "pixel accuracy": 78.45, "mean accuracy": 52.67,
                              "seconds": 1.53},
                "voc21", f"dense {_VIT.format('voc21')} --limit 10", _TEN),
        _guided("voc-use-sam", {"mIoU": 48.6, "pixel accuracy": 80.1, "seconds": 15.0},
                "voc21", "dense --use-sam --model ViT-B/16 --masker sam2-hiera-l --slide-inference "
                "--logit-scale 65 --vocabulary sclip --limit 10", _TEN),
        _guided("voc-use-pamr", {"mIoU": 46.8, "pixel accuracy": 79.2, "seconds": 2.8},
                "voc21", f"dense {_VIT.format('voc21')} --use-pamr --limit 10", _TEN),
        _guided("voc-paper", {"mIoU": 45.0}, "voc21", f"dense {_VIT.format('voc21')}",
                'cannot be right: "~45" is given as SCLIP\'s number, whose README has 59.63'),
        _guided("coco-stuff", {"mIoU": 22.77, "pixel accuracy": 61.23, "mean accuracy": 28.45,
                               "seconds": 2.67},
                "coco-stuff164k",
                f"dense {_VIT.format('coco-stuff164k')} --slide-inference --slide-crop 224 "
                "--slide-stride 112",
                "the mIoU is SCLIP's own number, to the digit"),
    ),
    _paper(
        "clipseg-overview", "Image Segmentation Using Text and Image Prompts, a project on CLIPSeg",
        Row("clipseg-overview", "phrasecut", {"mIoU": 61.5},
            "README of a project on CLIPSeg, as a result of the paper", "phrasecut-clipseg", _RD64,
            "cannot be right: CLIPSeg's paper has 43.4 to 48.2, and none of its tables a 61.5"),
    ),
    _paper(
        _THESIS, "Open-Vocabulary Semantic Segmentation with Generative AI, a master's thesis",
        _thesis("voc", {"mIoU": 58.4}, "voc20"),
        _thesis("coco-stuff", {"mIoU": 35.9}, "coco-stuff164k"),
        _thesis("ade20k", {"mIoU": 33.2}, "ade20k"),
        Row(_THESIS, "coco-open", {"base": 45.2, "novel": 32.4}, _THESIS_README,
            "coco-open-48-17", _SAM2_L14,
            f"{_LAYERS}; nor which split of COCO it means, 48 and 17 classes or 65 and 15"),
    ),
)  # fmt: skip

PAPERS: Mapping[str, Paper] = {paper.name: paper for paper in _ALL}
