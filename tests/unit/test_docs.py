"""The README and the docs: links, commands, lines of Python and generated parts are true."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import rows, tables
from docs.make import blocks, commands, curve, runs
from PIL import Image

import lexiseg
from lexiseg import errors, fields, loading
from lexiseg.checkpoints import names as checkpoint_names
from lexiseg.export import result_json
from lexiseg.masks import Masks
from lexiseg.results import Provenance, Segmentation, UnknownWord

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*blocks.pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
HELD = {path: path.read_text(encoding="utf-8") for path in PAGES}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
GENERATED = re.compile(r"<!-- (?:made|results): .*?<!-- end -->", re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
EXAMPLES = ("METHOD", "whole-image")  # no methods: a place holder; what a page shows how to add
NOT_RUN = re.compile(r"<!-- not run: [^>]+-->\n```python\n.*?^```", re.DOTALL | re.MULTILINE)


def fenced(text: str, *kinds: str) -> list[str]:
    """Return the blocks of code of some kinds."""
    return [body for kind, body in FENCE.findall(text) if kind in kinds]


def inline(text: str) -> list[str]:
    """Return the pieces of code inside lines."""
    return [piece.replace("\\|", "|") for piece in INLINE.findall(FENCE.sub("", text))]


def slugs(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    bare = (re.sub(r"[^\w\- ]", "", head.strip().lower()) for head in heads)
    return {head.replace(" ", "-") for head in bare}


def test_every_link_leads_somewhere():
    broken = []
    for page, text in HELD.items():
        for link in LINK.findall(FENCE.sub("", text)):
            target, _, anchor = link.partition("#")
            if "://" in target:
                continue
            path = page if not target else (page.parent / target).resolve()
            if not path.exists():
                broken.append(f"{page.name}: {link}")
            elif anchor and anchor not in slugs(path.read_text(encoding="utf-8")):
                broken.append(f"{page.name}: {link} (no such heading)")
    assert not broken


def words_of(line: str) -> list[str]:
    """Split a shell line; what stands behind a pipe, `&&` or `>` is left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    out = []
    for word in lexer:
        if set(word) <= set("|&;<>()"):
            break
        out.append(word)
    return out


