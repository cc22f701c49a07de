"""`lexiseg datasets` and `lexiseg evaluate --data NAME`, typed as a user types them."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest
from tests.published_trees import TREES

from lexiseg.cli import main
from lexiseg.datasets import catalogue

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


def test_list_names_every_set_and_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "datasets")
    assert code == 0
    assert [name for name in TREES if not re.search(rf"(?m)^{re.escape(name)} ", out)] == []
    code, out, _ = said(capsys, "datasets", "list", "--kind", "video", "--json")
    assert [one["name"] for one in json.loads(out)] == ["davis2016", "davis2017"]


def test_how_tells_source_licence_size_and_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for name in TREES:
        code, out, _ = said(capsys, "datasets", "how", name)
        assert code == 0
        assert all(word in out for word in ("licence", "size", "home", "get it", "check"))
    code, out, _ = said(capsys, "datasets", "how", "voc21", "--json")
    assert json.loads(out)["commands"][1] == "tar -xf VOCtrainval_11-May-2012.tar"


@pytest.mark.parametrize("name", ["voc21", "phrasecut", "davis2017", "pascal5i"])
def test_check_tells_what_is_there(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TREES[name](tmp_path)
    code, out, _ = said(capsys, "datasets", "check", name, "--root", str(tmp_path))
    assert (code, "missing" in out) == (0, False)
    assert re.search(r"\d of [\d,]+ (photos|phrases|videos|episodes)", out)


@pytest.mark.parametrize("name", ["voc21", "coco", "phrasecut", "davis2017", "pascal5i"])
def test_check_reads_every_photo_and_mask(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TREES[name](tmp_path)
    line = ["datasets", "check", name, "--root", str(tmp_path), "--read"]
    code, out, _ = said(capsys, *line)
    assert code == 0
    assert "all can be read" in out
    (broken := sorted(tmp_path.rglob("*.jpg"))[0]).write_bytes(b"no photo")
    code, out, _ = said(capsys, *line)
    assert code == 1
    assert f"'{broken}' is not a picture" in out
    code, out, _ = said(capsys, *line[:-1])  # not read, not seen
    assert code == 0
    assert "be read" not in out


def test_check_tells_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TREES["voc21"](tmp_path)
    masks = tmp_path / "VOCdevkit" / "VOC2012" / "SegmentationClass"
    masks.rename(masks.with_name("segmentationclass"))
    code, out, _ = said(capsys, "datasets", "check", "voc21", "--root", str(tmp_path))
    assert code == 1
    assert "missing  SegmentationClass" in out
    assert "the nearest that is there is segmentationclass" in out
    assert "lexiseg datasets how voc21" in out
    code, _, err = said(capsys, "datasets", "check", "coco", "--root", str(tmp_path))
    assert code == 2
    assert "there is no coco/annotations/instances_val2017.json" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["chek"], "did you mean 'check'"),
        (["how"], "needs the name of a data set"),
        (["list", "voc21"], "takes no name"),
        (["how", "voc"], "did you mean"),
        (["list", "--root", "x"], "--root is for `lexiseg datasets check`"),
        (["list", "--kind", "videos"], "did you mean 'video'"),
        (["check", "voc21", "--root", "nowhere"], "'nowhere' is not a folder"),
    ],
)
def test_wrong_input_gets_one_line(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, "datasets", *argv)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_evaluate_opens_a_published_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TREES["voc21"](tmp_path)
    root = str(tmp_path / "VOCdevkit")
    code, out, err = said(capsys, "evaluate", "tiny", "--data", "voc21", "--root", root,
                          "--limit", "1", "--json")  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert (found["set"], found["split"], len(found["classes"])) == ("voc21", "val", 21)
    code, out, err = said(capsys, "evaluate", "tiny", "--data", root, "--vocabulary", "sclip",
                          "--limit", "1", "--json")  # fmt: skip
    assert code == 0, err
    assert "ship" in [word.partition("|")[0] for word in json.loads(out)["asked"]]
    code, _, err = said(capsys, "evaluate", "tiny", "--data", "voc21", "--root", root,
                        "--split", "test")  # fmt: skip
    assert (code, err.count("\n")) == (2, 1)
    assert "no split of voc21 is named 'test'; choose one of: train, trainval, val" in err


def test_a_family_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page on the architecture shows is a data set, as it stands."""
    import numpy as np
    from PIL import Image

    code = re.search(r'```python\n("""Meadow.*?)```', PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    made: dict[str, object] = {}
    exec(compile(textwrap.dedent(code[1]), "meadow.py", "exec"), made)
    (info,) = made["DATASETS"]  # type: ignore[misc]
    assert isinstance(info, catalogue.DatasetInfo)
    for part in ("photos", "masks"):
        (tmp_path / "meadow" / part / "val").mkdir(parents=True)
    mask = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
    Image.fromarray(mask).save(tmp_path / "meadow" / "masks" / "val" / "a.png")
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(tmp_path / "meadow/photos/val/a.jpg")
    known = {**catalogue.dataset_table(), "meadow": info}
    monkeypatch.setattr(catalogue, "dataset_table", lambda: known)
    (data,) = catalogue.open_semantic("meadow", root=tmp_path)
    np.testing.assert_array_equal(data[0].labels((2, 3)), [[255, 0, 1], [1, 1, 0]])


def test_evaluate_reports_base_and_novel_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TREES["coco"](tmp_path)
    code, out, err = said(capsys, "evaluate", "tiny", "--data", "coco-open-48-17",
                          "--root", str(tmp_path), "--limit", "2")  # fmt: skip
    assert code == 0, err
    assert all(word in out for word in ("base", "novel", "harmonic"))


def test_the_folders_of_earlier_tools_are_found(tmp_path: Path) -> None:
    """As benchmark scripts keep them: data/benchmarks/pascal-voc and data/benchmarks/coco-stuff."""
    TREES["voc21"](tmp_path)
    (tmp_path / "VOCdevkit" / "VOC2012").rename(tmp_path / "pascal-voc")
    TREES["coco-stuff164k"](tmp_path / "coco-stuff")
    for name, folder in (("voc21", "pascal-voc"), ("coco-stuff164k", "coco-stuff")):
        (data,) = catalogue.open_semantic(name, root=tmp_path)
        assert folder in str(data[0].path)
