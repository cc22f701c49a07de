"""A CLIP in published layout from a hub on this machine to masks, by the command alone."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import clip_weights

from lexiseg.checkpoints import CLIP_PIXELS, Record, WeightFile, register
from lexiseg.cli import main

from .conftest import Hub, serve

NAME, REPO = "clip-vit-s16.small", "someone/CLIP-small"
WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
COMMIT = "fedcba9876543210fedcba9876543210fedcba98"
MAIN, PINNED = (f"/{REPO}/resolve/{revision}/" for revision in ("main", COMMIT))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = clip_weights.write_openclip(tmp_path_factory.mktemp("published") / "clip")
    return {name: (folder / name).read_bytes() for name in (WEIGHTS, CONFIG)}


@pytest.fixture
def cache(hub: Hub, clean: Path, published: dict[str, bytes]) -> Path:
    """A hub that holds the checkpoint, as the real one would; return where it will lie."""
    upload(hub, published)
    register(small())
    return clean / NAME


def small(*, gated: bool = False) -> Record:
    return Record(
        name=NAME,
        family="clip",
        files=(WeightFile(WEIGHTS), WeightFile(CONFIG)),
        licence="MIT",
        licence_url="https://example.org/licence",
        preprocessing=CLIP_PIXELS,
        activation="quick-gelu",
        embed_dim=clip_weights.EMBED,
        stride=clip_weights.PATCH,
        repo=REPO,
        gated=gated,
    )


def upload(hub: Hub, published: dict[str, bytes], prefix: str = "") -> None:
    for name, body in published.items():
        for base in (MAIN, PINNED):
            hub.files[f"{prefix}{base}{name}"] = body
    large = published[WEIGHTS]
    hub.notes[f"{prefix}{MAIN}{WEIGHTS}"] = {
        "X-Repo-Commit": COMMIT,
        "X-Linked-Etag": f'"{hashlib.sha256(large).hexdigest()}"',
        "X-Linked-Size": str(len(large)),
    }


@pytest.fixture
def segment(tmp_path: Path) -> list[str]:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    return [
        "segment", str(tmp_path / "photo.png"), "sky", "road", "--encoder", NAME,
        "--background", "none", "--set", "readout=sclip", "--set", "short_side=64",
        "--set", "window=64", "--device", "cpu", "--out", str(tmp_path / "out"), "--quiet",
    ]  # fmt: skip


def test_missing_weights_name_the_command_and_connect_to_nothing(
    hub: Hub, cache: Path, segment: list[str], capsys: Any
) -> None:
    assert main(segment) == 4
    assert f"lexiseg models pull {NAME}" in capsys.readouterr().err
    assert main(["models", "path", NAME]) == 4
    assert f"lexiseg models pull {NAME}" in capsys.readouterr().err
    assert main(["models", "verify", NAME]) == 4
    assert hub.requests == []


def test_pulled_over_a_broken_line_it_segments_without_any(
    hub: Hub, cache: Path, published: dict[str, bytes], segment: list[str], capsys: Any,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    half = len(published[WEIGHTS]) // 2
    hub.cuts = [half]
    assert main(["models", "pull", NAME, "--trust"]) == 0
    assert capsys.readouterr().out.strip() == str(cache)
    assert (f"{MAIN}{WEIGHTS}", f"bytes={half}-", None) in hub.requests
    assert (cache / WEIGHTS).read_bytes() == published[WEIGHTS]
    assert not list(cache.glob("*.part"))

    hub.requests.clear()
    hub.files.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(segment) == 0
    assert main(["models", "verify", NAME]) == 0
    assert hub.requests == []
    result = json.loads((tmp_path / "out" / "photo" / "result.json").read_text("utf-8"))
    digests = result["provenance"]["checkpoint_sha256"]
    assert digests[WEIGHTS] == hashlib.sha256(published[WEIGHTS]).hexdigest()
    capsys.readouterr()
    assert main(["models", "list", "--kind", "encoder", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["here"], listed["readable"]) == (NAME, True, True)
    assert listed["revision"] == COMMIT
    assert main(["models", "remove", NAME]) == 0
    assert main(segment) == 4


def test_a_run_that_was_ended_goes_on_where_it_broke(
    hub: Hub, cache: Path, published: dict[str, bytes], capsys: Any
) -> None:
    part = len(published[WEIGHTS]) // 3
    hub.cuts = [part, 0, 0, 0]
    assert main(["models", "pull", NAME, "--trust"]) == 4
    assert "run the command again to go on from there" in capsys.readouterr().err
    assert (cache / f"{WEIGHTS}.part").stat().st_size == part
    hub.cuts, hub.requests = [], []
    assert main(["models", "pull", NAME, "--trust"]) == 0
    assert (f"{MAIN}{WEIGHTS}", f"bytes={part}-", None) in hub.requests


def test_what_is_not_pinned_asks_for_trust(
    hub: Hub, cache: Path, segment: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["models", "pull", NAME], [*segment, "--pull"]):
        assert main(command) == 4
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{NAME!r} is not pinned" in line
        assert line.endswith(f": lexiseg models pull {NAME} --trust")
    assert main(segment) == 4
    assert capsys.readouterr().err.rstrip().endswith(f"lexiseg models pull {NAME} --trust")
    assert hub.requests == []
    assert not cache.exists()
    assert main(["models", "list"]) == 0
    assert re.search(rf"{NAME} +no, unpinned +\?", capsys.readouterr().out)
    assert main(["models", "pull", NAME, "--trust"]) == 0
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    assert re.search(rf"{NAME} +yes, unpinned +[\d.]+ MB", capsys.readouterr().out)
    assert main(["models", "list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["pinned"] is False
    assert len(listed["files"][0]["sha256"]) == 64
    assert main(["models", "pull", NAME]) == 0  # from now on it is what it was


def test_pull_on_the_command_downloads_first(hub: Hub, cache: Path, segment: list[str]) -> None:
    assert main(["models", "pull", NAME, "--trust"]) == 0
    (cache / WEIGHTS).unlink()
    assert main(segment) == 4
    assert main([*segment, "--pull"]) == 0  # it is pinned by now
    assert (cache / "manifest.json").is_file()
    hub.requests.clear()
    assert main(segment) == 0
    assert hub.requests == []


def test_other_bytes_than_the_hub_announced_are_refused(
    hub: Hub, cache: Path, published: dict[str, bytes], segment: list[str], capsys: Any
) -> None:
    body = bytearray(published[WEIGHTS])
    body[-1] ^= 1
    hub.files[f"{MAIN}{WEIGHTS}"] = bytes(body)
    assert main(["models", "pull", NAME, "--trust"]) == 4
    assert "nothing was kept" in capsys.readouterr().err
    assert not (cache / WEIGHTS).exists()
    assert main(segment) == 4


def test_words_leave_no_trace_that_can_be_read_and_are_removed(
    hub: Hub, cache: Path, segment: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["models", "pull", NAME, "--trust"])
    assert main(segment) == 0
    files = [path for path in cache.parents[1].rglob("*") if path.is_file()]
    assert [path for path in files if path.parent.name == "words"]
    for path in files:
        if path.parent != cache:  # the weights
            assert not re.search(rb"\bsky\b|\broad\b", path.read_bytes()), path
    capsys.readouterr()
    assert main(["models", "remove", "--words"]) == 0
    assert capsys.readouterr().out == f"{cache.parents[1] / 'words'} is gone\n"
    assert main(["models", "remove", "--words"]) == 0
    assert capsys.readouterr().out == "no words are kept\n"
    assert (cache / WEIGHTS).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["remove"], "needs the name of a model"),
        (["list", "--trust"], "--trust is for `lexiseg models pull`, not for list"),
        (["pull", NAME, "--words"], "--words is for `lexiseg models remove`, not for pull"),
        (["path", NAME, "--json"], "--json is for `lexiseg models list`, not for path"),
    ],
)
def test_options_belong_to_their_action(
    hub: Hub, cache: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert hub.requests == []


def test_a_gated_answer_is_explained(
    hub: Hub, clean: Path, published: dict[str, bytes], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(small(gated=True))
    upload(hub, published)
    hub.token = "secret"
    assert main(["models", "pull", NAME, "--trust"]) == 4
    said = capsys.readouterr().err
    for part in (
        "is gated (HTTP status 401; no token was given)",
        f"accept its terms at {hub.url}/{REPO}",
        f"lexiseg models pull {NAME}",
    ):
        assert part in said
    monkeypatch.setenv("HF_TOKEN", "wrong")
    hub.statuses = [403]  # an account that has not accepted the terms
    assert main(["models", "pull", NAME, "--trust"]) == 4
    assert "(HTTP status 403; the token was refused)" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert main(["models", "pull", NAME, "--trust"]) == 0
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    assert "yes" in capsys.readouterr().out


def test_a_mirror_stands_in_for_the_hub(
    hub: Hub, cache: Path, published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Hub()
    server = serve(mirror)
    try:
        upload(mirror, published, prefix="/mirror/of/it")
        monkeypatch.setenv("HF_ENDPOINT", f"{mirror.url}/mirror/of/it/")
        assert main(["models", "pull", NAME, "--trust"]) == 0
    finally:
        server.shutdown()
        server.server_close()
    assert hub.requests == []
    assert [path for path, _, _ in mirror.requests] == [
        f"/mirror/of/it{MAIN}{WEIGHTS}", f"/mirror/of/it{PINNED}{CONFIG}"
    ]  # fmt: skip


def test_parts_of_a_pipeline_keep_their_folders(hub: Hub, clean: Path) -> None:
    from lexiseg.checkpoints import pull, remove, resolve

    from .conftest import REVISION, make_record, weight_file

    files = {"model_index.json": b"{}", "unet/config.json": b"1", "vae/config.json": b"22"}
    for name, body in files.items():
        hub.files[f"/someone/clip-toy/resolve/{REVISION}/{name}"] = body
    register(make_record("pipeline", *(weight_file(n, body) for n, body in files.items())))
    found = pull("pipeline")
    assert {name: found[name].read_bytes() for name in files} == files
    assert found["vae/config.json"] == clean / "pipeline" / "vae" / "config.json"
    assert resolve("pipeline", offline=True).paths == found.paths
    assert remove("pipeline") == clean / "pipeline"
    assert not (clean / "pipeline").exists()
