"""Runs that are ended and go on: the same results, times aside."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.metric_inputs import IGNORE, label_maps

from lexiseg.errors import InputError, OptionError
from lexiseg.evaluation import evaluate
from lexiseg.masks import Masks
from lexiseg.results import Provenance, Segmentation

PHOTOS = 12
CLASSES = ["sky", "road", "tree", "car", "bus", "dog", "cat"]
TIMES = ("seconds", "seconds_per_picture", "stages", "peak_device_memory_bytes")


class ByColour:
    """Answers what a photo's red channel says; ``after`` is called with each photo's number."""

    def __init__(self, after: Any = None, setting: int = 1) -> None:
        self.after, self.setting, self.done = after, setting, 0

    def __call__(self, image: Any, words: Any, *, background: Any) -> Segmentation:
        self.done += 1
        if self.after is not None:
            self.after(self.done)
        return Segmentation(
            words=tuple(words),
            labels=np.zeros(0, str),
            scores=np.zeros(0, np.float32),
            masks=Masks.empty(image.shape[:2]),
            label_map=image[..., 0].astype(np.int16),
            word_scores=np.zeros(len(words), np.float32),
            provenance=Provenance(
                method="by colour", encoder="none", config={"setting": self.setting, "sides": (1,)},
                seconds={"score": 0.25},
            ),
        )  # fmt: skip


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    root = tmp_path / "streets"
    maps = list(label_maps())[:3]
    for number in range(PHOTOS):
        pred, truth = (np.roll(side, number, 1) for side in maps[number % 3])
        for folder, pixels in (("images", np.repeat(pred[..., None], 3, 2)), ("masks", truth)):
            path = root / "val" / folder / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    card = {"classes": CLASSES, "ignore_index": IGNORE}
    (root / "dataset.json").write_text(json.dumps(card))
    return root


def results(folder: Path) -> Any:
    """What results.json holds, without times."""
    content = json.loads((folder / "results.json").read_text("utf-8"))
    for key in TIMES:
        content.pop(key, None)
    for one in content["pictures"]:
        del one["seconds"]
    return content


def page(folder: Path) -> str:
    """The report as far as pictures go."""
    text = (folder / "report.html").read_text("utf-8")
    return text[text.index("<h2>IoU by class") : text.index("<h2>How it was made")]


def test_a_run_cut_at_any_byte_goes_on(streets: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    evaluate(ByColour(), streets, out=whole)
    lines = (whole / "pictures.jsonl").read_bytes()
    assert len(lines.splitlines()) == 1 + PHOTOS
    draw = random.Random(5)
    for place in [0, 1, len(lines), *(draw.randrange(len(lines)) for _ in range(5))]:
        cut = tmp_path / f"cut-{place}"
        cut.mkdir()
        (cut / "pictures.jsonl").write_bytes(lines[:place])
        for path in (whole / "thumbnails").glob("*.jpg"):
            (cut / "thumbnails").mkdir(exist_ok=True)
            (cut / "thumbnails" / path.name).write_bytes(path.read_bytes())
        segmenter = ByColour()
        evaluate(segmenter, streets, out=cut, resume=True)
        assert segmenter.done == PHOTOS - max(0, lines[:place].count(b"\n") - 1)
        assert results(cut) == results(whole)
        assert page(cut) == page(whole)
        stored = (cut / "pictures.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(one)["id"] for one in stored[1:]] == [f"{i:02}" for i in range(PHOTOS)]


RUN = """
import sys, time
sys.path[:0] = {paths!r}
from tests.unit.test_evaluate_resume import ByColour
from lexiseg.evaluation import evaluate
evaluate(ByColour(lambda n: time.sleep(0.05)), sys.argv[1], out=sys.argv[2], resume=True)
"""


def test_a_run_killed_at_five_moments_goes_on(streets: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    evaluate(ByColour(), streets, out=whole)
    journal = out / "pictures.jsonl"
    code = RUN.format(paths=[str(Path(__file__).parents[2]), *sys.path])
    command = [sys.executable, "-c", code, str(streets), str(out)]
    draw = random.Random(2)
    size = 0
    for _ in range(5):
        target = size + draw.randrange(1, 700)
        run = subprocess.Popen(command, stderr=subprocess.PIPE)
        while run.poll() is None and (not journal.is_file() or journal.stat().st_size < target):
            pass
        if hasattr(signal, "SIGKILL"):
            os.kill(run.pid, signal.SIGKILL)
        else:
            run.kill()
        run.communicate()
        assert not (out / "results.json").exists()
        size = journal.stat().st_size
    assert size < (whole / "pictures.jsonl").stat().st_size
    evaluate(ByColour(), streets, out=out, resume=True)
    assert results(out) == results(whole)
    assert page(out) == page(whole)


def stop_at(number: int) -> Any:
    def after(done: int) -> None:
        if done == number:
            raise KeyboardInterrupt

    return after


def test_an_ended_run_is_not_written_over(streets: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with pytest.raises(KeyboardInterrupt):
        evaluate(ByColour(stop_at(1)), streets, out=out)
    assert not out.parent.exists()  # nothing was done, and nothing is left
    with pytest.raises(KeyboardInterrupt):
        evaluate(ByColour(stop_at(4)), streets, out=out)
    assert not (out / "results.json").exists()
    with pytest.raises(OptionError, match=r"ended after 3 pictures; go on with it \(--resume\)"):
        evaluate(ByColour(), streets, out=out)
    with pytest.raises(OptionError, match=r"made with another asked; resume"):
        evaluate(ByColour(), streets, out=out, resume=True, shuffle_words=1)
    with pytest.raises(OptionError, match=r"made with another config\.setting"):
        evaluate(ByColour(setting=2), streets, out=out, resume=True)
    (out / "pictures.jsonl").write_text("what is this\n")
    with pytest.raises(OptionError, match="no file of an evaluation"):
        evaluate(ByColour(), streets, out=out, resume=True)
    (out / "pictures.jsonl").unlink()
    progress: list[tuple[int, int]] = []
    evaluate(ByColour(), streets, out=out, limit=5)
    found = evaluate(
        ByColour(), streets, out=out, resume=True, limit=7,
        progress=lambda *done: progress.append(done),
    )  # fmt: skip
    assert progress == [(5, 7), (6, 7), (7, 7)]
    assert len(found.ids) == found.score.photos == 7
    evaluate(ByColour(), streets, out=out)  # what came to its end may be made anew
    assert len(results(out)["pictures"]) == PHOTOS


def test_photos_in_a_random_order(streets: Path) -> None:
    ids = [evaluate(ByColour(), streets, shuffle_seed=seed, limit=5).ids for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert list(ids[0]) != sorted(ids[0])
    plain, shuffled = (evaluate(ByColour(), streets, shuffle_seed=seed) for seed in (None, 3))
    assert sorted(shuffled.ids) == sorted(plain.ids)
    np.testing.assert_array_equal(shuffled.matrix.total, plain.matrix.total)


def test_drawings_and_predictions(streets: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(ByColour(), streets, out=out, limit=2, save_vis=True, predictions=True)
    names = ["00.png", "01.png"]
    assert sorted(path.name for path in (out / "visualizations").iterdir()) == names
    assert sorted(path.name for path in (out / "predictions").iterdir()) == names
    given = np.array(Image.open(streets / "val/images/01.png"))[..., 0]
    np.testing.assert_array_equal(np.array(Image.open(out / "predictions/01.png")), given)
    sheet = np.array(Image.open(out / "visualizations/01.png"))
    assert sheet.shape[1] > 2 * 300
    assert (sheet == (214, 40, 57)).all(-1).sum() == 0  # mixed with the photo
    assert len(list((out / "thumbnails").glob("*.jpg"))) == 2


def test_what_needs_a_folder_or_a_method_says_so(streets: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="save_vis needs a folder"):
        evaluate(ByColour(), streets, save_vis=True)
    with pytest.raises(OptionError, match="jobs is 0"):
        evaluate(ByColour(), streets, jobs=0)
    with pytest.raises(OptionError, match="ByColour is not one of"):
        evaluate(ByColour(), streets, jobs=2)
    (streets / "val/images/07.png").write_bytes(b"no photo")
    with pytest.raises((InputError, OSError)):
        evaluate(ByColour(), streets, out=tmp_path / "out")
    assert len((tmp_path / "out/pictures.jsonl").read_text().splitlines()) == 1 + 7


def test_progress_says_how_fast_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    from lexiseg.cli import evaluate as command

    now, lines = [0.0], []
    monkeypatch.setattr(command.time, "monotonic", lambda: now[0])

    class Shown:
        def step(self, done: int, total: int, text: str) -> None:
            lines.append(f"[{done}/{total}] {text}")

    pace = command._Pace(Shown(), "voc")  # type: ignore[arg-type]
    for done, at in ((1, 60.0), (2, 60.5), (12, 65.5), (13, 120.0)):
        now[0] = at
        pace(done, 20)
    assert lines[0] == "[1/20] voc"
    assert lines[1] == "[2/20] voc  2.0 photos/s, 9 s left"
    assert lines[2] == "[12/20] voc  2.0 photos/s, 4 s left"
    assert lines[3] == "[13/20] voc  5.0 s a photo, 35 s left"
    pace = command._Pace(Shown(), "voc")  # type: ignore[arg-type]
    for done, at in ((500, 0.0), (501, 10.0)):  # a run that goes on
        now[0] = at
        pace(done, 5000)
    assert lines[-1] == "[501/5000] voc  10.0 s a photo, 12.5 h left"
