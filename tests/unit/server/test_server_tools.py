"""The tools for agents, called as an agent calls them: by a client over the protocol."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from lexiseg import imaging

mcp = pytest.importorskip("mcp")


@pytest.fixture
def folder(tmp_path) -> Path:
    shutil.copy("examples/photos/cows.jpg", tmp_path)
    (tmp_path.parent / "outside.jpg").write_bytes(b"secret")
    return tmp_path


def call(folder: Path, tool: str, **arguments):
    from lexiseg.server.tools import mcp_server

    async def answer():
        async with mcp.Client(mcp_server(folder)) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(answer())


def test_a_picture_is_described_segmented_and_edited(folder):
    told = call(folder, "describe", picture="cows.jpg").structured_content
    assert (told["width"], told["height"]) == (528, 352)
    assert "grass" in {one["word"] for one in told["things"]}
    found = call(folder, "segment", picture="cows.jpg", words="cow; grass").structured_content
    assert {"cow", "grass"} <= found["found"].keys()
    assert all((folder / name).is_file() for name in found["files"].values())
    edited = call(
        folder, "edit", picture="cows.jpg", operation="blur", words="cow"
    ).structured_content
    before = imaging.read(folder / "cows.jpg").rgb
    changed = (imaging.read(folder / edited["file"]).rgb != before).any(2).mean()
    assert 0 < changed < 0.5


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("segment", {"picture": "../outside.jpg", "words": "cow"}, "leads out"),
        ("segment", {"picture": "cow.jpg", "words": "cow"}, "cows.jpg"),
        ("segment", {"picture": "cows.jpg", "words": "cow", "out": "cows.jpg"}, "not overwritten"),
        ("edit", {"picture": "cows.jpg", "operation": "explode", "words": "cow"}, "explode"),
        (
            "edit",
            {"picture": "cows.jpg", "operation": "blur", "words": "cow", "with_": "red"},
            "takes no with",
        ),
        ("edit", {"picture": "cows.jpg", "operation": "blur", "words": "zebra"}, "nothing found"),
    ],
)
def test_an_agent_is_told_what_was_wrong(folder, tool, arguments, message):
    answer = call(folder, tool, **arguments)
    assert answer.is_error
    assert message in answer.content[0].text
    assert (folder / "cows.jpg").read_bytes() == Path("examples/photos/cows.jpg").read_bytes()
    assert {one.name for one in folder.iterdir()} == {"cows.jpg"}


def test_the_command_speaks_the_protocol(folder):
    async def tools():
        parameters = mcp.StdioServerParameters(
            command=sys.executable,
            args=["-m", "lexiseg", "mcp", "--folder", str(folder)],
            env=dict(os.environ),
        )
        async with mcp.Client(mcp.stdio_client(parameters)) as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    assert asyncio.run(tools()) == ["describe", "segment", "edit"]
