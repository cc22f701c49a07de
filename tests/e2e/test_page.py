"""The page in a browser: what a person does there, by mouse and by keyboard."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lexiseg import imaging
from lexiseg.edit.operations.style import STYLES

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

expect = playwright.expect
ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "photos"
WAIT = 60_000  # milliseconds


@pytest.fixture(scope="module")
def address():
    """A server with the page, started as a user does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lexiseg", "ui", "--no-browser", "--port", "0", "--quiet"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "http_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield re.search(r"http://\S+", process.stdout.readline())[0]
    finally:
        process.terminate()
        assert process.wait(60) == 0
        process.stdout.close()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        one = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield one
        one.close()


@pytest.fixture
def page(browser, address):
    """A page whose every request goes to the server, and that raises nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: check(request.url))

    def check(url: str) -> None:
        if not url.startswith((address, "blob:", "data:")):
            wrong.append(f"asked {url}")

    page.goto(address)
    page.wait_for_selector("#samples button")
    page.wait_for_selector("#operation option", state="attached")
    yield page
    context.close()
    assert wrong == []


def open_photo(page, *names: str) -> None:
    page.set_input_files("#files", [PHOTOS / name for name in names])
    page.wait_for_selector("#strip img")


def finished(page) -> None:
    """Wait until what is under way has come to an end."""
    expect(page.locator("#status")).to_have_text(re.compile("^Masks: "), timeout=WAIT)


def find(page, words: str) -> None:
    page.fill("#words", words)
    page.press("#words", "Enter")
    finished(page)


def names(page) -> list[str]:
    texts = page.locator("#list .name").all_inner_texts()
    return [text.split("\n")[0] for text in texts]


def at(page, x: float, y: float) -> tuple[float, float]:
    """Where on the screen a place of the photo is, in parts of its sides."""
    box = page.locator("#marks").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def test_words_hover_click_and_correct(page):
    open_photo(page, "cows.jpg")
    find(page, "cow; grass; sky")
    found = names(page)
    assert {"cow", "grass"} <= set(found)
    # The grass under the pointer lights up, in the photo and in the list.
    page.mouse.move(*at(page, 0.5, 0.95))
    expect(page.locator("#list li.hovered")).to_have_count(1)
    assert "grass" in page.locator("#list li.hovered").inner_text()
    page.mouse.click(*at(page, 0.5, 0.95))
    expect(page.locator("#list li.selected")).to_have_count(1)
    # A corrected mask keeps its name, and stays whatever is asked next.
    page.keyboard.press("e")
    page.mouse.move(*at(page, 0.4, 0.95))
    page.mouse.down()
    page.mouse.move(*at(page, 0.6, 0.95), steps=4)
    page.mouse.up()
    expect(page.locator("#list")).to_contain_text("corrected by hand")
    find(page, "tree")
    after = names(page)
    assert "grass" in after
    assert "cow" not in after
    page.keyboard.press("Escape")
    page.locator("#frame").focus()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert names(page) == found


def test_points_boxes_and_examples(page):
    open_photo(page, "cows.jpg")
    page.keyboard.press("p")
    page.mouse.click(*at(page, 0.5, 0.95))
    expect(page.locator("#list .name")).to_have_count(1, timeout=WAIT)
    page.keyboard.press("v")
    page.keyboard.press("Escape")
    page.mouse.click(*at(page, 0.02, 0.02))  # nothing selected
    page.keyboard.press("b")
    page.mouse.move(*at(page, 0.2, 0.5))
    page.mouse.down()
    page.mouse.move(*at(page, 0.45, 0.9), steps=3)
    page.mouse.up()
    expect(page.locator("#list .name")).to_have_count(2, timeout=WAIT)
    page.keyboard.press("l")
    page.mouse.move(*at(page, 0.5, 0.85))
    page.mouse.down()
    page.mouse.move(*at(page, 0.7, 0.98), steps=3)
    page.mouse.up()
    finished(page)


def test_more_like_the_selected_in_another_photo(page):
    open_photo(page, "cows.jpg", "cows.jpg")
    find(page, "cow; grass; sky")
    expect(page.locator("#like-this")).to_be_disabled()
    page.locator("#list .name", has_text="grass").first.click()
    before = names(page)
    page.click("#like-this")
    page.locator("#strip button.photo").nth(1).click()
    expect(page.locator("#list .name").first).to_contain_text("grass", timeout=WAIT)
    page.locator("#strip button.photo").nth(0).click()
    assert names(page) == before  # looked for elsewhere


def test_edits_are_compared_and_undone(page, tmp_path):
    open_photo(page, "cows.jpg")
    find(page, "cow; grass; sky")
    page.locator("#list .name", has_text="cow").first.click()
    page.select_option("#operation", "style")
    assert page.locator("#with-kind option").all_inner_texts() == [*STYLES, "Words"]
    page.select_option("#with-kind", "withWords")
    expect(page.locator("#with-missing")).to_contain_text("lexiseg models pull")
    page.locator("#edit button[type=submit]").click()
    expect(page.locator("#status.bad")).to_contain_text("lexiseg models pull")
    page.select_option("#operation", "recolour")
    page.locator("#edit button[type=submit]").click()
    expect(page.locator("#compare-row")).to_be_visible(timeout=WAIT)
    expect(page.locator("#show-masks")).not_to_be_checked()  # what was made is to be seen
    with page.expect_download() as caught:
        page.click("#download-picture")
    edited = imaging.read(shutil.copy(caught.value.path(), tmp_path / "edited.png")).rgb
    before = imaging.read(PHOTOS / "cows.jpg").rgb
    assert edited.shape == before.shape
    assert 0 < (edited != before).any(2).mean() < 0.5
    page.locator("#frame").focus()
    page.keyboard.press("Control+z")
    expect(page.locator("#compare-row")).to_be_hidden()


def test_projects_and_annotations_are_saved_and_opened(page, tmp_path):
    open_photo(page, "cows.jpg", "street.jpg")
    find(page, "cow; grass")
    found = names(page)
    with page.expect_download() as caught:
        page.click("#save")
    project = Path(shutil.copy(caught.value.path(), tmp_path / "my.lexiseg.zip"))
    assert caught.value.suggested_filename == "cows.lexiseg.zip"
    assert zipfile.ZipFile(project).testzip() is None
    page.reload()
    page.wait_for_selector("#samples button")
    page.set_input_files("#project-file", project)
    expect(page.locator("#strip button.photo")).to_have_count(2)
    expect(page.locator("#list .name")).to_have_count(len(found), timeout=WAIT)
    assert names(page) == found
    page.wait_for_selector("#format option", state="attached")
    page.click("#find-all")
    finished(page)
    for form, name in (("png", "cows/001-"), ("yolo", "images/"), ("openraster", "street.ora")):
        page.select_option("#format", form)
        with page.expect_download() as caught:
            page.click("#download-all")
        listed = zipfile.ZipFile(caught.value.path()).namelist()
        assert any(one.startswith(name) for one in listed), (form, listed)
    page.select_option("#format", "coco")
    with page.expect_download() as caught:
        page.click("#download-all")
    archive = zipfile.ZipFile(io.BytesIO(Path(caught.value.path()).read_bytes()))
    (name,) = [one for one in archive.namelist() if one.endswith(".json")]
    content = json.loads(archive.read(name))
    assert {one["file_name"] for one in content["images"]} == {"cows.jpg", "street.jpg"}
    assert len(content["annotations"]) >= len(found)


def clip(path: Path) -> Path:
    """Four frames of a window that moves over a photo with cows, 208 x 144 pixels."""
    av = pytest.importorskip("av")
    photo = imaging.read(PHOTOS / "cows.jpg").rgb
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 144, 208, "yuv420p"
        for n in range(4):
            part = np.ascontiguousarray(photo[200:344, 60 + 6 * n : 268 + 6 * n])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_things_are_followed_through_a_video(page, tmp_path):
    page.click("#mode-video")
    wrong = tmp_path / "notes.mp4"
    wrong.write_text("no video")
    page.set_input_files("#video-file", wrong)
    expect(page.locator("#status.bad")).to_contain_text("is not a video", timeout=WAIT)
    page.set_input_files("#video-file", clip(tmp_path / "clip.mp4"))
    expect(page.locator("#when")).to_contain_text("1 of 4", timeout=WAIT)
    page.click("#find")
    expect(page.locator("#status.bad")).to_contain_text("Type words")
    page.fill("#words", "grass")
    page.press("#words", "Enter")
    expect(page.locator("#status")).to_contain_text("Followed: ", timeout=WAIT)
    assert names(page)[0] == "grass 1"
    expect(page.locator("#list .name").first).to_contain_text("frames 1 to 4, seen in 4")
    page.locator("#scrub").fill("2")
    expect(page.locator("#when")).to_have_text("3 of 4 · 0.20 s")
    page.keyboard.press("v")
    page.mouse.click(*at(page, 0.5, 0.95))
    expect(page.locator("#list li.selected")).to_have_count(1)
    with page.expect_download() as caught:
        page.click("#video-lines")
    lines = [json.loads(line) for line in Path(caught.value.path()).read_text().splitlines()]
    assert [line["objects"][0]["rle"]["size"] for line in lines] == [[144, 208]] * 4
    with page.expect_download() as caught:
        page.click("#video-overlay")
    assert caught.value.suggested_filename == "clip-masks.mp4"
    page.select_option("#operation", "pixelate")
    with page.expect_download(timeout=WAIT) as caught:
        page.locator("#edit button[type=submit]").click()
    assert caught.value.suggested_filename == "clip-pixelate.mp4"
    # A point starts a thing of its own; photos are as they were.
    page.fill("#words", "")
    page.locator("#frame").focus()
    page.keyboard.press("p")
    page.mouse.click(*at(page, 0.3, 0.9))
    expect(page.locator("#status")).to_contain_text("Points: 1")
    page.click("#find")
    expect(page.locator("#list .name").first).to_contain_text("point 1", timeout=WAIT)
    page.click("#mode-photo")
    expect(page.locator("#samples")).to_be_visible()


def test_what_is_no_photo_is_told(page, tmp_path):
    wrong = tmp_path / "notes.jpg"
    wrong.write_text("no picture")
    page.set_input_files("#files", wrong)
    expect(page.locator("#status.bad")).to_contain_text("notes.jpg is not a picture")
    page.set_input_files("#project-file", wrong)
    expect(page.locator("#status.bad")).to_contain_text("no project")
    odd = tmp_path / "odd.lexiseg.zip"
    with zipfile.ZipFile(odd, "w") as archive:
        listed = {"lexiseg": 1, "current": 0, "photos": [{"name": "x", "masks": []}]}
        archive.writestr("project.json", json.dumps(listed))
    page.set_input_files("#project-file", odd)
    expect(page.locator("#status.bad")).to_contain_text("the project is damaged")
    # Of several, those that are photos open.
    page.set_input_files("#files", [wrong, PHOTOS / "cows.jpg"])
    expect(page.locator("#status.bad")).to_contain_text("notes.jpg is not a picture")
    expect(page.locator("#strip button.photo")).to_have_count(1)
    find(page, "colourless green ideas sleep furiously")
    assert names(page) == []
    expect(page.locator("#remarks")).to_contain_text("Not known")


def test_by_keyboard_alone(page):
    open_photo(page, "cows.jpg")
    page.fill("#words", "something else")
    page.locator("#frame").focus()
    page.keyboard.press("/")  # what is typed takes the place of the old words
    page.keyboard.type("gras")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # takes the hint
    assert page.input_value("#words") == "grass"
    page.keyboard.press("Enter")
    finished(page)
    page.locator("#frame").focus()
    for _ in range(22):
        page.keyboard.press("ArrowDown")
    expect(page.locator("#status")).to_contain_text("grass")
    page.keyboard.press("Enter")
    expect(page.locator("#list li.selected")).to_have_count(1)
    count = len(names(page))
    page.keyboard.press("Delete")
    expect(page.locator("#list .name")).to_have_count(count - 1)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_a_screen_reader(page, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.emulate_media(color_scheme=theme)

    def bad() -> list[tuple[str, str]]:
        found = axe.Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        return [(one["id"], one["nodes"][0]["html"]) for one in serious]

    page.click("#mode-video")
    assert bad() == []
    page.click("#mode-photo")
    open_photo(page, "cows.jpg")
    find(page, "cow; grass")
    assert bad() == []


def test_a_phone_shows_all_of_it(page):
    page.set_viewport_size({"width": 390, "height": 800})
    open_photo(page, "cows.jpg")
    find(page, "cow")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    box = page.locator("#marks").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 391


def test_hover_is_quick_on_a_large_photo_with_many_masks(page, tmp_path):
    # 12 megapixels and 60 masks; what is measured is the page's own work for each move.
    height, width = 3000, 4000
    rng = np.random.default_rng(5)
    small = rng.integers(0, 255, (30, 40, 3), np.uint8)
    photo = tmp_path / "large.png"
    imaging.write(photo, small.repeat(100, 0).repeat(100, 1))
    masks = []
    for number in range(60):
        x, y = (number % 10) * 400, (number // 10) * 500
        before, after = x * height + y, height - 450
        counts = [before, *[450, after] * 349, 450]
        counts.append(height * width - sum(counts))
        masks.append({
            "id": f"m{number}", "origin": None, "word": f"thing {number}", "score": 0.9,
            "colour": [number * 4, 120, 200], "quality": 1, "area": 350 * 450,
            "rle": {"size": [height, width], "counts": counts}, "box": [x, y, 350, 450],
            "reading": None, "visible": True, "edited": False, "source": "words",
        })  # fmt: skip
    project = tmp_path / "large.lexiseg.zip"
    with zipfile.ZipFile(project, "w") as archive:
        archive.write(photo, "photos/0")
        listed = {"name": "large.png", "masks": masks, "words": "", "edits": []}
        listed |= {"type": "image/png", "originalType": "image/png"}
        archive.writestr(
            "project.json", json.dumps({"lexiseg": 1, "current": 0, "photos": [listed]})
        )
    page.set_input_files("#project-file", project)
    expect(page.locator("#list .name")).to_have_count(60, timeout=WAIT)
    page.wait_for_timeout(500)
    for step in range(120):
        page.mouse.move(*at(page, (step * 0.037) % 1, (step * 0.061) % 1))
    times = page.evaluate("performance.getEntriesByName('lexiseg-hover').map((e) => e.duration)")
    assert len(times) > 100
    assert np.quantile(times, 0.95) < 50