def command_lines(text: str) -> list[list[str]]:
    """Return the arguments of every `lexiseg ...` in blocks of shell."""
    found = []
    for block in fenced(text, "bash", "sh", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            if not re.match(r"(\$ )?(\.venv/bin/)?lexiseg\b", line):
                continue
            found.append(words_of(line.removeprefix("$ "))[1:])
    return found


def inline_commands(text: str) -> list[list[str]]:
    """Return the arguments of every `lexiseg ...` inside a line, those with dots left out."""
    pieces = [one.replace(" [options]", "") for one in inline(text) if one.startswith("lexiseg ")]
    lines = [words_of(piece)[1:] for piece in pieces if "..." not in piece]
    # `lexiseg train tiny` names a command; what has options is a whole line.
    return [line if any(word.startswith("-") for word in line) else line[:1] for line in lines]


def check_command(arguments: list[str]) -> None:
    """Let the real parser read the arguments, and look at the names in them."""
    command, *rest = arguments
    if command in ("--version", "--help"):
        assert not rest
        return
    assert command in (*commands.COMMANDS, "COMMAND"), command
    if not rest or "--help" in rest:
        return
    found = vars(commands.parse(command, rest))
    method = found.get("method") or "dense"
    known = [one.name for one in loading.list_methods()] + list(checkpoint_names())
    if command in ("segment", "bench", "evaluate") and method not in EXAMPLES:
        assert method in known
        fields.overrides(found["settings"] or [], loading.config_class(method))
        preset, _, data_set = (found["preset"] or "").partition("@")
        (chosen,) = [one for one in loading.list_methods() if one.name == method] or [
            one for one in loading.list_methods() if one.name == "dense"
        ]
        assert not preset or preset in chosen.presets
        assert not data_set or data_set in chosen.data_sets[preset]
        encoder = found["encoder"]
        assert encoder is None or "/" in encoder or encoder in checkpoint_names()
    if command == "train":
        assert all("=" in setting for setting in found["settings"])


def test_every_command_parses():
    wrong = []
    for page, text in HELD.items():
        for arguments in [*command_lines(text), *inline_commands(text)]:
            try:
                check_command(arguments)
            except (errors.LexisegError, AssertionError) as error:
                wrong.append(f"{page.name}: lexiseg {shlex.join(arguments)}: {error}")
    assert wrong == []


def test_a_wrong_command_does_not_parse():
    with pytest.raises(errors.OptionError, match="there is no option '--treshold'"):
        check_command(["segment", "a.jpg", "dog", "--treshold", "0.3"])
    with pytest.raises(errors.UnknownName, match="min_share"):
        check_command(["segment", "a.jpg", "dog", "--set", "min_shar=1"])
    with pytest.raises(AssertionError):
        check_command(["segmnt", "a.jpg", "dog"])


@pytest.mark.slow
def test_settings_of_the_recipe_exist():
    from lexiseg.training.tiny import TinyRecipe

    pieces = [piece for text in HELD.values() for piece in inline(text)]
    lines = [line for text in HELD.values() for line in command_lines(text)]
    settings = [one.removeprefix("--set ") for one in pieces if re.match(r"--set \w+\.", one)]
    settings += [word for line in lines if line[:1] == ["train"] for word in line if "." in word]
    chosen = [one for one in settings if re.match(r"(text|vision)[\w.]*=", one)]
    assert chosen
    for one in chosen:
        fields.replaced(TinyRecipe(), [one])


def test_every_flag_exists():
    known = {"--help", "--version"}
    for name in commands.COMMANDS:
        for _, action in commands.options(commands.parser(name)):
            known.update(action.option_strings)
    others = {"--no-index", "--find-links", "--extra-index-url", "--wheel"}  # pip's
    others |= {"--network", "--gpus", "--user"}  # Docker's
    used = {
        flag
        for text in HELD.values()
        for piece in inline(text)
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", piece)
        if piece.startswith(("--", "lexiseg "))
    }
    assert used - known - others == set()


def pieces_of_python(text: str) -> list[str]:
    """Return blocks of Python, and the pieces inside lines that are Python about lexiseg."""
    out = fenced(text, "python")
    for piece in inline(text):
        if piece.startswith("lexiseg.") and "..." not in piece and "*" not in piece:
            out.append(piece)
    return out


def names_of(node: ast.AST) -> str:
    """Return "lexiseg.load" for its syntax tree, an empty string for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    inner = names_of(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{inner}.{node.attr}" if isinstance(node, ast.Attribute) and inner else ""


def test_names_of_the_package_exist():
    wrong = []
    for page, text in HELD.items():
        for piece in pieces_of_python(text):
            wrong += [f"{page.name}: {name}" for name in unknown_names(ast.parse(piece))]
    assert wrong == []


def unknown_names(tree: ast.AST) -> list[str]:
    """Return names of the package that do not exist, and fields that no Config has."""
    out = []
    arguments = set(inspect.signature(lexiseg.load).parameters)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and names_of(node).startswith("lexiseg."):
            out += [] if exists(names_of(node)) else [names_of(node)]
        if isinstance(node, ast.Call) and names_of(node.func) == "lexiseg.load":
            first = node.args[0] if node.args else ast.Constant("dense")
            if not isinstance(first, ast.Constant):  # a Config names its method
                continue
            method = first.value
            known = arguments | set(loading.config_class(method).__dataclass_fields__)
            out += [str(word.arg) for word in node.keywords if word.arg not in known]
    return out


def test_unknown_names_are_noticed():
    tree = ast.parse("lexiseg.laod('dense'); lexiseg.load('dense', min_shar=1); lexiseg.edit.blur")
    assert unknown_names(tree) == ["min_shar", "lexiseg.laod"]


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    thing = importlib.import_module(parts[0])
    for place, part in enumerate(parts[1:], start=2):
        try:
            thing = getattr(thing, part)
        except AttributeError:
            try:
                thing = importlib.import_module(".".join(parts[:place]))
            except ImportError:
                return False
    return True


def test_generated_blocks_have_makers():
    for page in blocks.pages():
        made = blocks.names(HELD[page])
        assert HELD[page].count("<!-- made: ") == len(made), page.name
        assert set(made) <= {*blocks.FACTS, *blocks.RUNS}, page.name
        for place in re.findall(r"<!-- results: (\S+) -->", HELD[page]):
            name, _, part = place.partition("/")
            row = rows.row(tables.row_of(name))
            assert callable(getattr(row, part or "table")), f"{page.name}: {place}"


def test_generated_facts_are_current():
    """In a process of its own: other tests register methods and data sets of theirs."""
    code = (
        "from docs.make import blocks\n"
        "for path in blocks.pages():\n"
        "    text = path.read_text(encoding='utf-8')\n"
        "    if blocks.fill(text, blocks.FACTS) != text:\n"
        "        print(path.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", "run: python -m docs.make text"


def test_numbers_are_generated():
    # 95 % names the intervals; every other share must come from a file of results.
    for page, text in HELD.items():
        if page.name == "results.md":
            continue  # generated whole, which test_benchmarks holds to the result files
        rest = FENCE.sub("", GENERATED.sub("", text))
        found = set(re.findall(r"\d+(?:\.\d+)? ?%", rest)) - {"95 %"}
        assert found == set(), page.name


def test_every_public_name_and_error_is_told_of():
    reference = HELD[ROOT / "docs" / "reference.md"]
    trouble = HELD[ROOT / "docs" / "how_to" / "troubleshoot.md"]
    for name in lexiseg.__all__:
        assert f"`lexiseg.{name}`" in reference
    for kind in errors.LexisegError.__subclasses__():
        below = [one for one in kind.__subclasses__() if not one.__subclasses__()] or [kind]
        for one in below:
            if one.__module__ == errors.__name__:  # others never leave their room
                assert one.__name__ in trouble + reference


def messages() -> list[str]:
    """Return every text in the source; what is filled in is a NUL."""
    out = []
    for path in sorted((ROOT / "src" / "lexiseg").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "\0" for p in node.values]
                out.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                out.append(node.value)
    return out


def test_the_errors_that_are_explained_are_those_of_the_code():
    trouble = HELD[ROOT / "docs" / "how_to" / "troubleshoot.md"]
    explained = re.findall(r"^\| (`.+?)(?: \|)", trouble, re.MULTILINE)
    assert len(explained) > 70
    source = "\1".join(messages())
    foreign = []
    for cell in explained:
        told = cell.replace("\\|", "|").replace("dataset.json", "...")  # filled in, in the code
        for line in re.findall(r"`([^`]+)`", told):
            for piece in filter(None, map(str.strip, re.split(r"\.\.\.|[;:] ", line))):
                plain = piece.strip("(),;:? ")
                if plain not in source:
                    foreign.append(f"{line!r}: {plain!r}")
    assert foreign == []


def test_every_environment_variable_is_told_of():
    reference = HELD[ROOT / "docs" / "reference.md"]
    for path in (ROOT / "src").rglob("*.py"):
        code = path.read_text(encoding="utf-8")
        for name in re.findall(r'environ(?:\.get\(|\[)"(\w+)"', code):
            assert f"`{name}`" in reference, f"{name} in {path}"


def test_every_key_of_result_json_is_told_of():
    seg = Segmentation(
        words=("dog", "unicorn"),
        labels=np.array(["dog"]),
        scores=np.array([0.5], np.float32),
        masks=Masks.from_dense(np.ones((1, 3, 5), np.bool_)),
        label_map=np.zeros((3, 5), np.int16),
        word_scores=np.array([0.5, 0], np.float32),
        unknown=(UnknownWord("unicorn", ("horse",), 0.4),),
        provenance=Provenance(method="dense", encoder="tiny"),
    )
    told = HELD[ROOT / "docs" / "reference.md"].partition("### result.json")[2]

    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    assert {key for key in keys(result_json(seg)) if f"`{key}`" not in told} == set()


def test_the_example_of_result_json_has_the_keys_of_one_in_their_order():
    page = HELD[ROOT / "docs" / "reference.md"].partition("### result.json")[2]
    example = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    seg = Segmentation(
        words=("dog",),
        labels=np.array(["dog"]),
        scores=np.array([0.5], np.float32),
        masks=Masks.from_dense(np.ones((1, 3, 5), np.bool_)),
        label_map=np.zeros((3, 5), np.int16),
        word_scores=np.array([0.5], np.float32),
        provenance=Provenance(method="dense", encoder="tiny"),
    )
    real = result_json(seg, path="../pets.jpg")
    assert list(example) == list(real)
    for key in ("image", "provenance"):
        assert list(example[key]) == list(real[key])
    for key in ("vocabulary", "instances"):
        assert list(example[key][0]) == list(real[key][0])
    told = re.findall(r"^\| `(\w+)` \|", page.partition("An example")[0], re.MULTILINE)
    assert told == [key for key in real if key != "schema_version"]


def test_pictures_are_small_and_described():
    for path in (ROOT / "docs" / "images").glob("*"):
        assert path.stat().st_size < 150_000, path.name
    for page, text in HELD.items():
        assert "![](" not in text, f"{page.name}: a picture without words for who cannot see it"


def test_the_training_curve_is_drawn(tmp_path, monkeypatch):
    log = tmp_path / "log.jsonl"
    lines = [{"step": s, "words": 3 / (s + 1), "accuracy": 0.2, "seconds": 2} for s in range(500)]
    log.write_text("\n".join(json.dumps(line) for line in [*lines, lines[7]]) + "\n")
    monkeypatch.setattr(curve, "LOG", log)
    monkeypatch.setattr(curve, "ROOT", tmp_path)
    monkeypatch.setattr(curve, "PICTURE", tmp_path / "images" / "training.svg")
    assert curve.draw() == [str(Path("images") / "training.svg")]
    assert [row["step"] for row in curve.read()] == list(range(500))
    drawn = (tmp_path / "images" / "training.svg").read_text()
    assert drawn.startswith("<svg ")
    assert drawn.count('stroke="#2b6cb0"') == 2
    assert "500 steps, 2.00 s each (median)" in curve.text()
    assert "20.0 % of the points" in curve.text()


def test_means_and_ticks():
    points = [(float(x), float(x % 2)) for x in range(10)]
    assert curve.means(points, most=5) == [(2 * k + 0.5, 0.5) for k in range(5)]
    assert curve.means(points, most=10) == points
    assert curve.ticks(0, 6000) == [0, 2000, 4000, 6000]
    assert curve.ticks(0.93, 3.9) == [0, 1, 2, 3, 4]
    assert curve.ticks(1, 1)[0] <= 1 <= curve.ticks(1, 1)[-1]


# With the bundled model


def alike(printed: str, said: str) -> bool:
    """Whether two texts agree in words, and in numbers as far as processors may differ."""
    number = re.compile(r"\d+(?:\.\d+)?")
    if number.sub("#", printed) != number.sub("#", said):
        return False
    pairs = zip(number.findall(printed), number.findall(said), strict=True)
    return all(abs(float(one) - float(other)) <= 1 for one, other in pairs)


def test_alike_texts():
    assert alike("dog: 9% of it\n", "dog: 10% of it\n")
    assert not alike("dog: 9% of it\n", "dog: 19% of it\n")
    assert not alike("dog: 9% of it\n", "cat: 9% of it\n")


@pytest.mark.slow
def test_the_readme_prints_what_it_says(tmp_path):
    said = re.search(r"made: readme-prints -->\n```text\n(.*?)```", HELD[ROOT / "README.md"], re.S)
    printed = runs.run_python(runs.readme_python(), tmp_path)
    assert said is not None
    assert alike(printed, said[1]), f"run: python -m docs.make\n{printed}"
    assert (tmp_path / "pets.png").is_file()


RUN = {
    page: held
    for page, text in HELD.items()
    if page.name != "README.md" and (held := fenced(NOT_RUN.sub("", text), "python"))
}


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_python_runs(page, tmp_path, monkeypatch):
    photo = Image.open(ROOT / "examples" / "photos" / "pets.jpg").resize((256, 215))
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "photos/one.jpg"):
        photo.save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in RUN[page]:
        exec(compile(block, str(page), "exec"), names)
    if page.name == "many-pictures.md":
        assert json.loads((tmp_path / "instances.json").read_text())["images"]
