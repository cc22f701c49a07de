from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lexiseg.errors import OptionError, UnknownName
from lexiseg.registry import Registry


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two public modules and a private one, each of which explodes on import."""
    package = tmp_path / "some_methods"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name in ("dense", "clip_then_sam", "_common"):
        (package / f"{name}.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("some_methods", None)


def install(folder: Path, name: str, entry_points: str) -> None:
    """Lay out what pip leaves of a package with these entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def test_a_name_stands_for_an_attribute_or_a_module() -> None:
    table: Registry[object] = Registry("tool")
    table.register("join", "posixpath:join")
    table.register("path", "posixpath")
    import posixpath

    assert table.get("join") is posixpath.join
    assert table.get("path") is posixpath
    assert table.names() == ("join", "path")
    assert "join" in table
    assert "split" not in table


def test_registering_imports_nothing() -> None:
    table: Registry[object] = Registry("tool")
    sys.modules.pop("this", None)
    table.register("zen", "this:s")
    assert "this" not in sys.modules


def test_a_taken_name_is_refused_and_the_first_stays() -> None:
    table: Registry[object] = Registry("method")
    table.register("dense", "posixpath:join")
    with pytest.raises(OptionError, match=r"'dense' is taken by posixpath:join.*other:thing"):
        table.register("dense", "other:thing")
    assert callable(table.get("dense"))


def test_an_unknown_name_suggests_the_nearest() -> None:
    table: Registry[object] = Registry("method")
    table.register("clip-then-sam", "a:b")
    table.register("dense", "a:c")
    with pytest.raises(UnknownName, match=r"no method is named 'dens'; did you mean 'dense'\?"):
        table.get("dens")


def test_discovery_finds_public_modules_without_importing_them(plugins: Path) -> None:
    table: Registry[object] = Registry("method")
    table.discover("some_methods", attribute="Method")
    assert table.names() == ("clip-then-sam", "dense")
    assert not [name for name in sys.modules if name.startswith("some_methods.")]
    with pytest.raises(RuntimeError, match="imported"):
        table.get("dense")


def test_discovery_adds_the_entry_points_of_other_packages(plugins: Path) -> None:
    install(plugins, "extra", "[some.methods]\nmine = posixpath:join\n[other]\nnot = a:b\n")
    table: Registry[object] = Registry("method")
    table.discover("some_methods", group="some.methods")
    assert table.names() == ("clip-then-sam", "dense", "mine")
    import posixpath

    assert table.get("mine") is posixpath.join


def test_an_entry_point_cannot_take_a_name_of_ours(plugins: Path) -> None:
    install(plugins, "rude", "[some.methods]\ndense = rude:Dense\n")
    table: Registry[object] = Registry("method")
    with pytest.raises(OptionError, match=r"'dense' is taken.*rude:Dense"):
        table.discover("some_methods", group="some.methods")
