"""Screenshots of the page: a browser does there what the docs tell of. Left out without one."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from docs.make.pictures import PHOTOS, ROOT, save
from PIL import Image

_WAIT = 60_000  # milliseconds
_DESK = {"width": 1040, "height": 640}
_PHONE = {"width": 390, "height": 780}


def draw() -> list[str]:
    """Draw all screenshots; return their names. None where no browser is there."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None or find_spec("playwright") is None:
        sys.stderr.write("screenshots left out: install Chromium, and playwright from PyPI\n")
        return []
    from playwright.sync_api import sync_playwright

    shots: dict[str, tuple[Callable[[Any], None], dict[str, int], str]] = {
        "page-found": (_found, _DESK, "light"),
        "page-points": (_points, _DESK, "light"),
        "page-compare": (_compare, _DESK, "light"),
        "page-video": (_video, _DESK, "light"),
        "page-phone": (_phone, _PHONE, "dark"),
    }
    with _serving() as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, (act, size, scheme) in shots.items():
            context = chromium.new_context(viewport=size, color_scheme=scheme)
            page = context.new_page()
            page.goto(address)
            page.wait_for_selector("#operation option", state="attached", timeout=_WAIT)
            act(page)
            page.evaluate("document.activeElement.blur()")
            page.wait_for_timeout(400)
            pixels = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            save(name, np.asarray(pixels))
            context.close()
        chromium.close()
    return [f"docs/images/{name}.jpg" for name in shots]


@contextmanager
def _serving() -> Iterator[str]:
    """Yield the address of a page."""
    command = [sys.executable, "-m", "lexiseg", "ui", "--no-browser", "--port", "0", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None, "lexiseg ui did not start"
        yield found[0]
    finally:
        process.terminate()
        process.wait(60)


def _open(page: Any, photo: str, words: str | None = None) -> None:
    page.set_input_files("#files", PHOTOS / f"{photo}.jpg")
    page.wait_for_selector("#strip img", timeout=_WAIT)
    if words is not None:
        page.fill("#words", words)
        page.press("#words", "Enter")
        page.wait_for_selector("#list .name", timeout=_WAIT)
        _settled(page)


def _settled(page: Any) -> None:
    page.wait_for_function(
        "!document.getElementById('status').textContent.startsWith('Working')", timeout=_WAIT
    )


def _at(page: Any, x: float, y: float) -> tuple[float, float]:
    box = page.locator("#marks").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def _found(page: Any) -> None:
    """Masks by words; the one under the pointer lights up."""
    _open(page, "cows", "cow; grass; tree; sky")
    page.mouse.move(*_at(page, 0.3, 0.75))


def _points(page: Any) -> None:
    """A thing by a click, corrected by a click on what is not meant."""
    _open(page, "cows")
    page.keyboard.press("p")
    page.mouse.click(*_at(page, 0.3, 0.7))
    page.wait_for_selector("#list .name", timeout=_WAIT)
    _settled(page)
    page.keyboard.down("Alt")
    page.mouse.click(*_at(page, 0.36, 0.85))
    page.keyboard.up("Alt")
    page.wait_for_timeout(200)
    _settled(page)
    page.mouse.move(5, 5)


def _compare(page: Any) -> None:
    """What was removed, beside what was there."""
    _open(page, "cows", "cow; grass; tree; sky")
    page.locator("#list .name", has_text="cow").first.click()
    page.select_option("#operation", "remove")
    page.locator("#edit button[type=submit]").click()
    page.wait_for_selector("#compare-row:not([hidden])", timeout=_WAIT)
    page.locator("#compare").fill("0.28")
    page.locator("#compare").scroll_into_view_if_needed()


def _video(page: Any) -> None:
    """What words name is followed through a video: a window that moves over a photo."""
    import av

    photo = np.asarray(Image.open(PHOTOS / "pets.jpg").convert("RGB"))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pets.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.height, stream.width, stream.pix_fmt = 320, 440, "yuv420p"
            for n in range(12):
                part = np.ascontiguousarray(photo[50 + n : 370 + n, 6 * n : 6 * n + 440])
                frame = av.VideoFrame.from_ndarray(part, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        page.click("#mode-video")
        page.set_input_files("#video-file", path)
        page.locator("#when", has_text="of 12").wait_for(timeout=_WAIT)
        _settled(page)
        page.fill("#words", "dog")
        page.press("#words", "Enter")
        page.wait_for_selector("#list .name", timeout=_WAIT)
        _settled(page)
    page.locator("#scrub").fill("8")
    page.wait_for_timeout(400)


def _phone(page: Any) -> None:
    """The same on a narrow screen, in the dark."""
    _open(page, "pets", "dog; grass")
