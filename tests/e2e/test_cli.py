"""The command: what it writes, what it says, and how it ends.

The model is a stand-in that finds colours, so that every mask is known by hand; `test_tiny.py`
runs the command with the bundled model.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.colour_finder import COLOURS, ColourFinder, stand_in

from lexiseg import imaging, loading
from lexiseg.cli import main
from lexiseg.errors import WeightsMissing
from lexiseg.masks import Masks
from lexiseg.prompts import Vocabulary

SIZE_HW = (40, 60)


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> ColourFinder:
    return stand_in(monkeypatch)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a.png: red above green, blue in its lower right corner."""
    monkeypatch.chdir(tmp_path)
    rgb = np.zeros((*SIZE_HW, 3), np.uint8)
    rgb[:20] = COLOURS["red"]
    rgb[20:] = COLOURS["green"]
    rgb[30:, 50:] = COLOURS["blue"]
    imaging.write(tmp_path / "a.png", rgb)
    return tmp_path


def run(*args: object) -> int:
    return main([str(arg) for arg in args])


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.array(image)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_words_in_masks_out(here: Path, finder: ColourFinder, capsys: Any) -> None:
    assert run("segment", "a.png", "green", "blue", "yellow", "pink") == 0
    out = here / "lexiseg-out" / "a"
    assert files(here / "lexiseg-out") == {
        "a/overlay.png", "a/labels.png", "a/result.json", "a/masks/green.png", "a/masks/blue.png",
    }  # fmt: skip
    mask = pixels(out / "masks" / "blue.png")
    expected = np.zeros(SIZE_HW, np.uint8)
    expected[30:, 50:] = 255
    assert (mask == expected).all()
    assert pixels(out / "labels.png")[[0, 25, 35], [0, 0, 55]].tolist() == [0, 1, 2]
    with Image.open(out / "labels.png") as labels:
        assert json.loads(labels.info["words"])["2"] == "blue"
    result = json.loads((out / "result.json").read_text("utf-8"))
    assert result["files"]["masks"] == {"green": "masks/green.png", "blue": "masks/blue.png"}
    assert Masks.from_rle([result["instances"][1]["rle"]]).areas.tolist() == [100]
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out == (
        "a.png  60 x 40, 0.00 s\n"
        "  word    share  score  instances\n"
        "  green  45.8 %   0.90          1\n"
        "  blue    4.2 %   0.90          1\n"
        "  not found: yellow, pink\n"
        f"  -> {Path('lexiseg-out/a')}\n"
    )


def test_json_is_the_only_thing_on_stdout(here: Path, finder: ColourFinder, capsys: Any) -> None:
    assert run("segment", "a.png", "red", "--json", "--out", "o") == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert said.err == ""
    assert document["failed"] == []
    (picture,) = document["pictures"]
    assert (picture["picture"], picture["folder"]) == ("a.png", str(Path("o/a")))
    stored = json.loads((here / "o/a/result.json").read_text("utf-8"))
    assert {key: picture[key] for key in stored} == stored


def test_only_writes_what_it_names_though_all_compete(here: Path, finder: ColourFinder) -> None:
    assert run("segment", "a.png", "red", "green", "--only", "green", "-q") == 0
    assert [call.names for call in finder.calls] == [("red", "green")]
    out = here / "lexiseg-out/a"
    assert files(out / "masks") == {"green.png"}
    result = json.loads((out / "result.json").read_text("utf-8"))
    assert [word["word"] for word in result["vocabulary"]] == ["green"]
    assert set(np.unique(pixels(out / "labels.png"))) == {0, 2}


def test_heat_maps_cut_outs_and_what_was_looked_at(
    here: Path, finder: ColourFinder, capsys: Any
) -> None:
    assert run("segment", "a.png", "red", "pink", "--heatmap", "--cutout", "-v") == 0
    assert files(here / "lexiseg-out/a") >= {
        "heatmaps/red.png", "heatmaps/pink.png", "cutouts/red.png", "looked-at.png",
    }  # fmt: skip
    cutout = pixels(here / "lexiseg-out/a/cutouts/red.png")
    assert (cutout[:20] == (255, 0, 0, 255)).all()
    assert not cutout[20:].any()
    said = capsys.readouterr().out
    assert "colours on cpu, float32: look 1 ms" in said
    assert "a=1" in said


