"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
MODULES = sorted((SOURCE / "lexiseg").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# Rooms that are made of torch, and the steps of a method, which its segmenter imports when it is
# called; every other module must load without it.
OF_TORCH = (
    "lexiseg.models.", "lexiseg.stages.", "lexiseg.training.",
    "lexiseg.methods.clip_then_sam.steps.",
)  # fmt: skip
# And of FastAPI: its package tells which extra is missing, and imports them when one is there.
OF_SERVER = tuple(
    f"lexiseg.server.{name}."
    for name in (
        "app",
        "archive",
        "connections",
        "engine",
        "metrics",
        "requests",
        "responses",
        "security",
        "video_requests",
        "video_routes",
        "videos",
        "workers",
    )
)


def name_of(path: Path) -> str:
    """Return the import name of a source file."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = [name_of(path) for path in MODULES if path.name != "__main__.py"]
CODE = {path: path.read_text(encoding="utf-8") for path in MODULES}
LONGEST = 400


def python(code: str, *arguments: str) -> str:
    """Run code in a fresh Python that sees the source, and return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "default"}
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout


# Imports are light, and change nothing


def test_importing_lexiseg_loads_little() -> None:
    """What takes long is what is loaded, which any machine counts alike."""
    code = "import sys, lexiseg; print(*sys.modules)"
    loaded = python(code).split()
    assert not {"torch", "numpy", "cv2", "PIL", "transformers", "huggingface_hub"} & set(loaded)
    assert len([name for name in loaded if name.partition(".")[0] == "lexiseg"]) <= 5
    assert len(loaded) - len(python("import sys; print(*sys.modules)").split()) <= 100


@pytest.mark.slow
def test_importing_lexiseg_takes_no_time_to_speak_of() -> None:
    code = "import time; t = time.perf_counter(); import lexiseg; print(time.perf_counter() - t)"
    assert min(float(python(code)) for _ in range(5)) < 2


LOAD = "import importlib, json, sys; [importlib.import_module(n) for n in json.loads(sys.argv[1])];"


def test_only_the_rooms_of_torch_import_it() -> None:
    light = [name for name in NAMES if not f"{name}.".startswith((*OF_TORCH, *OF_SERVER))]
    heavy = ("torch", "cv2", "transformers", "gradio", "fastapi")
    code = f"{LOAD} print([name for name in {heavy!r} if name in sys.modules])"
    assert python(code, json.dumps(light)).strip() == "[]"


STATE = """
import locale, logging, os, random, signal, sys, threading, warnings
import cv2, numpy, PIL.Image, PIL.ImageFile, torch

def state():
    return {
        "warning filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "excepthook": sys.excepthook,
        "recursion limit": sys.getrecursionlimit(),
        "log level": logging.root.level,
        "log handlers": list(logging.root.handlers),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "threads": threading.active_count(),
        "random": random.getstate(),
        "numpy random": repr(numpy.random.get_state()),
        "numpy errors": numpy.geterr(),
        "numpy printing": {k: v for k, v in numpy.get_printoptions().items()},
        "pixel limit": PIL.Image.MAX_IMAGE_PIXELS,
        "truncated": PIL.ImageFile.LOAD_TRUNCATED_IMAGES,
        "opencv threads": cv2.getNumThreads(),
        "torch random": torch.get_rng_state().tolist(),
        "torch threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch dtype": torch.get_default_dtype(),
        "torch device": torch.get_default_device(),
        "torch gradients": torch.is_grad_enabled(),
        "torch precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
    }
"""


def test_importing_changes_nothing_and_never_loads_transformers() -> None:
    code = f"""{STATE}
before = state()
{LOAD}
after = state()
print([name for name in before if before[name] != after[name]])
print([name for name in ("transformers", "diffusers", "timm") if name in sys.modules])
"""
    assert python(code, json.dumps(NAMES)).split("\n") == ["[]", "[]", ""]


# Files


def test_a_file_is_one_idea_up_to_400_lines(record_property: Callable[[str, Any], None]) -> None:
    lengths = {name_of(path): len(text.splitlines()) for path, text in CODE.items()}
    record_property("files", len(lengths))
    record_property("median lines", int(median(lengths.values())))
    record_property("longest", max(lengths.values()))
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_a_file_belongs_to_a_package() -> None:
    # Import contracts, mypy and the wheel see real packages only.
    assert [name_of(p) for p in MODULES if not (p.parent / "__init__.py").is_file()] == []


def test_nothing_is_unfinished_or_hidden() -> None:
    marks = r"NotImplementedError|\bTODO|\bFIXME|\bXXX|no cover|except( Base| )?Exception: *pass"
    hits = {name_of(path): re.search(marks, text) for path, text in CODE.items()}
    assert {name: hit[0] for name, hit in hits.items() if hit} == {}


