"""`lexiseg video`, from file to files, on small clips that are made here."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lexiseg import imaging
from lexiseg.cli import main
from lexiseg.video.reader import VideoReader

av = pytest.importorskip("av")

PHOTO = Path("examples/photos/cows.jpg")
TIMES = [0, 40, 90, 95, 200, 260]  # milliseconds: no steady rate


def clip(path: Path, *, audio: bool = False, size: tuple[int, int] = (176, 264)) -> Path:
    """A window that moves over a photo with cows."""
    photo = imaging.read(PHOTO).rgb
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac", rate=16000) if audio else None
        for number, pts in enumerate(TIMES):
            part = photo[150 : 150 + height, 60 + 8 * number : 60 + 8 * number + width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(part), format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for number in range(6 if sound else 0):
            tone = (0.2 * np.sin(np.arange(1024) / 9)).astype(np.float32)[None]
            one = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            one.sample_rate, one.pts = 16000, 1024 * number
            container.mux(sound.encode(one))
        if sound:
            container.mux(sound.encode())
    return path


def test_things_are_followed_and_times_and_sound_stay(tmp_path, capsys):
    video, out = clip(tmp_path / "clip.mp4", audio=True), tmp_path / "out"
    assert (
        main(["video", str(video), "cow; grass", "--out", str(out), "--json", "--every", "3"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["frames"] == len(TIMES)
    assert "grass" in {one["word"] for one in told["objects"]}
    with av.open(str(out / "overlay.mp4")) as container:
        seconds = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
        np.testing.assert_allclose(seconds, np.array(TIMES) / 1000, atol=1e-3)
    with av.open(str(out / "overlay.mp4")) as container, av.open(str(video)) as source:
        kept = [packet.size for packet in container.demux(audio=0) if packet.size]
        assert kept == [packet.size for packet in source.demux(audio=0) if packet.size]
    lines = [json.loads(line) for line in (out / "frames.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == [True, False, False, True, False, False]
    tracks = json.loads((out / "tracks.json").read_text())
    for one in tracks["annotations"]:
        assert len(one["segmentations"]) == len(TIMES)
    values = imaging.read_indices(out / "masks" / "000000.png")
    areas = {row["id"]: row["area"] for row in lines[0]["objects"]}
    assert set(np.unique(values)) - {0} <= set(areas)
    assert values.shape == (176, 264)
    row = (out / "mot.txt").read_text().splitlines()[0].split(",")
    assert row[0] == "1"
    assert len(row) == 10


@pytest.mark.slow
def test_edits_and_points(tmp_path):
    video, out = clip(tmp_path / "clip.mp4"), tmp_path / "out"
    arguments = ["--operation", "pixelate grass --block 24", "--out", str(out), "-q"]
    assert main(["video", str(video), *arguments]) == 0
    with av.open(str(out / "edited.mp4")) as container:
        edited = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    with av.open(str(video)) as container:
        before = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(edited - before).mean() > 2
    point = ["video", str(video), "--point", "130,150@1", "--out", str(tmp_path / "p"), "-q"]
    assert main(point) == 0
    lines = [json.loads(one) for one in (tmp_path / "p" / "frames.jsonl").read_text().splitlines()]
    assert not lines[0]["objects"]
    assert lines[1]["objects"][0]["word"] == "point 1"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.mp4", None, "does not exist"),
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"no video at all" * 50, "not a video"),
        ("cut.mp4", "cut", "not a video"),
        ("sound.m4a", "sound", "no video stream"),
    ],
)
def test_what_is_no_video_is_told_in_a_line(tmp_path, capsys, name, content, message):
    path = tmp_path / name
    if content == "cut":
        whole = clip(tmp_path / "whole.mp4").read_bytes()
        path.write_bytes(whole[: len(whole) // 4])
    elif content == "sound":
        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("aac", rate=16000)
            tone = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    elif content is not None:
        path.write_bytes(content)
    out = tmp_path / "out"
    assert main(["video", str(path), "cow", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert not out.exists()


def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path):
    whole = clip(tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 9 // 10])
    for name, least in (("whole.mkv", len(TIMES)), ("cut.mkv", 1)):
        with VideoReader(tmp_path / name) as reader:
            count = sum(1 for _ in reader.frames())
            told = [note for note in reader.notes if "it ends after" in note]
        assert (count < len(TIMES), bool(told)) == (name == "cut.mkv", name == "cut.mkv")
        assert count >= least


def test_odd_requests_are_told(tmp_path, capsys):
    video = str(clip(tmp_path / "clip.mp4"))
    assert main(["video"]) == 2
    assert main(["video", video]) == 2
    assert main(["video", video, "--point", "a,b"]) == 2
    assert main(["video", video, "cow", "--every", "-1"]) == 2
    assert main(["video", video, "--operation", "cutout cow"]) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert main(["video", video, "cow", "--out", str(tmp_path / "mine")]) == 2
    assert [one.name for one in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert all(line.startswith("lexiseg: ") for line in capsys.readouterr().err.splitlines())
    assert main(["video", video, "zebra", "--out", str(tmp_path / "z"), "-q"]) == 3
