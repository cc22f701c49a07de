"""Phrases, few-shot episodes and instances: runs on published layouts, with known answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tests import published_trees

from lexiseg import imaging
from lexiseg.cli import main, options
from lexiseg.datasets import open_dataset
from lexiseg.errors import InputError, OptionError, PromptError
from lexiseg.evaluation.clipseg_protocol import squash, squash_mask
from lexiseg.evaluation.few_shot import evaluate_few_shot
from lexiseg.evaluation.instances import evaluate_instances
from lexiseg.evaluation.phrases import evaluate_phrases
from lexiseg.masks import Masks
from lexiseg.metrics import FewShotMetrics, FixedIntervalMetrics, PhraseCutMetrics
from lexiseg.results import Provenance, ScoreMap, Segmentation

NOTHING = np.zeros(0, np.float32)


def answer(
    words: Any, label_map: Any, probability: Any = None, masks: Any = None, labels: Any = ()
) -> Segmentation:
    size_hw = label_map.shape
    score_map = None
    if probability is not None:
        score_map = ScoreMap(probability[None].astype(np.float16), size_hw)
    return Segmentation(
        words=tuple(words),
        labels=np.array(labels, np.str_),
        scores=np.linspace(0.9, 0.5, len(labels), dtype=np.float32),
        masks=Masks.empty(size_hw) if masks is None else masks,
        label_map=label_map.astype(np.int16),
        word_scores=np.zeros(len(words), np.float32),
        score_map=score_map,
        provenance=Provenance(method="known", encoder="none"),
    )


class ByGreen:
    """Says that a phrase is where a photo is green; knows no table."""

    prepared = 0

    def prepare(self, image: Any) -> Any:
        self.prepared += 1
        return image

    def __call__(self, image: Any, words: Any, *, background: Any = "default") -> Segmentation:
        if "table" in words[0]:
            raise PromptError("no tables")
        green = image[..., 1] / 255
        return answer(words, np.where(green > 0.5, 0, -1), green)


def test_phrases_by_both_evaluators(tmp_path: Path) -> None:
    published_trees.phrasecut(tmp_path)
    data: Any = open_dataset("phrasecut", "test", root=tmp_path)
    segmenter = ByGreen()
    found = evaluate_phrases(segmenter, data)
    ours, theirs = PhraseCutMetrics(), FixedIntervalMetrics()
    for place, sample in enumerate(data):
        rgb = imaging.read(sample.path).rgb
        truth = sample.mask(rgb.shape[:2])
        small = F.interpolate(
            torch.from_numpy(truth)[None, None].float(), (352, 352), mode="nearest"
        )[0, 0].bool().numpy()  # fmt: skip
        known = "table" not in sample.phrase
        ours.add((rgb[..., 1] > 127.5) & known, truth)
        half = (squash(rgb)[..., 1] / 255).astype(np.float16).astype(np.float32)
        theirs.add(half * np.float32(known), small, place)
    assert found.phrasecut == ours.compute()
    assert asdict(found.clipseg) == asdict(theirs.compute())
    assert (found.phrasecut.phrases, found.photos, found.unusable) == (len(data), 3, 1)
    assert segmenter.prepared == 6  # each photo twice, whatever its phrases
    said = found.summary()
    assert "CLIPSeg's evaluator (352 x 352" in said
    assert "PhraseCut's evaluator (the photo's own size" in said
    assert len(evaluate_phrases(segmenter, data, limit=1).document()["clipseg"]["fg_iou"]) == 49
    with pytest.raises(OptionError, match="limit is 0"):
        evaluate_phrases(segmenter, data, limit=0)


def test_phrases_go_on_where_a_run_was_ended(tmp_path: Path) -> None:
    published_trees.phrasecut(tmp_path)
    data: Any = open_dataset("phrasecut", "test", root=tmp_path)
    whole = evaluate_phrases(ByGreen(), data)
    out = tmp_path / "out"
    out.mkdir()
    evaluate_phrases(ByGreen(), data, out=out)
    lines = (out / "phrases.jsonl").read_bytes()
    for place in (0, 40, len(lines) // 2, len(lines) - 5, len(lines)):
        (out / "phrases.jsonl").write_bytes(lines[:place])
        with pytest.raises(OptionError, match=r"phrases; go on with it \(--resume\)"):
            evaluate_phrases(ByGreen(), data, out=out)
        found = evaluate_phrases(ByGreen(), data, out=out, resume=True)
        assert found.phrasecut == whole.phrasecut
        assert asdict(found.clipseg) == asdict(whole.clipseg)
        assert (found.photos, found.unusable) == (whole.photos, whole.unusable)


class Copies:
    """Answers an episode with the example's own mask, cut to the query's size."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, image: Any, words: Any, *, background: Any = "default") -> Segmentation:
        (like,) = words
        self.asked.append(like)
        mask = like.examples[0].mask
        found = np.full(image.shape[:2], -1)
        rows, columns = (min(a, b) for a, b in zip(mask.shape, found.shape, strict=True))
        found[:rows, :columns][mask[:rows, :columns]] = 0
        return answer([like.title], found)