def tracked() -> list[Path]:
    """Return the files that belong to the project: git's, or all where there is no git."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode == 0 and listing.stdout:
        paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        places = ("src", "tests", "benchmarks", "docs", "examples")
        paths = [path for place in places for path in (ROOT / place).rglob("*")]
    return [path for path in paths if path.is_file()]


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    # The brackets keep this very line from matching.
    path_of_a_machine = re.compile(
        rb"(?<![\w.])/(?:[h]ome/\w+|[U]sers/\w+|[r]oot|[o]pt|[w]ork)/|[C]:\\Users\\"
    )
    found = {}
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content[:8192] and (hit := path_of_a_machine.search(content)):
            found[path.relative_to(ROOT).as_posix()] = hit[0]
    assert found == {}


# Public names


def bound(tree: ast.Module) -> set[str]:
    """Return the names that a module's top level binds, imports included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def wrong_names(path: Path) -> set[str]:
    """Return what __all__ has too much, too little or twice; nothing where it is not declared."""
    tree = ast.parse(CODE[path])
    declared = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and [ast.unparse(target) for target in node.targets] == ["__all__"]
    ]
    if not declared:
        return set()
    (names,) = declared
    public = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    }
    wrong = {name for name in names if names.count(name) > 1} | (public - set(names))
    if path != SOURCE / "lexiseg" / "__init__.py":  # its names resolve when they are asked for
        wrong |= set(names) - bound(tree)
    return wrong


def test_all_is_exact_where_it_is_declared() -> None:
    assert {name_of(path): wrong for path in MODULES if (wrong := wrong_names(path))} == {}


def test_tests_leave_the_caches_of_the_user_alone() -> None:
    from lexiseg.checkpoints import cache_folder

    assert cache_folder().resolve().is_relative_to(Path(tempfile.gettempdir()).resolve())


def test_every_public_name_of_the_root_is_there() -> None:
    import lexiseg

    names: list[str] = getattr(lexiseg, "__all__", [])
    assert [name for name in names if not hasattr(lexiseg, name)] == []
    assert set(names) <= set(dir(lexiseg))


def test_packages_are_packages_and_functions_functions() -> None:
    code = """
import lexiseg
import lexiseg.evaluation, lexiseg.checkpoints.store, lexiseg.methods.dense, lexiseg.prompts
from lexiseg.loading import list_methods
assert lexiseg.list_methods() == list_methods()
assert lexiseg.methods.dense.SUMMARY in {method.summary for method in lexiseg.list_methods()}
assert {record.name for record in lexiseg.list_checkpoints()} == set(lexiseg.checkpoints.names())
assert lexiseg.evaluate is lexiseg.evaluation.evaluate
print("fine")
"""
    assert python(code) == "fine\n"


# Import contracts


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-logo", "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
    )


# That they are kept is what `make lint` checks; here, that a breach would be noticed.
def test_broken_import_contracts_are_noticed(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(SOURCE, tmp_path / "src", ignore=shutil.ignore_patterns("weights"))
    broken = {
        "stages/_a.py": "def f():\n    import lexiseg.models.b\n",
        "models/b.py": "import lexiseg.methods.c\n",
        "methods/c.py": "import transformers\n",
        "methods/d.py": "import lexiseg.methods.c\n",
        "_newroom.py": "import diffusers\n",
    }
    for name, text in broken.items():
        path = tmp_path / "src" / "lexiseg" / name
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    run = lint_imports(tmp_path)
    assert run.returncode == 1
    for complaint in (
        "lexiseg.models is not allowed to import lexiseg.methods",
        "lexiseg.stages._a -> lexiseg.models.b",
        "lexiseg.methods.c -> transformers",
        "lexiseg.methods.d -> lexiseg.methods.c",
        "lexiseg._newroom -> diffusers",
        "- lexiseg._newroom",
    ):
        assert complaint in run.stdout


# Packaging


def test_the_constraints_pin_every_requirement_within_its_range() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[name] = version
    extras = PROJECT["project"]["optional-dependencies"]
    required = [*PROJECT["project"]["dependencies"], *extras["test"], *extras["lint"]]
    for requirement in map(Requirement, [*required]):
        if requirement.name == "lexiseg":  # extras with which the tests come
            required += [one for extra in requirement.extras for one in extras[extra]]
    for requirement in map(Requirement, required):
        if requirement.name == "lexiseg":
            continue
        assert requirement.name in pins
        assert requirement.specifier.contains(pins[requirement.name])
