"""Videos over HTTP: the same objects as in Python, line by line, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import numpy as np
import pytest

import lexiseg
from lexiseg import imaging

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from lexiseg.server import ServerOptions, create_app
from lexiseg.server.options import Limits

av = pytest.importorskip("av")

PHOTO = Path("examples/photos/cows.jpg")
SIZE = (144, 208)


def pictures(count: int = 5) -> list[np.ndarray]:
    """A window that moves over a photo with cows."""
    photo = imaging.read(PHOTO).rgb
    height, width = SIZE
    return [
        np.ascontiguousarray(photo[200 : 200 + height, 60 + 6 * n : 60 + 6 * n + width])
        for n in range(count)
    ]


def file_of(frames: list[np.ndarray], path: Path) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for rgb in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


@pytest.fixture(scope="module")
def client():
    options = ServerOptions(limits=Limits(max_frames=8))
    with TestClient(create_app(options), base_url="http://127.0.0.1:8008") as one:
        yield one


@pytest.fixture
def python_client(client):
    """`lexiseg.Client` over the application itself."""
    with lexiseg.Client("http://127.0.0.1:8008") as one:
        one._http, kept = client, one._http
        yield one
        one._http = kept


def lines_of(answer) -> list[dict]:
    assert answer.headers["content-type"].startswith("application/x-ndjson"), answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_same_objects_as_in_python(python_client):
    frames = pictures()
    want = list(lexiseg.track(lexiseg.load(), frames, ["cow", "grass"]))
    got = list(python_client.track(frames, ["cow", "grass"]))
    assert len(want[0].ids) > 0
    for one, other in zip(got, want, strict=True):
        assert (one.index, one.key, one.ids.tolist()) == (
            other.index, other.key, other.ids.tolist(),
        )  # fmt: skip
        assert one.result.labels.tolist() == other.result.labels.tolist()
        assert one.result.masks.to_rle() == other.result.masks.to_rle()
        assert one.result.words == other.result.words
        np.testing.assert_array_equal(one.result.label_map, other.result.label_map)
        np.testing.assert_allclose(one.result.scores, other.result.scores, atol=1e-6)


def test_a_file_points_and_the_video_with_masks(client, python_client, tmp_path):
    video = file_of(pictures(), tmp_path / "clip.mp4")
    point = {0: [(120.0, 130.0)]}
    got = list(python_client.track(video, points=point, overlay=tmp_path / "masks.mp4"))
    assert [one.result.labels.tolist() for one in got] == [["point 1"]] * 5
    with av.open(str(tmp_path / "masks.mp4")) as container:
        painted = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(painted) == 5
    assert painted[0].shape == (*SIZE, 3)
    asked = {"words": "grass", "steps": [{"operation": "pixelate", "words": "grass"}]}
    answer = client.post(
        "/v1/track", files={"video": ("a", video)}, data={"request": json.dumps(asked)},
        headers={"accept": "video/mp4"},
    )  # fmt: skip
    assert answer.headers["content-type"] == "video/mp4"
    (tmp_path / "edited.mp4").write_bytes(answer.content)
    with av.open(str(tmp_path / "edited.mp4")) as container:
        edited = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert (np.abs(edited.astype(int) - pictures()[0]).max(2) > 40).any()


def test_frames_to_point_at(client, tmp_path):
    frames = pictures(3)
    video = file_of(frames, tmp_path / "clip.mp4")
    asked = json.dumps({"max_side": 104})
    lines = lines_of(
        client.post("/v1/frames", files={"video": ("a", video)}, data={"request": asked})
    )
    assert (lines[0]["head"]["height"], lines[0]["head"]["width"]) == SIZE
    assert [line["seconds"] for line in lines[1:-1]] == [0.0, 0.1, 0.2]
    small = imaging.read_bytes(base64.b64decode(lines[1]["jpeg"])).rgb
    assert small.shape == (72, 104, 3)
    assert np.abs(small.mean((0, 1)) - frames[0].mean((0, 1))).max() < 6


def black(width: int) -> tuple[str, tuple[str, bytes]]:
    """A frame, as a field of a form."""
    return "frames", ("a", imaging.encode("a.png", np.zeros((40, width, 3), np.uint8)))


@pytest.mark.parametrize(
    ("files", "asked", "status", "told"),
    [
        ([("video", ("a", b"no video at all"))], {"words": "cow"}, 400, "the video is not a video"),
        ([("video", ("a", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"))], {"words": "cow"}, 400,
         "not a video"),
        ([black(9)] * 9, {"words": "cow"}, 400, "Too many files"),
        ([black(9), black(8)], {"words": "cow"}, 400, "one size"),
        ([black(60)], {}, 422, "nothing to follow"),
        ([("photo", ("a", b"x"))], {"words": "cow"}, 422, "'video' or 'frames'"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_told_in_a_line(client, files, asked, status, told):
    answer = client.post("/v1/track", files=files, data={"request": json.dumps(asked)})
    message = answer.json()["error"]["message"]
    assert (answer.status_code, told in message) == (status, True), message
    assert "lexiseg-" not in message
    assert "\n" not in message


def test_a_video_that_is_too_long_and_one_that_shows_nothing(client, tmp_path):
    long = file_of(pictures(9), tmp_path / "long.mp4")
    files = {"video": ("a", long)}
    answer = client.post("/v1/track", files=files, data={"words": "cow"})
    assert answer.status_code == 422
    assert "--max-frames" in answer.json()["error"]["message"]
    files = {"video": ("a", file_of([np.zeros((*SIZE, 3), np.uint8)] * 2, tmp_path / "a.mp4"))}
    lines = lines_of(client.post("/v1/track", files=files, data={"words": "zebra"}))
    assert [len(line["objects"]) for line in lines[1:-1]] == [0, 0]
    assert lines[-1]["summary"]["objects"] == []
    answer = client.post(
        "/v1/track", files=files, data={"words": "zebra"}, headers={"accept": "video/mp4"}
    )
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "NothingFound")


def test_a_client_that_leaves_ends_the_work(client):
    """Of an answer nobody reads on, the thread ends with the next frame."""
    app = client.app._app
    engine = app.state.engine

    async def leave() -> None:
        from lexiseg.server.video_requests import TrackRequest
        from lexiseg.server.videos import Videos

        videos = Videos(engine, Limits(max_frames=500))
        data = [imaging.encode("a.png", rgb) for rgb in pictures(2)] * 100
        lines = videos.track(TrackRequest(words="grass"), {"frames": data})
        seen = [await anext(lines) for _ in range(3)]
        assert [line.get("frame") for line in seen] == [None, 0, 1]
        assert engine.waiting == 1
        await lines.aclose()
        await asyncio.to_thread(videos.close)  # waits for the thread
        while engine.waiting:
            await asyncio.sleep(0.01)

    asyncio.run(leave())
    text = client.get("/metrics").text
    assert 'lexiseg_model_seconds_count{work="track"}' in text