def test_episodes_of_all_folds(tmp_path: Path) -> None:
    published_trees.pascal5i(tmp_path)
    names = ("fold0", "fold2")
    folds: list[Any] = [open_dataset("pascal5i", name, root=tmp_path) for name in names]
    segmenter = Copies()
    found = evaluate_few_shot(segmenter, folds, limit=12)
    assert found.mean.episodes == sum(len(fold.episodes()[:12]) for fold in folds)
    for fold in folds:
        metrics = FewShotMetrics(fold.class_ids)
        for episode in fold.episodes()[:12]:
            sizes = [
                imaging.read(fold.samples[name].path).rgb.shape[:2]
                for name in (episode.query, episode.supports[0])
            ]
            truth, ignored = fold.mask(episode.query, episode.class_id, sizes[0])
            shown, _ = fold.mask(episode.supports[0], episode.class_id, sizes[1])
            given = np.zeros(sizes[0], bool)
            rows, columns = (min(a, b) for a, b in zip(*sizes, strict=True))
            given[:rows, :columns] = shown[:rows, :columns]
            metrics.add(given, truth, episode.class_id, ~ignored)
        assert found.folds[fold.split] == metrics.compute()
    assert found.mean.mean_iou == pytest.approx(
        np.mean([one.mean_iou for one in found.folds.values()])
    )
    assert all(like.words is None for like in segmenter.asked)
    worded = evaluate_few_shot(segmenter, folds[:1], limit=2, shots=2, with_words=True)
    assert segmenter.asked[-1].words == segmenter.asked[-1].title
    assert len(segmenter.asked[-1].examples) == 2
    assert "2 shots (hsnet's), examples and the class's word" in worded.summary()
    asked = {folds[0].classes[one.class_id] for one in folds[0].episodes(shots=2)[:2]}
    assert set(worded.without_episode) == set(worded.by_class) - asked
    assert "classes had no episode, and count 0" in worded.summary()
    with pytest.raises(InputError, match="no fold"):
        evaluate_few_shot(segmenter, [])


class Knows:
    """Answers with a set's own masks."""

    def __init__(self, data: Any) -> None:
        self.left = list(data)
        self.names = data.classes

    def __call__(self, image: Any, words: Any, *, background: Any = "default") -> Segmentation:
        sample = self.left.pop(0)
        kept = [i for i, one in enumerate(sample.instances) if not one.crowd]
        names = [self.names[sample.instances[i].class_id] for i in kept]
        nothing = np.full(image.shape[:2], -1)
        return answer(words, nothing, masks=sample.masks()[np.array(kept)], labels=names)


class OwnMaps(ByGreen):
    """Has a map for each prompt beside its answers, as CLIPSeg has."""

    def prompt_maps(self, image: Any, words: Any) -> ScoreMap:
        (_,) = words
        blue = image[..., 2][None] / 255
        return ScoreMap(blue.astype(np.float16), image.shape[:2])

    def __call__(self, image: Any, words: Any, *, background: Any = "default") -> Segmentation:
        title = words[0] if isinstance(words[0], str) else words[0].title
        return super().__call__(image, [title], background=background)


def test_a_methods_own_maps_are_swept(tmp_path: Path) -> None:
    published_trees.phrasecut(tmp_path)
    data: Any = open_dataset("phrasecut", "test", root=tmp_path)
    one, other = (evaluate_phrases(kind(), data.first(1)) for kind in (OwnMaps, ByGreen))
    assert one.phrasecut == other.phrasecut
    rgb = imaging.read(data[0].path).rgb
    truth = data[0].mask(rgb.shape[:2])
    metrics = FixedIntervalMetrics()
    blue = (squash(rgb)[..., 2] / 255).astype(np.float16).astype(np.float32)
    metrics.add(blue, squash_mask(truth), 0)
    assert asdict(one.clipseg) == asdict(metrics.compute()) != asdict(other.clipseg)