def test_flags_reach_the_model_and_absent_ones_do_not(here: Path, finder: ColourFinder) -> None:
    assert run("segment", "a.png", "red") == 0
    assert (finder.loaded, finder.config) == ({"loaded": True}, loading.make_config())
    line = "a.png red --method dense --encoder eye --preset fast --set overlap=0.5 --device cpu"
    line += " --dtype fp32 --pull --offline --threshold 0.3 --min-confidence red=0.2"
    assert run("segment", *line.split(), "--background", "wall; floor") == 0
    assert finder.loaded == {
        "loaded": True, "device": "cpu", "dtype": "fp32", "pull": True, "offline": True,
    }  # fmt: skip
    assert finder.config == loading.make_config(
        "dense", preset="fast", encoder="eye", overlap=0.5, threshold=0.3,
        word_thresholds={"red": 0.2},
    )  # fmt: skip
    assert finder.calls[-1] == Vocabulary.parse("red", background=["wall", "floor"])
    assert run("segment", "a.png", "red", "--background", "none") == 0
    assert finder.calls[-1].background is None


def test_words_as_people_type_them(here: Path, finder: ColourFinder) -> None:
    (here / "words.txt").write_text("\ufeff# colours\nred\n\n- green, blue\n", encoding="utf-8")
    for typed in (
        ["red, green; blue"], ["red,", "green,", "blue"], ["red . green . blue ."],
        ["Red\ngreen\n\nblue\n"], ["red\u200b", "\ufeffgreen", "blue"], ["@words.txt"],
    ):  # fmt: skip
        assert run("segment", "a.png", *typed, "-q") == 0
        assert [name.casefold() for name in finder.calls[-1].names] == ["red", "green", "blue"]
    line = ["segment", "--words", '"red, or so", green', "a.png", "-q"]
    assert run(*line, "--only", "GREEN", "--threshold", "Green=0.5") == 0
    assert finder.calls[-1].names == ("red, or so", "green")
    assert finder.config.word_thresholds == {"green": 0.5}
    assert run("segment", "a.png", "é", "e\u0301") == 2  # the same word twice
    (here / "words.txt").write_bytes(b"caf\xe9")
    assert run("segment", "a.png", "@words.txt") == 2


def test_a_file_of_words_is_an_input(here: Path, finder: ColourFinder, capsys: Any) -> None:
    (here / "lexiseg-out/a").mkdir(parents=True)
    (here / "lexiseg-out/a/result.json").write_text("red\n")
    assert run("segment", "--words", "@lexiseg-out/a/result.json", "a.png") == 0
    assert (here / "lexiseg-out/a/result.json").read_text() == "red\n"
    assert "an input of this run lies there" in capsys.readouterr().err


def test_a_home_is_meant_by_a_tilde(
    here: Path, finder: ColourFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    monkeypatch.setenv("USERPROFILE", str(here / "home"))
    imaging.write(here / "home" / "b.png", imaging.read("a.png").rgb)
    assert run("segment", "~/b.png", "red", "--out=~/res", "--like", "x=~/b.png") == 0
    assert (here / "home/res/b/result.json").is_file()
    assert not (here / "~").exists()


def test_several_pictures(here: Path, finder: ColourFinder, capsys: Any) -> None:
    white = np.full((30, 20, 3), 255, np.uint8)
    imaging.write(here / "in" / "b.png", white)
    imaging.write(here / "in" / "c.jpg", np.zeros((30, 20, 3), np.uint8))
    code = run("segment", "--words", "red; blue", "a.png", "in", "--out", "o")
    assert code == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "lexiseg: in/b.png: a white corner; paint it",
        "lexiseg: 1 of 3 pictures failed",
    ]
    assert {path.name for path in (here / "o").iterdir()} == {"a", "in"}
    assert {path.name for path in (here / "o/in").iterdir()} == {"c"}
    assert said.out.count("->") == 2


def test_nothing_found_is_exit_code_3(here: Path, finder: ColourFinder, capsys: Any) -> None:
    assert run("segment", "a.png", "pink", "violet") == 3
    said = capsys.readouterr()
    assert said.err == "lexiseg: nothing found in the picture for 'pink', 'violet'\n"
    assert json.loads((here / "lexiseg-out/a/result.json").read_text("utf-8"))["instances"] == []
    assert run("segment", "a.png", "red", "pink", "--only", "pink") == 3
    imaging.write(here / "b.png", np.zeros((9, 7, 3), np.uint8))
    capsys.readouterr()
    assert run("segment", "--words", "pink", "a.png", "b.png", "--json") == 3
    assert len(json.loads(capsys.readouterr().out)["pictures"]) == 2


