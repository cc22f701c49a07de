"""Tables of pictures: the same rows of CSV, JSON lines and Parquet; what a row asks; odd tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lexiseg.batch.requests import Defaults, make_request
from lexiseg.batch.tables import Row, read_list, read_table
from lexiseg.errors import ExtraMissing, InputError, LexisegError, OptionError

CSV = '''\
\ufeffPicture,words,Points,boxes,like,operation,full-size,radius,tag
"a, b.jpg",sky; road,"3,4; 5,6",,mug=cup.jpg,,,,x
c.jpg,,,"1,2,30,40",,blur face,,8,"y ""z"""

d.jpg,"""one, word""; two",,,,cutout dog + blur cat,yes,3,
'''
ROWS: list[dict[str, Any]] = [
    {
        "picture": "a, b.jpg", "words": ["sky", "road"], "points": [[3, 4], [5, 6]],
        "like": ["mug=cup.jpg"], "tag": "x",
    },
    {"picture": "c.jpg", "boxes": [1, 2, 30, 40], "operation": "blur face", "radius": 8,
     "tag": 'y "z"'},
    {"picture": "d.jpg", "words": ["one, word", "two"], "operation": "blur cat + cutout dog",
     "full-size": True, "radius": 3, "tag": None},
]  # fmt: skip


def asked(rows: list[Row]) -> list[Any]:
    """What rows ask, comparable: words, clicks, examples, steps."""
    out = []
    for row in rows:
        assert row.error == ""
        request = make_request(row, Defaults())
        steps = [(step.operation, step.names, step.config) for step in request.steps]
        out.append((request.words, request.clicks, request.like, steps))
    return out


@pytest.fixture
def cup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_kinds_of_tables_ask_the_same(cup: Path) -> None:
    arrow = pytest.importorskip("pyarrow.parquet", reason="the extra [batch] is not installed")
    import pyarrow as pa

    text = CSV.replace("cutout dog + blur cat", "blur cat + cutout dog")
    (cup / "t.csv").write_text(text, encoding="utf-8")
    (cup / "t.tsv").write_text("picture\ttag\nc.jpg\ty\n", encoding="utf-8")
    (cup / "t.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    columns = {
        "picture": pa.array([row["picture"] for row in ROWS]),
        "words": pa.array([row.get("words") for row in ROWS]),
        "points": pa.array([row.get("points") for row in ROWS], pa.list_(pa.list_(pa.int32()))),
        "boxes": pa.array([row.get("boxes") for row in ROWS], pa.list_(pa.int32())),
        "like": pa.array([row.get("like") for row in ROWS]),
        "operation": pa.array([row.get("operation") for row in ROWS]),
        "full_size": pa.array([row.get("full-size") for row in ROWS]),
        "radius": pa.array([row.get("radius") for row in ROWS]),
        "tag": pa.array([row.get("tag") for row in ROWS]),
    }
    arrow.write_table(pa.table(columns), cup / "t.parquet")
    first, second, third = asked(read_table(cup / "t.csv"))
    assert first[0] == ("sky", "road")
    assert first[1].points_xy == ((3, 4), (5, 6))
    assert first[2] == ("mug=cup.jpg",)
    assert second[1].boxes_xyxy == ((1, 2, 30, 40),)
    ((operation, names, config),) = second[3]
    assert (operation, names, config.radius) == ("blur", ("face",), 8)
    assert third[0] == ("cat", "dog", "one, word", "two")
    assert (third[3][0][2].radius, third[3][1][2].trim) == (3, False)
    assert asked(read_table(cup / "t.jsonl")) == [first, second, third]
    assert asked(read_table(cup / "t.parquet")) == [first, second, third]
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        assert [row.extra.get("tag") or None for row in read_table(cup / name)] == [
            "x", 'y "z"', None,
        ]  # fmt: skip
    assert read_table(cup / "t.tsv")[0].extra == {"tag": "y"}


def test_options_are_columns_like_any_other_where_nothing_is_edited() -> None:
    (row,) = read_list("picture;radius;model\na.jpg;8;X100\n", "stdin")
    assert isinstance(row, Row)
    assert row.extra == {"radius": "8", "model": "X100"}
    assert read_list("a.jpg\n\nb c.jpg\n", "stdin") == ["a.jpg", "b c.jpg"]


def test_a_row_without_words_asks_what_all_are_asked() -> None:
    defaults = Defaults(("sky",), ("wall",), operation="blur")
    request = make_request(Row("", {"picture": "a.jpg"}), defaults)
    assert (request.words, request.background) == (("sky",), ("wall",))
    assert request.steps[0].names == ("sky",)
    own = make_request(Row("", {"words": "dog", "background": "none"}), defaults)
    assert (own.words, own.background, own.steps[0].names) == (("dog",), None, ("dog",))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"points": "3"}, "points takes X,Y"),
        ({"boxes": [[1, 2, 3]]}, "boxes takes X0,Y0,X1,Y1"),
        ({"points": [["a", 2]]}, "points takes X,Y"),
        ({"operation": "blur 'face"}, "close quotes"),
        ({"operation": "blur face +"}, "join several"),
        ({"operation": "cutout a + blur b"}, "nothing can follow"),
        ({"operation": "blur face --radius"}, "without a value"),
    ],
)
def test_a_row_that_is_not_understood_says_why(row: dict[str, Any], what: str) -> None:
    with pytest.raises(LexisegError, match=what):
        make_request(Row("", row), Defaults())
    with pytest.raises(OptionError, match="takes no 'block'"):
        make_request(Row("", {"operation": "blur face"}, {"block": "3"}), Defaults())


def test_odd_lines_are_rows_with_an_error() -> None:
    rows = read_list('{"picture": "a.jpg"}\n[1]\n{"pict\n{"words": "x"}\n', "stdin")
    errors = [row.error for row in rows if isinstance(row, Row)]
    assert [error.split(" (")[0].split(";")[0] for error in errors] == [
        "", "is no JSON object", "is no JSON", "names no picture",
    ]  # fmt: skip
    rows = read_list("picture,words\na.jpg,sky,road\n", "stdin")
    assert isinstance(rows[0], Row)
    assert "3 cells for 2 columns" in rows[0].error


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("t.csv", b"image\na.jpg\n", "no column `picture`"),
        ("t.csv", b"picture,words,words\na.jpg,,\n", "two columns 'words'"),
        ("t.csv", b"picture\n\xff\xfe\n", "no UTF-8"),
        ("t.parquet", b"PAR1 and no more", "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_refused(
    tmp_path: Path, name: str, content: bytes, what: str
) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="the extra [batch] is not installed")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=what):
        read_table(tmp_path / name)


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'lexiseg\[batch\]'"):
        read_table(tmp_path / "t.parquet")
