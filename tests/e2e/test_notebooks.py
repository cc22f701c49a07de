"""The notebooks in examples/ run with the bundled model, and what is kept of them is small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks need nbclient: lexiseg[test]")
pytest.importorskip("ipykernel", reason="notebooks need a kernel: lexiseg[test]")

from docs.make import notebooks  # noqa: E402

PATHS = notebooks.paths()
IDS = [path.stem for path in PATHS]


def pictures(notebook: Any) -> list[str]:
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    return [one["data"]["image/jpeg"] for one in outputs if "image/jpeg" in one.get("data", {})]


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_what_is_kept_is_whole_and_small(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 400_000
    assert pictures(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert notebook.cells[0].source.startswith("# ")
    text = path.read_text("utf-8")
    assert "/home/" not in text
    assert "/tmp" not in text
    assert "Traceback" not in text


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    made = notebooks.run(path, tmp_path)
    kept = nbformat.read(path, as_version=4)
    assert len(pictures(made)) == len(pictures(kept))
    assert not [
        p.name for p in notebooks.FOLDER.iterdir() if p not in (*PATHS, notebooks.FOLDER / "photos")
    ]