def test_an_unknown_word_is_told_with_its_neighbours(
    here: Path, finder: ColourFinder, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("lexiseg.cli.report.stronger_encoder", lambda current: "clip-vit-b16")
    assert run("segment", "a.png", "red", "unicorn") == 0
    said = capsys.readouterr().out
    assert "unicorn  " not in said
    assert (
        "eye does not know 'unicorn'; the nearest words that it knows: horse, goat; "
        "more words: --encoder clip-vit-b16" in said
    )


def test_a_second_run_replaces_its_files_and_nothing_else(here: Path, finder: ColourFinder) -> None:
    assert run("segment", "a.png", "red", "green", "--heatmap") == 0
    out = here / "lexiseg-out/a"
    (out / "notes.txt").write_text("mine")
    (out / "masks" / "mine.png").write_bytes(b"mine")
    assert run("segment", "a.png", "green") == 0
    assert files(out) == {
        "overlay.png", "labels.png", "result.json", "masks/green.png", "notes.txt",
        "masks/mine.png",
    }  # fmt: skip
    # A result.json that was tampered with removes nothing elsewhere.
    (here / "precious.png").write_bytes(b"precious")
    (out / "result.json").write_text('{"files": {"x": "../../precious.png", "y": {"z": 3}}}')
    assert run("segment", "a.png", "green") == 0
    assert (here / "precious.png").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "no picture is given"),
        ("gone.png red", "'gone.png' does not exist"),
        ("b.png red", "did you mean 'a.png'"),
        ("text.jpg red", "'text.jpg' is not a picture that lexiseg reads"),
        ("cut.jpg red", "'cut.jpg' is damaged or cut off"),
        ("empty.png red", "'empty.png' is empty"),
        ("a.png red red", "'red' is given twice"),
        ("a.png red --only blue", "no word of this call is named 'blue'"),
        ("a.png red --threshold 7", "a score from 0 to 1, or WORD=SCORE"),
        ("a.png red --threshold blue=0.5", "no word of this call is named 'blue'"),
        ("a.png red --out a.png", "--out 'a.png' is the name of a file"),
        ("a.png red --out m.heic", "or a folder, such as 'm'"),
        ("a.png red --out a.png/deep", "cannot be written"),
        ("a.png red --max-pixels 10", "more than the limit of 10"),
        ("a.png red --max-pixels many", "argument --max-pixels: invalid int value"),
        ("a.png red --treshold 0.5", "there is no option '--treshold'; did you mean '--threshold'"),
        ("a.png red gone.png", "is a picture, not a word"),
        ("in red", "the folder 'in' holds no pictures"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_before_a_model_is_loaded(
    line: str, message: str, here: Path, finder: ColourFinder, capsys: Any
) -> None:
    (here / "in").mkdir()
    (here / "text.jpg").write_text("this is no picture")
    (here / "empty.png").touch()
    buffer = io.BytesIO()
    Image.effect_noise((64, 48), 90).save(buffer, "JPEG")
    (here / "cut.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    assert run("segment", *line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.startswith("lexiseg: ")
    assert said.err.count("\n") == 1
    assert finder.loaded == {}


@pytest.mark.parametrize("words", [[""], ["sky", ""], [";"], ["..."]])
def test_an_empty_prompt_is_refused(
    words: list[str], here: Path, finder: ColourFinder, capsys: Any
) -> None:
    assert run("segment", "a.png", *words) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert finder.loaded == {}


def test_a_folder_without_permission_is_refused(
    here: Path, finder: ColourFinder, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", forbidden)
    assert run("segment", "a.png", "red", "--out", "locked") == 2
    assert "'locked' cannot be written (Permission denied)" in capsys.readouterr().err
    assert finder.loaded == {}


def test_missing_weights_are_exit_code_4(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def load(*config: Any, **options: Any) -> Any:
        raise WeightsMissing("the weights of 'x' are not here: lexiseg models pull x")

    monkeypatch.setattr(loading, "load", load)
    assert run("segment", "a.png", "red") == 4
    assert capsys.readouterr().err == (
        "lexiseg: the weights of 'x' are not here: lexiseg models pull x\n"
    )


def test_an_interrupt_leaves_nothing_half_written(
    here: Path, finder: ColourFinder, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    written: list[Path] = []
    write = imaging.write

    def interrupted(path: Path, *rest: Any, **options: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(Path(path))
        write(path, *rest, **options)

    monkeypatch.setattr(imaging, "write", interrupted)
    assert run("segment", "a.png", "red", "green") == 130
    assert len(written) == 2
    assert files(here / "lexiseg-out") == set()
    assert capsys.readouterr().err == "lexiseg: interrupted\n"


def test_a_full_disk_leaves_the_earlier_results(
    here: Path, finder: ColourFinder, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run("segment", "a.png", "red") == 0
    before = {name: (here / name).read_bytes() for name in files(here)}

    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lexiseg.batch.outputs.save_label_map", full)
    assert run("segment", "a.png", "green") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert {name: (here / name).read_bytes() for name in files(here)} == before


def test_a_fault_of_ours_is_a_line_and_with_debug_a_traceback(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def load(*config: Any, **options: Any) -> Any:
        raise ZeroDivisionError("oh\nno")

    monkeypatch.setattr(loading, "load", load)
    assert run("segment", "a.png", "red") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "a fault in lexiseg, not in what you asked (ZeroDivisionError: oh no)" in said
    monkeypatch.setenv("LEXISEG_DEBUG", "1")
    assert run("segment", "a.png", "red") == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_bench_tells_time_and_memory(here: Path, finder: ColourFinder, capsys: Any) -> None:
    assert run("bench", "a.png", "red", "green", "--repeats", 3, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(finder.calls) == 4
    assert facts["repeats"] == 3
    assert facts["size_hw"] == [40, 60]
    assert facts["words"] == ["red", "green"]
    assert (facts["masks"], facts["words_found"]) == (2, 2)
    assert facts["stage_seconds"] == {"look": 0.001}
    assert 0 < facts["fastest_seconds"] <= facts["median_seconds"] <= facts["slowest_seconds"]
    assert facts["peak_memory_bytes"] is None or facts["peak_memory_bytes"] > 10_000_000
    assert not (here / "lexiseg-out").exists()
    assert run("bench", "a.png", "red") == 0
    said = capsys.readouterr().out
    assert "a.png  60 x 40, 1 words" in said
    assert "median of 5" in said
    assert run("bench", "a.png", "red", "--repeats", 0) == 2


def test_evaluate_measures_a_data_set(here: Path, finder: ColourFinder, capsys: Any) -> None:
    data = here / "data"
    picture = imaging.read(here / "a.png").rgb
    imaging.write(data / "val/images/p.png", picture)
    truth = np.zeros(SIZE_HW, np.uint8)
    truth[20:] = 1
    imaging.write(data / "val/masks/p.png", truth)
    card = {
        "title": "Two colours", "classes": ["red", "green"], "ignore_index": 255,
        "background_index": None, "terms": "none", "source": "made here",
    }  # fmt: skip
    imaging.write_text(data / "dataset.json", json.dumps(card))
    assert run("evaluate", "dense", "--data", data, "--out", "e", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert finder.config == loading.make_config("dense", instances="off")
    assert document["split"] == "val"
    assert json.loads((here / "e/results.json").read_text("utf-8")) == document
    assert (here / "e/summary.txt").exists()
    assert run("evaluate", "dense", "--data", data) == 0
    assert "Two colours" in capsys.readouterr().out
    assert run("evaluate", "dense", "--data", here / "gone") == 2
    assert run("evaluate", "dense") == 2
    assert "--data" in capsys.readouterr().err


def test_methods_lists_what_there_is_and_the_settings_of_one(capsys: Any) -> None:
    assert run("methods") == 0
    assert "dense" in capsys.readouterr().out
    assert run("methods", "--json") == 0
    (dense,) = (m for m in json.loads(capsys.readouterr().out) if m["name"] == "dense")
    assert run("methods", "dense") == 0
    said = capsys.readouterr().out
    for name in dense["defaults"]:
        assert f"  {name} " in said
    assert run("methods", "dens") == 2
    assert "did you mean 'dense'" in capsys.readouterr().err


def test_models_takes_an_action(capsys: Any) -> None:
    assert run("models", "pul", "x") == 2
    assert "did you mean 'pull'" in capsys.readouterr().err
    assert run("models", "pull") == 2
    assert "needs the name of a model" in capsys.readouterr().err
    assert run("models", "list", "x") == 2
    assert run("models", "path", "tinny") == 2
    assert "did you mean 'tiny'" in capsys.readouterr().err


def test_models_are_listed_by_kind(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexiseg.models.families", lambda: frozenset({"clip", "tiny", "sam"}))
    assert run("models", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    heads = [line for line in lines if line and not line.startswith((" ", "?", "*"))]
    kinds = ["encoder", "proxy", "masker", "method", "detector", "inpainter"]
    assert [head.partition(":")[0] for head in heads] == kinds
    by_name = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert " yes " in by_name["tiny"]
    assert "MB" in by_name["tiny"]
    assert "gated, unpinned" in by_name["sam3"]
    assert "unpinned" not in by_name["sam-vit-b"] + by_name["clip-rn50.openai"] + by_name["tiny"]
    assert by_name["sam3"].split()[1] == by_name["clipseg-rd64"].split()[1] == "*"
    assert "*" not in by_name["sam-vit-b"] + by_name["clip-vit-b16.openai"]
    assert "does not read it yet" in lines[-1]

    assert run("models", "list", "--kind", "maskers", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert {model["kind"] for model in listed} == {"masker"}
    assert {model["name"] for model in listed if model["readable"]} >= {"sam-vit-b"}
    assert not any(model["readable"] for model in listed if model["family"] == "edgetam")
    assert run("models", "list", "--kind", "maskr") == 2
    assert "did you mean 'masker'" in capsys.readouterr().err
    assert run("models", "path", "tiny", "--kind", "masker") == 2


def test_info_says_what_is_here(capsys: Any) -> None:
    assert run("info", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["threads"] >= 1
    assert run("info") == 0
    assert facts["cache"] in capsys.readouterr().out


def test_train_refuses_what_cannot_be_trained_on(here: Path, capsys: Any) -> None:
    (here / "b.tflite").touch()
    (here / "out").mkdir()
    (here / "out" / "state").touch()
    common = "--backbone b.tflite --out"
    for line, message in {
        f"tinny --data . {common} new": "did you mean 'tiny'",
        f"tiny --data gone {common} new": "--data 'gone' is not a folder",
        "tiny --data . --backbone gone --out new": "--backbone 'gone' is not a file",
        f"tiny --data . {common} out": "go on with its run by --resume",
        "tiny --data .": "required: --out",
        "tiny --data . --out new": "--backbone is missing",
    }.items():
        assert run("train", *line.split()) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert not (here / "new").exists()


def test_help_version_and_unknown_commands(here: Path, capsys: Any) -> None:
    assert run("--help") == 0
    assert "segment" in capsys.readouterr().out
    assert run() == 2
    assert run("--version") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("lexiseg ")
    assert run("segmnt", "a.png") == 2
    assert "did you mean 'segment'" in capsys.readouterr().err
    assert run("a.png", "red") == 2
    assert "for a picture: lexiseg segment" in capsys.readouterr().err
    for command in ("segment", "methods", "models", "info", "bench", "evaluate", "train"):
        assert run(command, "--help") == 0
        assert f"usage: lexiseg {command}" in capsys.readouterr().out


def python(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    source = str(Path(loading.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}
    return subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_is_quick_and_a_module_can_be_run(here: Path) -> None:
    code = (
        "import sys; from lexiseg.cli import main; main(['--help']); main(['segment']);"
        "print([m for m in ('torch', 'cv2') if m in sys.modules])"
    )
    ended = python("-c", code, cwd=here)
    assert ended.stdout.endswith("[]\n"), ended.stdout + ended.stderr
    ended = python("-m", "lexiseg", "segment", "gone.png", "sky", cwd=here)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "Traceback" not in ended.stderr


def test_a_reader_that_goes_away_is_no_error(here: Path) -> None:
    code = "import sys; from lexiseg.cli import main; sys.exit(main(['--help']))"
    source = str(Path(loading.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep(0.5); {code}"],
        cwd=here,
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
