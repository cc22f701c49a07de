"""Run reference implementations of metrics on made inputs; keep what they say.

    python -m tests.parity.golden.make_metrics FOLDER

FOLDER holds checkouts: mmsegmentation (mmseg/evaluation/metrics/iou_metric.py is enough), clipseg,
PhraseCutDataset, davis2017-evaluation, boundary-iou-api, hsnet; torchmetrics is importable.
Stand-ins for what their files import beside the parts that are run are enough.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.integrate import simpson
from tests.metric_inputs import CLASSES, IGNORE, label_maps, mask_pairs, probabilities

HERE = Path(__file__).parent


class Anything(types.ModuleType):
    """A module, or a function or class of it, that is imported and never matters."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if args and callable(args[0]) else self

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (object,)


def module(path: Path, stand_ins: tuple[str, ...]) -> Any:
    """Run a file whose imports are stand-ins."""
    for name in stand_ins:
        sys.modules[name] = Anything(name)
    try:
        spec = importlib.util.spec_from_file_location(path.stem + "_reference", path)
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return made
    finally:
        for name in stand_ins:
            del sys.modules[name]


def numbers(values: Any) -> Any:
    """Values as JSON: null for NaN."""
    if isinstance(values, dict):
        return {str(key): numbers(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [numbers(value) for value in values]
    if isinstance(values, np.ndarray | torch.Tensor):
        return numbers(values.tolist())
    value = float(values)
    return None if np.isnan(value) else value


def mmsegmentation(root: Path) -> Any:
    names = (
        "mmengine", "mmengine.dist", "mmengine.evaluator", "mmengine.logging", "mmengine.utils",
        "prettytable", "mmseg", "mmseg.registry",
    )  # fmt: skip
    path = root / "mmsegmentation/mmseg/evaluation/metrics/iou_metric.py"
    text = path.read_text().replace("@METRICS.register_module()\n", "")
    (bare := root / "iou_metric_bare.py").write_text(text)
    metric = module(bare, names).IoUMetric
    areas = [
        metric.intersect_and_union(torch.from_numpy(pred), torch.from_numpy(truth), CLASSES, IGNORE)
        for pred, truth in label_maps()
    ]
    sums = [sum(one).double() for one in zip(*areas, strict=True)]
    found = metric.total_area_to_metrics(*sums, ["mIoU", "mDice", "mFscore"])
    means = {f"m{key}": np.nanmean(value) for key, value in found.items() if value.ndim}
    return {**found, **means}


def torchmetrics() -> Any:
    from torchmetrics import functional

    pred = torch.cat([torch.from_numpy(p).flatten() for p, _ in label_maps()])
    truth = torch.cat([torch.from_numpy(t).flatten() for _, t in label_maps()])
    how: dict[str, Any] = {"num_classes": CLASSES, "ignore_index": IGNORE}
    return {
        "weighted_iou": functional.classification.multiclass_jaccard_index(
            pred, truth, average="weighted", **how
        ),
        "micro_f1": functional.classification.multiclass_f1_score(
            pred, truth, average="micro", **how
        ),
        "f1": functional.classification.multiclass_f1_score(pred, truth, average=None, **how),
    }


def clipseg(root: Path) -> Any:
    import scipy.integrate

    scipy.integrate.simps = lambda y, x: simpson(y, x=x)  # its name until SciPy 1.14
    metric = module(root / "clipseg/metrics.py", ("general_utils",)).FixedIntervalMetrics()
    with contextlib.redirect_stdout(io.StringIO()):
        for p, g, index in probabilities():
            one, other = (torch.from_numpy(a)[None, None].float() for a in (p, g))
            metric.add([one], [other, torch.empty(0), torch.tensor([index])])
        found = metric.value()
    kept = ("ap", "fgiou_scores", "biniou_scores", "mean_iou_scores", "miou_best_t", "miou_best")
    return {key: found[key] for key in kept}


def phrasecut(root: Path) -> Any:
    path = root / "PhraseCutDataset/utils/evaluator.py"
    names = ("matplotlib", "matplotlib.pyplot", "iou", "refvg_loader", "subset", "file_paths")
    code = module(path, names)
    code.subset_utils = types.SimpleNamespace(subsets=["all"])
    loader = types.SimpleNamespace(splits=["made"], task_num=len(list(mask_pairs())) + 3)
    loader.img_ids = [1]
    run = code.Evaluator(loader, analyze_subset=False)
    for pred, truth in mask_pairs():
        shared, either = np.sum(pred & truth), np.sum(pred | truth)
        run.subset_stats["all"][1].append(0.0)
        run.subset_stats["all"][2].append(float(shared / either) if shared else 0.0)  # as `iou`
        run.subset_stats["all"][3].append(float(shared))
        run.subset_stats["all"][4].append(float(either))
        run.evaluated_task_count += 1
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        found = run.analyze_stats(mask_box=("mask",))["all"]
    (line,) = (one for one in said.getvalue().splitlines() if one.startswith("Overall"))
    return {**found, "overall": float(line.split()[-1])}


def davis(root: Path) -> Any:
    code = module(root / "davis2017-evaluation/davis2017/metrics.py", ())
    utils = module(
        root / "davis2017-evaluation/davis2017/utils.py", ("davis2017", "davis2017.davis")
    )
    each = {"j": [], "f": []}
    for pred, truth in mask_pairs():
        void = np.zeros_like(truth)
        void[3:6, 10:20] = True
        each["j"].append([code.db_eval_iou(truth, pred), code.db_eval_iou(truth, pred, void)])
        each["f"].append(
            [code.db_eval_boundary(truth, pred), code.db_eval_boundary(truth, pred, void)]
        )
    series = {key: np.array(value)[:, 0] for key, value in each.items()}
    return {**each, **{f"{k}_statistics": utils.db_statistics(v) for k, v in series.items()}}


def boundary_iou(root: Path) -> Any:
    code = module(root / "boundary-iou-api/boundary_iou/utils/boundary_utils.py", ())
    return [
        [int(code.mask_to_boundary(side.astype(np.uint8), ratio).sum()) for side in pair]
        + [
            int(
                np.logical_and(
                    *(code.mask_to_boundary(side.astype(np.uint8), ratio) for side in pair)
                ).sum()
            )
        ]
        for pair in mask_pairs()
        for ratio in (0.02, 0.06)
    ]


def hsnet(root: Path) -> Any:
    code = module(root / "hsnet/common/evaluation.py", ())
    logger = module(root / "hsnet/common/logger.py", ("tensorboardX",))
    torch.Tensor.cuda = lambda self: self  # type: ignore[method-assign, assignment]
    data = types.SimpleNamespace(benchmark="pascal", class_ids=[5, 6, 7, 8, 9])
    meter = logger.AverageMeter(data)
    code.Evaluator.initialize()
    for index, (pred, truth) in enumerate(mask_pairs()):
        void = np.zeros_like(truth)
        void[4:8, 5:30] = True
        batch = {
            "query_mask": torch.from_numpy((truth & ~void).astype(np.float32))[None],
            "query_ignore_idx": torch.from_numpy(void.astype(np.float32))[None],
        }
        found = torch.from_numpy(pred.astype(np.float32))[None]
        shared, either = code.Evaluator.classify_prediction(found, batch)
        meter.update(shared, either, torch.tensor([5 + index % 4]), None)
    meter.intersection_buf, meter.union_buf = (
        meter.intersection_buf.double(), meter.union_buf.double(),
    )  # fmt: skip
    meter.ones = meter.ones.double()
    mean, fb = meter.compute_iou()
    return {"miou": mean / 100, "fb_iou": fb / 100}


def main(root: Path) -> None:
    made = {
        "mmsegmentation": mmsegmentation(root),
        "torchmetrics": torchmetrics(),
        "clipseg": clipseg(root),
        "phrasecut": phrasecut(root),
        "davis": davis(root),
        "boundary_iou": boundary_iou(root),
        "hsnet": hsnet(root),
    }
    commits = {
        "mmsegmentation": "1.2.2", "clipseg": "77c4e2d", "phrasecut": "276470b",
        "davis": "ac7c43f", "boundary_iou": "37d2558", "hsnet": "6b1bc12", "torchmetrics": "1.9.0",
    }  # fmt: skip
    text = json.dumps({"commits": commits, **numbers(made)})
    (HERE / "metrics.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
