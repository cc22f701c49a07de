"""Phrases, episodes and instances go on where a run was ended, and draw what they were asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import published_trees
from tests.unit.test_evaluate_kinds import ByGreen, Copies, Knows, answer

from lexiseg import imaging
from lexiseg.cli import main
from lexiseg.datasets import episodes_of, open_dataset, open_instances, open_set
from lexiseg.datasets.episodes import MIN_AREA, hsnet_coco_episodes
from lexiseg.errors import InputError, OptionError, UnknownName
from lexiseg.evaluation.few_shot import evaluate_few_shot
from lexiseg.evaluation.instances import evaluate_instances
from lexiseg.evaluation.phrases import evaluate_phrases
from lexiseg.loading import load


def untimed(found: Any) -> dict[str, Any]:
    plain: dict[str, Any] = found.to_json()
    for key in ("seconds_per_picture", "seconds_per_phrase", "seconds_per_episode"):
        plain.pop(key, None)
    return plain


def cuts(journal: Path) -> list[int]:
    lines = journal.read_bytes()
    return [0, lines.index(b"\n") + 3, len(lines) // 2, len(lines) - 5, len(lines)]


def test_episodes_go_on_where_a_run_was_ended(tmp_path: Path) -> None:
    published_trees.pascal5i(tmp_path)
    folds: list[Any] = [open_dataset("pascal5i", f"fold{i}", root=tmp_path) for i in (0, 2)]
    whole = evaluate_few_shot(Copies(), folds, limit=6)
    out = tmp_path / "out"
    out.mkdir()
    found = evaluate_few_shot(Copies(), folds, limit=6, out=out, save_vis=True)
    assert found.folds == whole.folds
    drawn = sorted(path.name for path in (out / "visualizations" / "fold0").iterdir())
    assert drawn == [f"{i:05}.png" for i in range(6)]
    assert imaging.read(out / "visualizations" / "fold2" / "00000.png").rgb.shape[1] > 400
    lines = (out / "episodes.jsonl").read_bytes()
    for place in cuts(out / "episodes.jsonl"):
        (out / "episodes.jsonl").write_bytes(lines[:place])
        segmenter = Copies()
        again = evaluate_few_shot(segmenter, folds, limit=6, out=out, resume=True)
        assert (again.folds, again.by_class) == (whole.folds, whole.by_class)
        assert len(segmenter.asked) == 12 - max(0, lines[:place].count(b"\n") - 1)
    with pytest.raises(OptionError, match="made with another shots"):
        evaluate_few_shot(Copies(), folds, limit=6, out=out, resume=True, shots=2)
    with pytest.raises(OptionError, match="save_vis needs a folder"):
        evaluate_few_shot(Copies(), folds, save_vis=True)


def test_an_episode_may_be_asked_by_its_word_alone(tmp_path: Path) -> None:
    published_trees.pascal5i(tmp_path)
    fold: Any = open_dataset("pascal5i", "fold0", root=tmp_path)
    asked: list[Any] = []

    def segmenter(image: Any, words: Any) -> Any:
        asked.append(words)
        return answer(words, np.zeros(image.shape[:2], int))

    found = evaluate_few_shot(segmenter, [fold], shots=0, limit=3)
    assert asked == [[fold.classes[one.class_id]] for one in fold.episodes()[:3]]
    assert "3 episodes of 0 shots (hsnet's), the class's word alone" in found.summary()


def test_instances_go_on_where_a_run_was_ended(tmp_path: Path) -> None:
    published_trees.coco(tmp_path)
    data: Any = open_dataset("coco", "val", root=tmp_path)
    whole = evaluate_instances(Knows(data), data)
    out = tmp_path / "out"
    out.mkdir()
    evaluate_instances(Knows(data), data, out=out, save_vis=True)
    assert len(list((out / "visualizations").glob("*.png"))) == len(data)
    lines = (out / "instances.jsonl").read_bytes()
    for place in cuts(out / "instances.jsonl"):
        (out / "instances.jsonl").write_bytes(lines[:place])
        segmenter = Knows(data)
        segmenter.left = segmenter.left[max(0, lines[:place].count(b"\n") - 1) :]
        again = evaluate_instances(segmenter, data, out=out, resume=True)
        assert untimed(again) == untimed(whole)
        assert segmenter.left == []


def test_phrases_are_drawn(tmp_path: Path) -> None:
    published_trees.phrasecut(tmp_path)
    data: Any = open_dataset("phrasecut", "test", root=tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    evaluate_phrases(ByGreen(), data, out=out, save_vis=True, limit=2)
    assert len(list((out / "visualizations").rglob("*.png"))) == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    published_trees.phrasecut(tmp_path)
    published_trees.pascal5i(tmp_path)
    published_trees.coco(tmp_path)
    phrases: Any = open_dataset("phrasecut", "test", root=tmp_path)
    fold: Any = open_dataset("pascal5i", "fold0", root=tmp_path)
    things: Any = open_dataset("coco", "val", root=tmp_path)
    runs: list[tuple[Any, Any, Any, dict[str, Any]]] = [
        (evaluate_phrases, load("dense"), phrases, {"limit": 4}),
        (evaluate_few_shot, load("clipseg"), [fold], {"limit": 4}),
        (evaluate_instances, load("dense"), things, {}),
    ]
    for run, segmenter, data, more in runs:
        one, two = (untimed(run(segmenter, data, jobs=jobs, **more)) for jobs in (1, 2))
        assert json.dumps(one) == json.dumps(two)


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    """Twelve photos whose halves show one of three classes, beside a background."""
    root = tmp_path / "stripes"
    for number in range(12):
        labels = np.zeros((60, 80 + number), np.uint8)
        labels[:, :40] = 2 if number < 2 else (1, 3)[number % 2]
        labels[:5] = 9  # does not count
        if number == 11:
            labels[40:45, 60:65] = 1  # small
        for folder, pixels in (("images", np.repeat(labels[..., None] * 20, 3, 2)),
                               ("masks", labels)):  # fmt: skip
            path = root / "val" / folder / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    card = {"classes": ["background", "red", "green", "blue", "absent"], "background_index": 0,
            "ignore_index": 9}  # fmt: skip
    (root / "dataset.json").write_text(json.dumps(card))
    return root


def test_episodes_of_ones_own_masks(
    stripes: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = open_set(stripes)
    fold = episodes_of(data)
    assert (fold.classes, fold.class_ids) == (("red", "green", "blue", "absent"), (0, 1, 2))
    truth, ignored = fold.mask("00", 1, (60, 80))
    assert truth.sum() == 55 * 40
    assert ignored.sum() == 5 * 80
    held = {0: [], 1: [], 2: []}  # type: ignore[var-annotated]
    for sample in data:
        for index in (1, 2, 3):
            if (sample.labels(imaging.read(sample.path).rgb.shape[:2]) == index).any():
                held[index - 1].append(sample.id)
    assert fold.episodes(count=30) == hsnet_coco_episodes(held, (0, 1, 2), count=30)
    other = episodes_of(data, "pfenet")
    assert other.protocol == "pfenet"
    large = {"11"} ^ set(held[0])  # all that hold red in 2,048 pixels
    for episode in other.episodes(count=60):
        pixels = other.mask(episode.supports[0], episode.class_id, _size(data, episode.supports[0]))
        assert pixels[0].sum() >= MIN_AREA
        assert episode.supports[0] != episode.query
        assert episode.class_id or episode.supports[0] in large
    with pytest.raises(UnknownName, match="did you mean 'hsnet'"):
        episodes_of(data, "hsnt")
    with pytest.raises(InputError, match="shows no class twice"):
        episodes_of(data.first(1))
    line = ["evaluate", "clipseg", "--data", str(stripes), "--episodes", "pfenet"]
    assert main([*line, "--limit", "2", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["protocol"] == "pfenet"
    assert content["mean"]["episodes"] == 2


def _size(data: Any, name: str) -> tuple[int, int]:
    sample = next(one for one in data if one.id == name)
    height, width = imaging.read(sample.path).rgb.shape[:2]
    return height, width


def test_instances_of_ones_own_set(stripes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert open_instances(stripes) is None
    for path in (stripes / "val" / "masks").iterdir():
        path.unlink()
    (stripes / "val" / "masks").rmdir()
    notes, images = [], []
    for number in range(12):
        images.append({"id": number, "file_name": f"elsewhere/{number:02}.jpg", "height": 60,
                       "width": 80 + number})  # fmt: skip
        square = [2, 2, 22, 2, 22, 22, 2, 22]
        notes.append({"id": number + 1, "image_id": number, "category_id": 4, "area": 400,
                      "iscrowd": 0, "segmentation": [square]})  # fmt: skip
    content = {"images": images, "annotations": notes, "categories": [{"id": 4, "name": "red"}]}
    (stripes / "val" / "instances.json").write_text(json.dumps(content))
    data = open_instances(stripes)
    assert data is not None
    assert data[3].path.name == "03.png"  # of another suffix than the file says
    assert data[3].masks().areas.tolist() == [400]
    found = evaluate_instances(Knows(data), data)
    assert found.score.ap == pytest.approx(1)
    assert main(["evaluate", "dense", "--data", str(stripes), "--instances", "--limit", "1"]) == 0
    assert "1 instances on 1 photos" in capsys.readouterr().out
