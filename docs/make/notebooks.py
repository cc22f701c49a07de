"""The notebooks in examples/: run with the bundled model, what they print and show is kept."""

from __future__ import annotations

import base64
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

__all__ = ["FOLDER", "paths", "run", "update"]

FOLDER = Path(__file__).resolve().parents[2] / "examples"
_WIDTH, _QUALITY = 720, 80  # of the pictures that are kept
_SECONDS = 600  # that a cell may take


def paths() -> list[Path]:
    """Return the notebooks in the order in which they are read."""
    return sorted(FOLDER.glob("*.ipynb"))


def run(path: Path, folder: Path) -> Any:
    """Return a notebook with its outputs, run in a folder that gets a link to the photos.

    Raises nbclient's CellExecutionError where a cell fails.
    """
    (folder / "photos").symlink_to(FOLDER / "photos")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=_SECONDS, kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    # Nothing of the user's own IPython, and no folder of theirs.
    own = {"IPYTHONDIR": str(folder / ".ipython"), "JUPYTER_RUNTIME_DIR": str(folder / ".run")}
    client.execute(env={**os.environ, **own})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        for output in cell.get("outputs", []):
            _shrink(output)
    return notebook


def _shrink(output: Any) -> None:
    """Keep pictures as small JPEG files."""
    data = output.get("data", {})
    if "image/png" not in data:
        return
    picture = Image.open(io.BytesIO(base64.b64decode(data.pop("image/png")))).convert("RGB")
    picture.thumbnail((_WIDTH, _WIDTH))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    data["image/jpeg"] = base64.b64encode(file.getvalue()).decode()
    data.pop("text/plain", None)  # it holds an address in memory


def update() -> list[str]:
    """Run all notebooks and write their outputs into them; return their names."""
    for path in paths():
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(path, Path(folder))
        nbformat.write(notebook, path)
    return [f"examples/{path.name}" for path in paths()]
