from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NoReturn

import pytest

from lexiseg.checkpoints import (
    Preprocessing,
    Record,
    cache,
    cache_folder,
    describe_files,
    get,
    is_here,
    names,
    pull,
    read_manifest,
    records,
    register,
    registry,
    resolve,
    write_manifest,
)
from lexiseg.errors import CheckpointError, OptionError, OutputError, UnknownName, WeightsMissing

from .conftest import Hub, address, make_record, weight_file

CONTENT = {"vision.safetensors": b"pictures" * 40, "config.json": b'{"embed_dim": 8}'}


def make_folder(folder: Path, name: str = "tiny") -> Path:
    """Lay out weights that describe themselves."""
    folder.mkdir(parents=True)
    for file, content in CONTENT.items():
        (folder / file).write_bytes(content)
    record = Record(
        name=name,
        family="tiny",
        files=describe_files(folder, CONTENT),
        licence="Apache-2.0",
        licence_url="https://example.org",
        preprocessing=Preprocessing(None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        activation="relu6",
        embed_dim=8,
        stride=4,
    )
    write_manifest(folder, record)
    return folder


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a bundled checkpoint "tiny"; return the folder of its weights."""
    monkeypatch.setattr(registry, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(registry, "BUNDLED", {"tiny": "weights"})
    return make_folder(tmp_path / "package" / "weights")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("it tried to connect")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


# The manifest


def test_a_manifest_holds_the_record_and_real_digests(tmp_path: Path) -> None:
    record = read_manifest(make_folder(tmp_path / "w"))
    assert [file.name for file in record.files] == list(CONTENT)
    assert record.files == tuple(weight_file(name, CONTENT[name]) for name in CONTENT)
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == sorted(
        [*CONTENT, "manifest.json"]
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "tiny"}'])
def test_a_broken_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"manifest\.json is not"):
        read_manifest(tmp_path)


# Bundled


def test_the_bundled_checkpoint_is_found_without_network(bundled: Path, no_network: None) -> None:
    checkpoint = resolve("tiny")
    assert checkpoint["vision.safetensors"] == bundled / "vision.safetensors"
    assert set(checkpoint.paths) == set(CONTENT)
    assert checkpoint.sha256["config.json"] == weight_file("x", CONTENT["config.json"]).sha256
    assert is_here(get("tiny"))
    assert resolve("tiny", pull=True) == checkpoint


@pytest.mark.parametrize("damage", [b"picturez" * 40, b"pictures" * 39, b""])
def test_damaged_bundled_weights_are_refused(bundled: Path, damage: bytes) -> None:
    (bundled / "vision.safetensors").write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"vision\.safetensors is damaged.*install lexiseg"):
        resolve("tiny")


def test_missing_bundled_weights_are_refused(bundled: Path) -> None:
    (bundled / "vision.safetensors").unlink()
    assert not is_here(get("tiny"))
    with pytest.raises(WeightsMissing, match=r"vision\.safetensors is missing"):
        resolve("tiny")
    (bundled / "manifest.json").unlink()
    with pytest.raises(WeightsMissing, match=r"'tiny' belong into the package"):
        resolve("tiny")


def test_the_bundled_model_needs_nothing_of_what_downloads(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys
        import numpy as np
        import lexiseg
        lexiseg.load("tiny")(np.zeros((60, 90, 3), np.uint8), ["dog"])
        print([name for name in sys.argv[1:] if name in sys.modules])
        """
    )
    modules = ["huggingface_hub", "httpx2", "filelock", "platformdirs", "sqlite3"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run(
        [sys.executable, "-c", code, *modules], env=environment, capture_output=True, text=True
    )
    assert (run.stdout, run.stderr) == ("[]\n", "")
    assert not (tmp_path / "cache").exists()


# The table


def test_the_table_lists_bundled_and_hub(bundled: Path) -> None:
    record = make_record()
    register(record)
    assert names() == ("clip-toy.test", "tiny")
    assert records() == (record, get("tiny"))


def test_the_table_refuses_taken_names_and_records_from_nowhere(bundled: Path) -> None:
    register(make_record())
    for name in ("tiny", "clip-toy.test"):
        with pytest.raises(OptionError, match=f"{name!r} is taken"):
            register(make_record(name))
    nowhere = Record.from_json(make_record("other").to_json() | {"repo": "", "revision": ""})
    with pytest.raises(OptionError, match="not where its files come from"):
        register(nowhere)


def test_an_unknown_name_suggests_the_nearest(bundled: Path) -> None:
    with pytest.raises(UnknownName, match="no checkpoint is named 'tinny'; did you mean 'tiny'"):
        resolve("tinny")


# Local folders and files


def test_a_folder_with_a_manifest_is_a_checkpoint(tmp_path: Path, no_network: None) -> None:
    folder = make_folder(tmp_path / "mine", name="my-tiny")
    for given in (folder, str(folder)):
        checkpoint = resolve(given)
        assert checkpoint.record.name == "my-tiny"
        assert checkpoint["config.json"] == folder / "config.json"


def test_a_damaged_local_folder_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine")
    (folder / "config.json").write_bytes(b'{"embed_dim": 9}')
    with pytest.raises(CheckpointError, match=r"config\.json is damaged or another file"):
        resolve(folder)


def test_downloaded_files_are_recognised_by_their_content(tmp_path: Path) -> None:
    one = make_record("one", weight_file("model.safetensors", b"weights"))
    two = make_record("two", *(weight_file(name, CONTENT[name]) for name in CONTENT))
    register(one)
    register(two)
    renamed = tmp_path / "from-a-stick.safetensors"
    renamed.write_bytes(b"weights")
    assert resolve(renamed).record == one
    assert resolve(renamed)["model.safetensors"] == renamed
    folder = make_folder(tmp_path / "two")
    (folder / "manifest.json").unlink()
    assert resolve(folder).record == two


def test_files_that_only_look_alike_are_refused(tmp_path: Path) -> None:
    register(make_record("one", weight_file("model.safetensors", b"weights")))
    (tmp_path / "a.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(CheckpointError, match="looks like 'one'"):
        resolve(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="not known weights"):
        resolve(tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="not known weights"):
        resolve(tmp_path)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="there is no folder or file"):
        resolve(tmp_path / "nowhere")
    with pytest.raises(WeightsMissing, match="there is no folder or file"):
        resolve("./nowhere")


# The hub


def test_without_pull_nothing_is_downloaded(no_network: None, clean: Path) -> None:
    register(make_record())
    with pytest.raises(WeightsMissing, match=r"MIT.*: lexiseg models pull clip-toy\.test$"):
        resolve("clip-toy.test")
    assert not clean.exists()
    assert not is_here(get("clip-toy.test"))


def test_pull_fetches_all_files_and_then_needs_no_network(
    hub: Hub, clean: Path, request: pytest.FixtureRequest
) -> None:
    register(
        make_record(
            "two",
            weight_file("vision.safetensors", CONTENT["vision.safetensors"], path="a/b.bin"),
            weight_file("config.json", CONTENT["config.json"]),
        )
    )
    hub.files[address("a/b.bin")] = CONTENT["vision.safetensors"]
    hub.files[address("config.json")] = CONTENT["config.json"]
    checkpoint = pull("two")
    assert {name: path.read_bytes() for name, path in checkpoint.paths.items()} == CONTENT
    assert checkpoint["config.json"] == clean / "two" / "config.json"
    assert not list(clean.rglob("*.part"))
    request.getfixturevalue("no_network")
    assert resolve("two") == checkpoint
    assert pull("two", offline=True) == checkpoint
    assert is_here(get("two"))


def test_a_changed_cached_file_is_noticed_and_pulled_again(hub: Hub, clean: Path) -> None:
    register(make_record())
    hub.files[address("model.safetensors")] = b"weights"
    path = pull("clip-toy.test")["model.safetensors"]
    path.write_bytes(b"WEIGHTS")
    with pytest.raises(CheckpointError, match=r"delete it, then: lexiseg models pull"):
        resolve("clip-toy.test")
    assert pull("clip-toy.test")["model.safetensors"].read_bytes() == b"weights"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read to the end, where all count as large."""
    monkeypatch.setattr(cache, "_SMALL", 0)
    paths: list[str] = []
    real = hashlib.file_digest

    def digest(file: Any, name: str) -> Any:
        paths.append(file.name)
        return real(file, name)

    monkeypatch.setattr(hashlib, "file_digest", digest)
    return paths


def test_an_unchanged_cached_file_is_read_once_only(
    hub: Hub, clean: Path, hashed: list[str]
) -> None:
    register(make_record())
    hub.files[address("model.safetensors")] = b"weights"
    path = pull("clip-toy.test")["model.safetensors"]
    assert hashed == [f"{path}.part"]
    hashed.clear()
    resolve("clip-toy.test")
    assert hashed == []
    os.utime(path)
    resolve("clip-toy.test")
    resolve("clip-toy.test")
    assert hashed == [str(path)]
    (stamp,) = (clean.parent / "digests").iterdir()
    stamp.write_text("nonsense")
    resolve("clip-toy.test")
    assert len(hashed) == 2
    os.replace(shutil.copy2(path, path.with_name("copy")), path)  # size and time, another inode
    resolve("clip-toy.test")
    assert len(hashed) == 3


def test_a_local_folder_is_read_once_only(tmp_path: Path, hashed: list[str]) -> None:
    folder = make_folder(tmp_path / "mine")
    hashed.clear()
    for _ in range(3):
        resolve(folder)
    assert hashed == []
    (folder / "config.json").write_bytes(b'{"embed_dim": 9}')
    with pytest.raises(CheckpointError, match=r"config\.json is damaged or another file"):
        resolve(folder)


@pytest.mark.parametrize("variable", ["LEXISEG_OFFLINE", "HF_HUB_OFFLINE", None])
def test_offline_refuses_without_a_connection(
    hub: Hub, no_network: None, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    register(make_record())
    if variable:
        monkeypatch.setenv(variable, "1")
    with pytest.raises(WeightsMissing, match=f"{variable or '--offline'}.* forbids it"):
        pull("clip-toy.test", offline=None if variable else True)
    assert hub.requests == []


def test_the_switch_can_be_overruled(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    register(make_record())
    hub.files[address("model.safetensors")] = b"weights"
    monkeypatch.setenv("LEXISEG_OFFLINE", "1")
    assert pull("clip-toy.test", offline=False)["model.safetensors"].is_file()


@pytest.mark.parametrize(
    ("value", "reason"), [("1", "LEXISEG_OFFLINE=1"), ("True", "=True"), ("0", None), ("", None)]
)
def test_the_switch_reads_common_words(
    monkeypatch: pytest.MonkeyPatch, value: str, reason: str | None
) -> None:
    monkeypatch.setenv("LEXISEG_OFFLINE", value)
    found = cache.offline_reason()
    assert found is None if reason is None else found is not None and found.endswith(reason)


def test_a_cache_that_cannot_be_written_is_an_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("LEXISEG_CACHE", str(blocked))
    register(make_record())
    with pytest.raises(OutputError, match="set LEXISEG_CACHE to a folder"):
        pull("clip-toy.test")


def test_a_read_only_cache_is_used(hub: Hub, clean: Path) -> None:
    register(make_record())
    hub.files[address("model.safetensors")] = b"weights"
    pull("clip-toy.test")
    folder = clean / "clip-toy.test"
    locked = (folder, clean, clean.parent)
    for path in locked:
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert resolve("clip-toy.test")["model.safetensors"].read_bytes() == b"weights"
    finally:
        for path in reversed(locked):
            path.chmod(stat.S_IRWXU)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LEXISEG_CACHE": "/data/c", "XDG_CACHE_HOME": "/x"}, "/data/c"),
        ({"LEXISEG_CACHE": "~/c"}, "~/c"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/lexiseg"),
        ({}, "~/.cache/lexiseg"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="platformdirs knows where it is elsewhere")
def test_the_cache_lies_where_the_platform_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("LEXISEG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected).expanduser()