@pytest.mark.parametrize("name", ["pascal5i-pfenet", "pascal5i"])
def test_episodes_by_clipsegs_evaluator(name: str, tmp_path: Path) -> None:
    published_trees.pascal5i(tmp_path)
    fold: Any = open_dataset(name, "fold1", root=tmp_path)
    found = evaluate_few_shot(OwnMaps(), [fold], limit=4, clipseg=True)
    metrics = FixedIntervalMetrics()
    for episode in fold.episodes()[:4]:
        rgb = imaging.read(fold.samples[episode.query].path).rgb
        height, width = rgb.shape[:2]
        truth, ignored = fold.mask(episode.query, episode.class_id, (height, width))
        if name == "pascal5i":  # squashed, and what is open counts as not there
            small = np.asarray(Image.fromarray(rgb).resize((352, 352), Image.Resampling.BILINEAR))
            blue = (small[..., 2] / 255).astype(np.float16).astype(np.float32)
            rows, columns = (np.arange(352) * side // 352 for side in (height, width))
            metrics.add(blue, truth[rows][:, columns], episode.class_id)
            continue
        canvas = np.zeros((352, 352), np.float16)  # small photos are padded as they are
        canvas[:height, :width] = rgb[..., 2] / 255
        longer = max(height, width)
        full = F.interpolate(
            torch.from_numpy(canvas.astype(np.float32))[None, None], (longer, longer),
            mode="bilinear", align_corners=True,
        )[0, 0].numpy()  # fmt: skip
        metrics.add(full[:height, :width], truth, episode.class_id, ~ignored)
    assert asdict(found.clipseg) == asdict(metrics.compute())  # type: ignore[arg-type]
    assert found.document()["clipseg"]["ap"] == metrics.compute().ap
    assert "CLIPSeg's evaluator (352 x 352 pixels, " in found.summary()
    plain = evaluate_few_shot(OwnMaps(), [fold], limit=4)
    assert (plain.clipseg, plain.mean) == (None, found.mean)
    assert "clipseg" not in plain.document()


def test_an_example_without_its_class_is_named(tmp_path: Path) -> None:
    published_trees.pascal5i(tmp_path)
    fold: Any = open_dataset("pascal5i", "fold1", root=tmp_path)
    (first, *_) = fold.episodes()
    shown = fold.samples[first.supports[0]]
    blank = np.zeros(imaging.read(shown.path).rgb.shape[:2], np.uint8)
    published_trees.write(shown.truth.path, blank)
    with pytest.raises(InputError, match=f"{first.supports[0]} of pascal5i is to show"):
        evaluate_few_shot(OwnMaps(), [fold], limit=1)


def test_instances(tmp_path: Path) -> None:
    published_trees.coco(tmp_path)
    data: Any = open_dataset("coco", "val", root=tmp_path)
    found = evaluate_instances(Knows(data), data)
    assert found.score.ap == pytest.approx(1)
    assert found.score.ap50 == pytest.approx(1)
    assert found.score.proposal_recall[1] == pytest.approx(1)
    assert found.score.photos == len(data)
    assert found.score.instances == 2 * len(data)  # the third of each photo is a crowd
    assert json.dumps(found.document())
    assert "AP               100.0 %" in found.summary()
    published_trees.lvis(tmp_path)
    lvis: Any = open_dataset("lvis", "val", root=tmp_path)
    with pytest.raises(InputError, match="counts only the classes that were looked for"):
        evaluate_instances(Knows(lvis), lvis)


def test_the_command_knows_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published_trees.phrasecut(tmp_path)
    published_trees.pascal5i(tmp_path)
    published_trees.davis(tmp_path)
    monkeypatch.setattr(options, "load_segmenter", lambda *_: ByGreen())
    out = tmp_path / "out"
    line = ["evaluate", "dense", "--root", str(tmp_path)]
    assert main([*line, "--data", "phrasecut", "--out", str(out), "--limit", "3"]) == 0
    summary = (out / "summary.txt").read_text("utf-8")
    assert capsys.readouterr().out == f"{summary}\nwritten to {out}\n"
    assert json.loads((out / "results.json").read_text("utf-8"))["phrasecut"]["phrases"] == 3
    monkeypatch.chdir(tmp_path)  # a folder of its own, where one is needed and none is named
    assert main([*line, "--data", "phrasecut", "--limit", "1", "--save-vis"]) == 0
    assert capsys.readouterr().out.endswith("\nwritten to report-dense-phrasecut\n")
    assert len(list(Path("report-dense-phrasecut/visualizations").iterdir())) == 1
    monkeypatch.setattr(options, "load_segmenter", lambda *_: Copies())
    assert main([*line, "--data", "pascal5i", "--limit", "2", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert set(content["folds"]) == {"fold0", "fold1", "fold2", "fold3"}
    for more, message in (
        (["--data", "phrasecut", "--jobs", "2"], "2 jobs each load the method anew"),
        (["--data", "phrasecut", "--shuffle-seed", "2"], "is for data sets with class masks"),
        (["--data", "phrasecut", "--episodes", "hsnet"], "--episodes draws from class masks"),
        (["--data", "voc21-aug", "--split", "val", "--episodes", "hsne"], "did you mean 'hsnet'"),
        (["--data", "phrasecut", "--instances"], "phrasecut has none"),
        (["--data", "phrasecut", "--data", "pascal5i"], "one set at a time"),
        (["--data", "davis2017"], "lexiseg.metrics.VideoMetrics"),
    ):
        assert main([*line, *more]) == 2
        assert message in capsys.readouterr().err
