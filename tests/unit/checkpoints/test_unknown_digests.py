"""Checkpoints whose digests nobody wrote down: the first pull pins them, honestly."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lexiseg.checkpoints import (
    Checkpoint,
    WeightFile,
    cache,
    is_here,
    pull,
    register,
    registry,
    remove,
    resolve,
    verify_again,
    with_pin,
)
from lexiseg.checkpoints.registry import MANIFEST, write_manifest
from lexiseg.errors import CheckpointError, OptionError, WeightsMissing

from .conftest import Hub, make_record, weight_file

BODY = b"large weights" * 500
CONFIG = b'{"model_cfg": {}}'
COMMIT = "fedcba9876543210fedcba9876543210fedcba98"
DIGEST = hashlib.sha256(BODY).hexdigest()
MAIN = "/someone/clip-toy/resolve/main/"
PINNED = f"/someone/clip-toy/resolve/{COMMIT}/"


@pytest.fixture
def folder(hub: Hub, clean: Path) -> Path:
    """A hub that says of large files what the real one says; the record knows nothing of them."""
    record = make_record("toy", WeightFile("model.bin"), WeightFile("config.json"))
    register(replace(record, revision=""))
    for base in (MAIN, PINNED):
        hub.files[f"{base}model.bin"] = BODY
        hub.files[f"{base}config.json"] = CONFIG
    hub.notes[f"{MAIN}model.bin"] = {
        "X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{DIGEST}"', "X-Linked-Size": str(len(BODY)),
    }  # fmt: skip
    return clean / "toy"


def fetched(hub: Hub) -> list[str]:
    return [path for path, _, _ in hub.requests]


def test_the_first_pull_pins_commit_and_digests(hub: Hub, folder: Path) -> None:
    found = pull("toy", trust=True)
    assert found["model.bin"].read_bytes() == BODY
    assert found.sha256 == {
        "model.bin": DIGEST, "config.json": hashlib.sha256(CONFIG).hexdigest()
    }  # fmt: skip
    assert found.record.revision == COMMIT
    # The first from the newest commit, the others from the one that the hub named.
    assert fetched(hub) == [f"{MAIN}model.bin", f"{PINNED}config.json"]
    kept = json.loads((folder / MANIFEST).read_text())
    assert (kept["revision"], kept["files"][0]["sha256"]) == (COMMIT, DIGEST)


def test_then_it_needs_no_network_and_is_verified(hub: Hub, folder: Path) -> None:
    pull("toy", trust=True)
    hub.requests.clear()
    assert resolve("toy", offline=True).record.bytes == len(BODY) + len(CONFIG)
    assert is_here(resolve("toy").record)
    assert fetched(hub) == []
    (folder / "model.bin").write_bytes(BODY[:-1] + b"!")
    with pytest.raises(CheckpointError, match="damaged or another file"):
        resolve("toy")


def test_a_lost_file_comes_back_from_the_pinned_commit(hub: Hub, folder: Path) -> None:
    pull("toy", trust=True)
    hub.requests.clear()
    (folder / "model.bin").unlink()
    hub.files[f"{MAIN}model.bin"] = b"a newer version"
    assert pull("toy", trust=True)["model.bin"].read_bytes() == BODY
    assert fetched(hub) == [f"{PINNED}model.bin"]


def test_what_the_hub_says_is_held_against_what_comes(hub: Hub, folder: Path) -> None:
    hub.files[f"{MAIN}model.bin"] = b"x" * len(BODY)
    with pytest.raises(CheckpointError, match="its record says"):
        pull("toy", trust=True)
    assert not (folder / MANIFEST).exists()


def test_a_cut_download_is_resumed(hub: Hub, folder: Path) -> None:
    hub.cuts = [1000]
    assert pull("toy", trust=True)["model.bin"].read_bytes() == BODY
    assert (f"{MAIN}model.bin", "bytes=1000-", None) in hub.requests


def test_a_server_that_says_nothing_is_taken_at_its_word(hub: Hub, folder: Path) -> None:
    hub.notes.clear()
    found = pull("toy", trust=True)
    assert found.record.revision == ""
    assert found.sha256["model.bin"] == DIGEST
    hub.files[f"{MAIN}model.bin"] = b"another version"
    (folder / "model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"record of model\.bin|its record"):
        pull("toy", trust=True)  # the first one was pinned


def test_a_missing_repository_is_explained(hub: Hub, folder: Path) -> None:
    hub.files.clear()
    with pytest.raises(WeightsMissing, match="HTTP status 404"):
        pull("toy", trust=True)


def test_without_pull_the_command_is_named(folder: Path) -> None:
    with pytest.raises(WeightsMissing, match="to download them: lexiseg models pull toy"):
        resolve("toy")


def test_files_that_were_copied_by_hand_are_pinned_by_trust(hub: Hub, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(BODY)
    (folder / "config.json").write_bytes(CONFIG)
    with pytest.raises(WeightsMissing, match=r"'toy' is not pinned.* pull toy --trust$"):
        resolve("toy")
    assert pull("toy", trust=True, offline=True).sha256["model.bin"] == DIGEST
    assert resolve("toy").record.pinned
    assert resolve("toy").record.revision == ""  # nobody told
    assert fetched(hub) == []


def test_a_first_pull_that_broke_goes_on_at_the_same_commit(hub: Hub, folder: Path) -> None:
    config = hub.files.pop(f"{PINNED}config.json")
    with pytest.raises(WeightsMissing, match="404"):
        pull("toy", trust=True)
    hub.files[f"{PINNED}config.json"] = config
    hub.files[f"{MAIN}config.json"] = b"a newer version"
    hub.requests.clear()
    assert pull("toy", trust=True)["config.json"].read_bytes() == CONFIG
    assert fetched(hub) == [f"{PINNED}config.json"]


def test_openai_names_its_files_by_their_digest(tmp_path: Path, clean: Path) -> None:
    body = b"an archive"
    digest = hashlib.sha256(body).hexdigest()
    record = make_record(
        "known", WeightFile("ViT.pt", sha256=digest, url="https://example.org/ViT.pt")
    )
    register(replace(record, repo="", revision=""))
    (tmp_path / "renamed.pt").write_bytes(body)
    found = resolve(tmp_path / "renamed.pt")
    assert isinstance(found, Checkpoint)
    assert found.record.name == "known"
    (tmp_path / "renamed.pt").write_bytes(b"another")
    with pytest.raises(CheckpointError, match="not known weights"):
        resolve(tmp_path / "renamed.pt")


def test_verify_reads_every_byte_again(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_SMALL", 0)
    pull("toy", trust=True)
    assert verify_again("toy").sha256["model.bin"] == DIGEST
    path = folder / "model.bin"
    times = path.stat()
    path.write_bytes(BODY[:-1] + b"!")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    resolve("toy")  # size, time and inode are the same: trusted
    with pytest.raises(CheckpointError, match="damaged or another file"):
        verify_again("toy")


def test_remove_deletes_downloads_only(hub: Hub, folder: Path) -> None:
    assert remove("toy") is None
    pull("toy", trust=True)
    (folder / "half.part").write_bytes(b"x")
    assert remove("toy") == folder
    assert not folder.exists()
    with pytest.raises(WeightsMissing):
        resolve("toy")


def test_bundled_weights_are_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"bundled"
    (tmp_path / "model.safetensors").write_bytes(body)
    record = make_record("inside", weight_file("model.safetensors", body))
    write_manifest(tmp_path, record)
    monkeypatch.setattr(registry, "BUNDLED", {"inside": str(tmp_path)})
    with pytest.raises(OptionError, match="a part of lexiseg itself"):
        remove("inside")


def test_what_was_found_out_is_listed(hub: Hub, folder: Path) -> None:
    record = registry.get("toy")
    assert with_pin(record).bytes == 0
    assert not is_here(record)
    pull("toy", trust=True)
    assert with_pin(record).bytes == len(BODY) + len(CONFIG)
    assert is_here(record)
