"""A run over a video that is ended and gone on with: the same bytes as one that was not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.colour_tracker import ColourSegmenter, ColourTracker, frame

from lexiseg.edit.steps import read_steps
from lexiseg.errors import OptionError, OutputError
from lexiseg.video import edits, run, run_video
from lexiseg.video.state_file import load_state, save_state

av = pytest.importorskip("av")

FRAMES = 11


class Ended(Exception):
    """Stands for a kill."""


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 60, 40, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for k in range(FRAMES):
            boxes = {"red": (2 + 2 * k, 5, 14 + 2 * k, 17)}
            if k not in (4, 5, 6, 7):  # it goes, and comes back
                boxes["green"] = (40, 22, 52, 34)
            one = av.VideoFrame.from_ndarray(frame(**boxes), format="rgb24")
            one.pts, one.time_base = 40 * k + (k % 3), Fraction(1, 1000)
            container.mux(stream.encode(one))
        container.mux(stream.encode())
    return path


def track(path: Path, out: Path, *, words=("red", "green"), end_at: int = 0, calls=None, **more):
    count = 0

    def progress(done: int, total: int) -> None:
        nonlocal count
        count += 1
        if count == end_at:
            raise Ended

    summary = run_video(
        path, words, out, segmenter=ColourSegmenter(), tracker=ColourTracker(), progress=progress,
        steps=read_steps("remove red + recolour green --with blue", {}), **more,
    )  # fmt: skip
    return summary, count


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_an_ended_run_goes_on_to_the_same_bytes(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_PART", 4)
    monkeypatch.setattr(edits, "_PART", 4)
    monkeypatch.setattr(edits.TemporalFill, "reach", 3)
    summary, steps = track(clip, tmp_path / "whole")
    assert steps == FRAMES + 3  # each frame is followed, then each part is edited
    whole = tree(tmp_path / "whole")
    assert {name.split("/")[0] for name in whole} == {
        "overlay.mp4", "edited.mp4", "masks", "frames.jsonl", "tracks.json", "mot.txt",
        "result.json",
    }  # fmt: skip
    with av.open(str(tmp_path / "whole" / "overlay.mp4")) as container:
        times = [float(one.pts * one.time_base) for one in container.decode(video=0)]
    np.testing.assert_allclose(times, [(40 * k + k % 3) / 1000 for k in range(FRAMES)], atol=1e-4)
    for end_at in (2, 6, FRAMES, FRAMES + 2):
        out = tmp_path / f"ended-{end_at}"
        with pytest.raises(Ended):
            track(clip, out, end_at=end_at)
        assert not (out / "result.json").exists()
        kept = min(end_at, FRAMES) // 4 * 4
        summary, left = track(clip, out)
        assert summary.resumed_at == (FRAMES if end_at > FRAMES else kept)
        assert left < steps or not kept
        assert tree(out) == whole, end_at


def test_an_end_while_results_are_moved(clip, tmp_path, monkeypatch):
    track(clip, tmp_path / "whole")
    out, real = tmp_path / "out", run.Unfinished.finish

    def half(self, names):
        real(self, names[:2])

    def dies(folder):
        raise Ended

    with monkeypatch.context() as patched:
        patched.setattr(run.Unfinished, "finish", half)
        patched.setattr("lexiseg.video.progress.shutil.rmtree", dies)
        with pytest.raises(Ended):
            track(clip, out)
    track(clip, out)
    assert tree(out) == tree(tmp_path / "whole")


def test_other_settings_are_told_and_a_second_run_stays_out(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_PART", 4)
    out = tmp_path / "out"
    with pytest.raises(Ended):
        track(clip, out, end_at=9)
    with pytest.raises(OptionError, match="another words"):
        track(clip, out, words=("red",))
    with run.Unfinished(tmp_path, {}, anew=False), pytest.raises(OutputError, match="another run"):
        track(clip, tmp_path, anew=True)
    track(clip, out, words=("red",), anew=True)
    assert '"green"' not in (out / "result.json").read_text()


def test_a_point_behind_the_end_is_told(clip, tmp_path):
    summary, _ = track(clip, tmp_path / "out", points={40: [(3, 3)]})
    assert summary.notes == (f"there is no frame 40 for a point; the last is {FRAMES - 1}",)


def test_a_tree_of_values_comes_back(tmp_path):
    made = {
        "a": [1, 2.5, None, True, "ü"], 3: (np.arange(6).reshape(2, 3), "b"),
        "t": torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16), "e": {}, "f": torch.zeros(0, 3),
    }  # fmt: skip
    save_state(tmp_path / "state.npz", made)
    found = load_state(tmp_path / "state.npz")
    assert list(found) == list(made)
    assert found["a"] == made["a"]
    np.testing.assert_array_equal(found[3][0], made[3][0])
    assert found[3][1] == "b"
    assert found["t"].dtype == torch.bfloat16
    assert torch.equal(found["t"], made["t"])
    assert found["f"].shape == (0, 3)
    with pytest.raises(TypeError, match="cannot be kept"):
        save_state(tmp_path / "state.npz", {"a": object()})
