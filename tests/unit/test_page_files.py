"""The page's own files: every text is in the table and used, every import leads to a file."""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parents[2] / "src" / "lexiseg" / "web" / "static"
CODE = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
PAGE = (STATIC / "index.html").read_text(encoding="utf-8")
TABLE = CODE["strings.js"].partition("const english = {")[2].partition("\n};")[0]
KEYS = set(re.findall(r"^  (\w+): ", TABLE, re.MULTILINE))
USERS = "\n".join([PAGE, *(code for name, code in CODE.items() if name != "strings.js")])


def test_texts_are_in_the_table():
    asked = set(re.findall(r'\btext\("(\w+)"', USERS))
    asked |= set(re.findall(r'data-(?:text|title|placeholder)="(\w+)"', USERS))
    assert len(asked) > 50
    assert asked - KEYS == set()


def test_every_text_is_used():
    words = set(re.findall(r"\w+", USERS))
    tools = {f"tool{name.title()}" for name in words}  # of the toolbar, put together there
    assert KEYS - words - tools == set()


def test_modules_and_elements_that_are_named_exist():
    for name, code in CODE.items():
        assert len(code.splitlines()) <= 400, name
        for wanted, place in re.findall(r'import (.+?) from "\./([\w.]+)"', code):
            for one in re.findall(r"\{(.+)\}", wanted):
                for symbol in (part.split(" as ")[0].strip() for part in one.split(",")):
                    made = (
                        rf"export (?:async )?(?:const|let|function|class) {re.escape(symbol)}(?!\w)"
                    )
                    assert re.search(made, CODE[place]), f"{name}: {symbol} of {place}"
        for element in re.findall(r'\$\("([\w-]+)"\)', code):
            assert f'id="{element}"' in PAGE, f"{name}: #{element}"
