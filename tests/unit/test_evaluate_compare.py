"""Two runs compared: against a slow bootstrap, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.test_evaluate_resume import ByColour, streets  # noqa: F401

from lexiseg.cli import main
from lexiseg.errors import InputError
from lexiseg.evaluation import evaluate
from lexiseg.evaluation.compare import compare_runs, read_runs
from lexiseg.metrics import draw_weights


class Shifted(ByColour):
    """Answers as ByColour, but gives road the pixels of trees in every third column."""

    def __call__(self, image: Any, words: Any, *, background: Any) -> Any:
        image = image.copy()
        image[:, ::3, 0][image[:, ::3, 0] == 2] = 1
        return super().__call__(image, words, background=background)


@pytest.fixture
def runs(streets: Path, tmp_path: Path) -> tuple[Path, Path]:  # noqa: F811
    folders = tmp_path / "first", tmp_path / "second"
    for folder, segmenter in zip(folders, (ByColour(), Shifted()), strict=True):
        evaluate(segmenter, streets, out=folder, save_vis=True, command="lexiseg evaluate x")
    return folders


def document(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text("utf-8"))


def slow(runs: list[Any], weights: np.ndarray) -> tuple[list[float], np.ndarray]:
    """The mean IoU of both runs, and its difference in each resampled set."""
    means = []
    for run in runs:
        rows = []
        for times in [np.ones(len(run["pictures"]), int), *weights]:
            sums: dict[int, np.ndarray] = {}
            for count, picture in zip(times, run["pictures"], strict=True):
                for k, *areas in picture["counts"]:
                    sums[k] = sums.get(k, np.zeros(3)) + count * np.array(areas)
            ious = []
            for k, (hit, true, pred) in sums.items():
                held = sum(
                    any(c[0] == k and c[2] for c in one["counts"]) for one in run["pictures"]
                )
                if held >= 5 and true + pred - hit > 0:
                    ious.append(hit / (true + pred - hit))
            rows.append(np.mean(ious))
        means.append(np.array(rows))
    return [one[0] for one in means], means[1][1:] - means[0][1:]


def test_against_a_slow_bootstrap(runs: tuple[Path, Path]) -> None:
    both = [document(folder) for folder in runs]
    found = compare_runs(*both, samples=40, seed=3)
    values, apart = slow(both, draw_weights(found.photos, samples=40, seed=3))
    assert (found.mean_iou.first, found.mean_iou.second) == pytest.approx(values)
    assert found.mean_iou.difference.value == pytest.approx(values[1] - values[0])
    low, high = np.quantile(apart, [0.025, 0.975])
    assert found.mean_iou.difference.low == pytest.approx(low)
    assert found.mean_iou.difference.high == pytest.approx(high)
    assert found.mean_iou.verdict == "first"
    assert found.mean_iou.second_better == 0
    assert found.mean_classes == 5
    by_name = {one.name: one.iou for one in found.classes}
    assert by_name["tree"].verdict == by_name["road"].verdict == "first"
    assert by_name["sky"].verdict == "open"
    assert by_name["sky"].second_better == 0.5
    assert (found.photos, found.left_out) == (12, 0)
    assert found.photos_lost > 0 == found.photos_won
    assert found.most_changed[0][1] < 0
    same = compare_runs(both[0], both[0])
    assert same.pixel_accuracy.difference.value == same.photos_won == 0
    assert same.most_changed == ()


def test_the_command(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["compare", *map(str, runs), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "streets: 12 photos" in said
    assert said == (out / "comparison.txt").read_text("utf-8")
    page = (out / "comparison.html").read_text("utf-8")
    assert page.count("<img") == 16
    assert "first left, second right" in page
    assert main(["compare", str(runs[0]), str(runs[1] / "results.json"), "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert one["mean_iou"]["difference"]["value"] < 0
    assert main(["compare", str(runs[0]), str(tmp_path / "gone")]) == 2
    assert "give a folder that `lexiseg evaluate --out` finished" in capsys.readouterr().err


def test_runs_that_do_not_compare(runs: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = (document(folder) for folder in runs)
    with pytest.raises(InputError, match="'streets' and 'roads'"):
        compare_runs(first, {**second, "set": "roads"})
    fewer = {**second, "pictures": second["pictures"][:7]}
    found = compare_runs(first, fewer)
    assert (found.photos, found.left_out) == (7, 5)
    assert "(5 are in one of the runs only)" in found.summary()
    with pytest.raises(InputError, match="no photo in common"):
        compare_runs(first, {**second, "pictures": []})
    first["pictures"][0]["counts"][0][2] += 1
    with pytest.raises(InputError, match="the truth of photo '00' is not the same"):
        compare_runs(first, second)
    (tmp_path / "results.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="holds no results"):
        read_runs(tmp_path)
