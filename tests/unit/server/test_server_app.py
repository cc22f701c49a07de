"""The server's routes, with the bundled model, without a network."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import lexiseg
from lexiseg import imaging
from lexiseg.export import segmentation_from_json

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from lexiseg.server import ServerOptions, create_app
from lexiseg.server.options import Limits

PHOTO = Path("examples/photos/cows.jpg")
WORDS = ["cow", "grass", "sky"]


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app(ServerOptions()), base_url="http://127.0.0.1:8008") as one:
        yield one


@pytest.fixture(scope="module")
def photo() -> bytes:
    return PHOTO.read_bytes()


def send(client, photo, **asked):
    files = {"image": ("photo.jpg", photo)}
    return client.post("/v1/segment", files=files, data={"request": json.dumps(asked)})


def test_the_same_masks_as_in_python(client, photo):
    answer = send(client, photo, words=WORDS)
    assert answer.status_code == 200
    got = segmentation_from_json(answer.json())
    want = lexiseg.load("tiny")(PHOTO, WORDS)
    assert got.words == want.words
    assert len(got) == len(want) > 1
    np.testing.assert_array_equal(got.label_map, want.label_map)
    for one, other in zip(got.masks.to_rle(), want.masks.to_rle(), strict=True):
        assert one == other
    np.testing.assert_allclose(got.scores, want.scores, atol=6e-7)
    assert got.labels.tolist() == want.labels.tolist()


def test_forms_and_digests_ask_the_same(client, photo):
    first = client.post(
        "/v1/segment", files={"image": ("a", photo)}, data={"words": "cow; grass; sky"}
    ).json()
    second = client.post(
        "/v1/segment", json={"digest": first["image"]["digest"], "words": WORDS}
    ).json()
    third = client.post(
        "/v1/segment", json={"image": base64.b64encode(photo).decode(), "words": WORDS}
    ).json()
    assert first["label_map"] == second["label_map"] == third["label_map"]


def test_mask_forms_hold_the_same_pixels(client, photo):
    rle = segmentation_from_json(send(client, photo, words=WORDS).json())
    index = send(client, photo, words=WORDS, masks="index").json()
    values = imaging.read_bytes(base64.b64decode(index["index_map"])).rgb[:, :, 0]
    np.testing.assert_array_equal(values.astype(int) - 1, rle.label_map)
    png = send(client, photo, words=WORDS, masks="png").json()
    x, y, w, h = png["instances"][0]["box_xywh"]
    crop = imaging.read_bytes(base64.b64decode(png["instances"][0]["png"])).rgb[:, :, 0] > 0
    np.testing.assert_array_equal(crop, rle.masks[0].union()[y : y + h, x : x + w])
    polygons = send(client, photo, words=WORDS, masks="polygons").json()
    corners = np.array(polygons["instances"][0]["polygons"][0]).reshape(-1, 2)
    assert corners.min(0).tolist() == [x, y]
    assert corners.max(0).tolist() == [x + w - 1, y + h - 1]


def test_one_mask_is_corrected_by_points(client, photo):
    size = imaging.read_bytes(photo).size_hw
    cow = segmentation_from_json(send(client, photo, words=WORDS).json())["cow"]
    x0, y0, x1, y1 = cow.boxes_xyxy[0].tolist()
    on = [(x0 + x1) // 2, (y0 + y1) // 2]
    answer = client.post(
        "/v1/refine",
        files={"image": ("a", photo)},
        data={"request": json.dumps({"points": [on], "box": [x0, y0, x1, y1]})},
    )
    drawn = segmentation_from_json(answer.json()).masks
    assert drawn.size_hw == size
    assert len(drawn) == 1
    assert drawn.union()[on[1], on[0]]
    # A point beside the thing takes away what holds it, and nothing far from it.
    rows, columns = np.nonzero(drawn.union())
    off = [int(columns[0]), int(rows[0])]
    again = client.post(
        "/v1/refine",
        json={
            "digest": answer.json()["image"]["digest"],
            "points": [on],
            "not_points": [off],
            "mask": drawn.to_rle()[0],
        },
    )
    less = segmentation_from_json(again.json()).masks.union()
    assert less[on[1], on[0]]
    assert not less[off[1], off[0]]


def test_more_like_a_box_in_another_photo(client, photo):
    """A box on the grass finds the grass of another photo, and little of what is not grass."""
    other = Path("examples/photos/pets.jpg")
    example = {"image": base64.b64encode(photo).decode(), "box": [250, 280, 480, 345]}
    asked = {"examples": [{**example, "word": "like 1"}]}
    files = {"image": ("a", other.read_bytes())}
    answer = client.post("/v1/examples", files=files, data={"request": json.dumps(asked)})
    found = segmentation_from_json(answer.json()).mask("like 1")
    grass = lexiseg.load("tiny")(other, ["grass", "dog"]).mask("grass")
    assert (found & grass).sum() > 0.7 * (found | grass).sum()


def test_edits_by_words_and_by_masks(client, photo):
    files = {"image": ("a", photo)}
    asked = {"steps": [{"operation": "blur", "words": "cow"}], "words": "grass; sky"}
    by_words = client.post("/v1/edit", files=files, data={"request": json.dumps(asked)}).json()
    out = imaging.read_bytes(base64.b64decode(by_words["files"][0]["data"])).rgb
    before = imaging.read_bytes(photo).rgb
    changed = (out != before).any(2).mean()
    assert 0 < changed < 0.5
    rle = {"size": list(before.shape[:2]), "counts": [0, before.shape[0] * before.shape[1]]}
    asked = {"steps": [{"operation": "pixelate", "masks": [rle]}], "format": "jpg"}
    whole = client.post(
        "/v1/edit",
        files=files,
        data={"request": json.dumps(asked)},
        headers={"accept": "image/jpeg"},
    )
    assert whole.headers["content-type"] == "image/jpeg"
    assert imaging.read_bytes(whole.content).rgb.shape == before.shape


def test_exports_are_archives(client):
    rle = {"size": [4, 5], "counts": [3, 2, 15]}
    asked = {
        "format": "coco",
        "photos": [
            {"name": "../a.jpg", "height": 4, "width": 5, "masks": [{"word": "cow", "rle": rle}]}
        ],
    }
    answer = client.post("/v1/export", json=asked)
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    names = archive.namelist()
    assert names
    assert not any(name.startswith(("/", "..")) for name in names)
    content = json.loads(archive.read(next(name for name in names if name.endswith(".json"))))
    assert content["annotations"][0]["area"] == 2


@pytest.mark.parametrize(
    ("what", "status", "kind"),
    [
        ({"json": {"words": "cow"}}, 400, "PictureError"),
        ({"json": {"digest": "0" * 64}}, 404, "UnknownDigest"),
        ({"json": {"digest": "x"}}, 422, "BadRequest"),
        ({"json": {"image": "!!!"}}, 400, "PictureError"),
        ({"json": {"image": base64.b64encode(b"no picture").decode()}}, 400, "PictureError"),
        ({"json": {"image": "", "colour": 1}}, 422, "BadRequest"),
        ({"json": [1]}, 422, "BadRequest"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "BadRequest"),
        ({"content": b"x"}, 415, "BadRequest"),
        ({"json": {}, "headers": {"host": "evil.example"}}, 421, "HostRefused"),
        ({"json": {}, "headers": {"origin": "http://evil.example"}}, 403, "OriginRefused"),
    ],
)
def test_what_cannot_be_answered_is_told_in_a_line(client, what, status, kind):
    answer = client.post("/v1/segment", **what)
    told = answer.json()["error"]
    assert (answer.status_code, told["type"]) == (status, kind)
    assert "\n" not in told["message"]
    assert str(Path.cwd()) not in told["message"]


def test_a_server_opens_no_file_or_address(client, photo):
    for options in (
        {"with_": "/etc/passwd"},
        {"with_": "secret.png"},
        {"with_": "secret"},
        {"model": "x"},
    ):
        asked = {"steps": [{"operation": "replace", "words": "cow", "options": options}]}
        answer = client.post(
            "/v1/edit", files={"image": ("a", photo)}, data={"request": json.dumps(asked)}
        )
        assert answer.status_code == 422, options


class Painter:
    """An inpainter that paints all of the mask in one colour."""

    name, multiple, side, generative = "painter", 8, 64, True
    device_name, dtype_name = "cpu", "fp32"
    sha256: ClassVar = {"painter.safetensors": "0" * 64}

    def fill(self, rgb, mask, words, *, seeds, progress, **_):
        progress(1, 1)
        self.words = words
        return np.where(mask[..., None], np.uint8(255), rgb)[None].repeat(len(seeds), 0)


def test_words_become_pixels_where_a_model_is_there(client, photo, monkeypatch):
    rle = {"size": list(imaging.read_bytes(photo).size_hw), "counts": [100_000, 3000]}
    rle["counts"].append(rle["size"][0] * rle["size"][1] - sum(rle["counts"]))
    generator = client.app._app.state.engine.generator

    def ask(operation: str, **options):
        step = {"operation": operation, "masks": [rle], "options": options}
        files = {"image": ("a", photo)}
        return client.post("/v1/edit", files=files, data={"request": json.dumps({"steps": [step]})})

    for operation in ("replace", "style"):
        refused = ask(operation, with_="a field of tulips")
        assert refused.status_code == 422
        assert "lexiseg models pull sd-2-inpainting" in refused.json()["error"]["message"]
    assert "pull" in client.get("/v1/models").json()["generator"]["missing"]
    painter = Painter()
    monkeypatch.setattr(generator, "network", painter)
    for operation in ("replace", "style"):
        made = ask(operation, with_="examples/photos/cows.jpg")  # words, and no file
        assert made.status_code == 200, made.text
        assert painter.words == "examples/photos/cows.jpg"
        out = imaging.read_bytes(base64.b64decode(made.json()["files"][0]["data"])).rgb
        assert (out == 255).all(2).sum() >= 3000
        assert made.json()["steps"][0]["notes"] == ["made by painter"]
    assert client.get("/v1/models").json()["generator"]["missing"] is None
    assert ask("replace", with_="blue").json()["steps"][0]["notes"] == []


def test_limits_are_kept(photo):
    options = ServerOptions(limits=Limits(max_bytes=20_000, max_pixels=1000, max_words=2))
    with TestClient(create_app(options), base_url="http://localhost") as client:
        assert send(client, photo).status_code == 413
        tiny = imaging.encode("a.png", np.zeros((40, 50, 3), np.uint8))
        assert "--max-pixels" in send(client, tiny).json()["error"]["message"]
        small = imaging.encode("a.png", np.zeros((20, 30, 3), np.uint8))
        assert send(client, small, words=["a", "b", "c"]).status_code == 422
        assert send(client, small, words="a; b; c").status_code == 422


def test_a_token_is_demanded(photo):
    options = ServerOptions(host="0.0.0.0", token="0123456789abcdef")
    with TestClient(create_app(options), base_url="http://any.example") as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/models").status_code == 401
        right = {"authorization": "Bearer 0123456789abcdef"}
        assert client.get("/v1/models", headers=right).status_code == 200
        wrong = {"authorization": "Bearer 0123456789abcdeg"}
        assert client.get("/v1/models", headers=wrong).status_code == 401
    with pytest.raises(lexiseg.errors.OptionError, match="token"):
        ServerOptions(host="0.0.0.0")


def test_a_full_queue_says_when_to_come_again(client):
    engine = client.app._app.state.engine
    engine.waiting += 1000
    try:
        answer = client.get("/v1/models")
    finally:
        engine.waiting -= 1000
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


def test_what_is_encoded_is_kept_and_bounded(client, photo):
    engine = client.app._app.state.engine
    client.post("/v1/release")
    assert len(engine.views) == 0
    assert not engine.ready
    send(client, photo, words="cow")
    hits = engine.views.hits
    send(client, photo, words="grass")
    assert engine.views.hits == hits + 1
    assert 0 < engine.views.bytes <= engine.views._max_bytes
    assert "lexiseg_cache_pictures 1.0" in client.get("/metrics").text


def test_answers_carry_a_strict_policy(client):
    headers = client.get("/healthz").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    page = client.get("/docs").text
    assert "/v1/segment" in page
    assert "<script" not in page
    assert "//cdn" not in page
