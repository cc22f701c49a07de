from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lexiseg.checkpoints import Preprocessing, Record, WeightFile
from lexiseg.errors import CheckpointError

DIGEST = "ab" * 32
FILE = WeightFile("vision.safetensors", DIGEST, 12)
RECORD = Record(
    name="tiny",
    family="tiny",
    files=(FILE, WeightFile("config.json", DIGEST, 3, path="sub/config.json")),
    licence="Apache-2.0",
    licence_url="https://example.org",
    preprocessing=Preprocessing(None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    activation="relu6",
    embed_dim=128,
    stride=4,
)


def test_a_record_goes_through_json_and_back() -> None:
    text = json.dumps(RECORD.to_json())
    assert Record.from_json(json.loads(text)) == RECORD


def test_the_size_is_that_of_all_files() -> None:
    assert RECORD.bytes == 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Tiny Model"}, r"name is 'Tiny Model'; it must be small letters"),
        ({"name": "../tiny"}, "name"),
        ({"files": ()}, "files is"),
        ({"files": (FILE, FILE)}, "different names"),
        (
            {"activation": "gleu"},
            "activation is 'gleu'; it must be one of gelu, gelu-tanh, quick-gelu",
        ),
        ({"licence": ""}, "licence"),
        ({"embed_dim": 0}, "embed_dim"),
        ({"embed_dim": -1, "kind": "inpainter"}, "embed_dim"),
        ({"kind": "encodr"}, "kind is 'encodr'; it must be one of encoder, proxy"),
        ({"layers": (3, -1)}, "layers"),
        ({"stride": -4}, "stride"),
        ({"repo": "a/b", "revision": "main"}, "revision is 'main'; it must be a full commit"),
    ],
)
def test_an_incomplete_record_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        replace(RECORD, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../../etc/passwd"}, "plain file name"),
        ({"name": ".hidden"}, "plain file name"),
        ({"name": "a/../b"}, "plain file name"),
        ({"path": "../up.bin"}, "relative path"),
        ({"path": "/abs.bin"}, "relative path"),
        ({"sha256": "AB" * 32}, "64 hexadecimal"),
        ({"sha256": "ab"}, "64 hexadecimal"),
        ({"bytes": -1}, "a number of bytes, or 0"),
    ],
)
def test_a_file_cannot_lead_out_of_its_folder_or_lack_its_digest(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        replace(FILE, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": (123.7, 116.3, 103.5)}, r"three numbers in \[0, 1\]"),
        ({"mean": (0.5, 0.5)}, "three numbers"),
        ({"std": (0.5, 0.0, 0.5)}, r"\(0, 1\]"),
        ({"size": 0}, "size"),
        ({"resample": "cubic"}, "one of area, bicubic, bilinear"),
    ],
)
def test_wrong_preprocessing_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        replace(RECORD.preprocessing, **change)


def edited(**change: object) -> dict[str, Any]:
    return RECORD.to_json() | change


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "JSON object"),
        ({}, "files is None"),
        (edited(colour="red"), "colour"),
        (edited(files=[{"sha256": ""}]), "file lacks a field"),
        (edited(files=["a.bin"]), "file is 'a.bin'; it must be a JSON object"),
        (edited(files=[FILE.__dict__ | {"bytes": "12"}]), "wrong type"),
        (edited(preprocessing=None), "preprocessing is None"),
        (edited(name=7), "wrong type"),
        ({key: value for key, value in edited().items() if key != "stride"}, "stride"),
    ],
)
def test_json_that_is_no_record_is_refused_in_one_line(values: object, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        Record.from_json(values)
    assert "\n" not in str(caught.value)
