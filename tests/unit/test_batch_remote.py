"""Pictures and results at addresses: what is listed, read, sent; what a store's error becomes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tests.unit.test_batch_run import WORDS, here, results, rows, run

import lexiseg
from lexiseg.batch.ray_workers import check_address
from lexiseg.batch.remote import select_remote
from lexiseg.errors import ExtraMissing, LexisegError, OptionError, OutputError, PictureError

pytest.importorskip("fsspec", reason="the extra [ray] is not installed")
__all__ = ["here"]


def test_a_remote_folder_is_listed_as_one_here(here: Path) -> None:
    (here / "in" / ".hidden").mkdir()
    (here / "in" / ".hidden" / "a.png").touch()
    (here / "in" / "notes.txt").touch()
    url = (here / "in").as_uri()
    found = [one.path.removeprefix(url) for one in select_remote(url)]
    assert len(found) == 12
    assert found[:2] == ["/0.bmp", "/0.png"]
    assert [one.path for one in select_remote(f"{url}/deep/1*.png")] == [
        f"{url}/deep/1.png", f"{url}/deep/10.png",
    ]  # fmt: skip
    (single,) = select_remote(f"{url}/0.png")
    assert single.root == url
    with pytest.raises(PictureError, match="holds no pictures"):
        select_remote(f"{url}/none")


def test_results_are_sent_and_a_run_goes_on_from_there(here: Path) -> None:
    run("in", "whole", WORDS)
    url, store = (here / "in").as_uri(), (here / "out").as_uri()
    first = run(url, store, WORDS, shard=(1, 2))
    assert (first.done, first.waiting) == (6, 6)
    last = run(url, store, WORDS)
    assert (last.done, last.earlier) == (6, 6)
    assert results(here / "out").keys() == results(here / "whole").keys()
    listed = {row["picture"].removeprefix(url): row for row in rows(here / "out" / "pictures.csv")}
    assert listed["/deep/1.png"]["folder"] == "deep/1"


def test_what_is_told_names_addresses(here: Path) -> None:
    (here / "in" / "bad.png").write_text("no picture")
    url, store = (here / "in").as_uri(), (here / "out").as_uri()
    result = run(url, store, WORDS)
    ((name, error),) = result.failed
    assert name == f"{url}/bad.png"
    assert error.startswith(f"{name!r} is not a picture")
    assert result.out == store
    (here / "table.csv").write_text("words\ndog\n")
    table = (here / "table.csv").as_uri()
    with pytest.raises(LexisegError, match=f"^{re.escape(repr(table))}|{re.escape(table)}"):
        run(table, "out2", WORDS)


def test_an_edit_of_a_local_picture_is_sent(here: Path) -> None:
    run("in/deep/1.png", (here / "out").as_uri(), operation="blur red --radius 2")
    assert "1-blur.png" in results(here / "out")


def test_what_a_store_lacks_is_one_line(here: Path) -> None:
    with pytest.raises(ExtraMissing, match="pip install"):
        select_remote("adl://bucket/in")
    with pytest.raises(PictureError, match="no store that is known"):
        select_remote("nothing://bucket/in")
    (here / "file").touch()
    with pytest.raises(OutputError, match="cannot be reached"):
        run("in", (here / "file" / "out").as_uri(), WORDS)
    with pytest.raises(OptionError, match="lexiseg convert"):
        run("in", (here / "out").as_uri(), WORDS, formats=("coco",))


def test_without_ray_the_extra_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    config = lexiseg.config_class("dense")()
    with pytest.raises(ExtraMissing, match=r"pip install 'lexiseg\[ray\]'"):
        lexiseg.run_batch(config, "in", "out", WORDS, ray="local")
    with pytest.raises(OptionError, match="load the method themselves"):
        run("in", "out", WORDS, ray="local")


@pytest.mark.parametrize("address", ["local", "auto", "10.0.0.1:6379", "ray://head:10001"])
def test_addresses_of_ray(address: str) -> None:
    check_address(address)
    with pytest.raises(OptionError, match="--ray last"):
        check_address("photos")
