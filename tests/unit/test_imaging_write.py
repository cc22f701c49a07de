"""Writing pictures and texts: what is written comes back, and a failure leaves nothing behind."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from lexiseg import imaging
from lexiseg.errors import OutputError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 9, 3), dtype=np.uint8)
SMOOTH = np.dstack(
    [*np.meshgrid(np.arange(60) * 4, np.arange(40) * 6), np.full((40, 60), 90)]
).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
@pytest.mark.parametrize("channels", [None, 3, 4])
def test_exact_kinds_come_back(tmp_path: Path, suffix: str, channels: int | None) -> None:
    array = RNG.integers(0, 256, (5, 9, channels or 1), dtype=np.uint8)
    path = tmp_path / f"out{suffix}"
    imaging.write(path, array if channels else array[..., 0])
    back = imaging.read(path)
    np.testing.assert_array_equal(back.rgb, array[..., :3].repeat(1 if channels else 3, axis=2))
    if channels == 4:
        np.testing.assert_array_equal(back.alpha, array[..., 3])


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_kinds_come_back_nearly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    imaging.write(path, SMOOTH)
    assert np.abs(imaging.read(path).rgb.astype(int) - SMOOTH).mean() < 2


@pytest.mark.parametrize("channels", [None, 3, 4])
def test_16_bits_come_back(tmp_path: Path, channels: int | None) -> None:
    array = RNG.integers(0, 65536, (5, 9, channels or 1), dtype=np.uint16)
    for suffix in (".png", ".tif"):
        path = tmp_path / f"out{suffix}"
        imaging.write(path, array if channels else array[..., 0])
        np.testing.assert_array_equal(imaging.read(path).deep, array)


def test_a_mask_is_black_and_white(tmp_path: Path) -> None:
    mask = RNG.random((5, 9)) < 0.5
    imaging.write(tmp_path / "mask.png", mask)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.array(image), mask * 255)


def test_views_and_strides(tmp_path: Path) -> None:
    imaging.write(tmp_path / "out.png", RGB[::-1, ::2])
    np.testing.assert_array_equal(imaging.read(tmp_path / "out.png").rgb, RGB[::-1, ::2])


def test_a_palette_with_texts(tmp_path: Path) -> None:
    index = RNG.integers(0, 3, (5, 9), dtype=np.uint8)
    colours = np.array([[0, 0, 0], [250, 10, 20], [1, 2, 3]], np.uint8)
    texts = {"words": '["hund", "größe", "犬"]', "Software": "lexiseg"}
    path = tmp_path / "labels.png"
    imaging.write(path, index, palette=colours, metadata=texts)
    with Image.open(path) as image:
        assert image.mode == "P"
        assert image.text == texts
        np.testing.assert_array_equal(np.array(image), index)
    np.testing.assert_array_equal(imaging.read(path).rgb, colours[index])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_profile_and_exif_come_back(tmp_path: Path, suffix: str, dtype: type) -> None:
    if dtype == np.uint16 and suffix != ".png":
        return
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = 1
    path = tmp_path / f"out{suffix}"
    imaging.write(path, SMOOTH.astype(dtype), icc=profile, exif=exif.tobytes())
    back = imaging.read(path)
    assert back.icc == profile
    with Image.open(path) as image:
        assert image.getexif()[0x010F] == "a camera"
    np.testing.assert_allclose(back.rgb if dtype == np.uint8 else back.deep, SMOOTH, atol=16)
    if dtype == np.uint16:
        imaging.write(path, SMOOTH.astype(dtype), metadata={"Software": "lexiseg"})
        with Image.open(path) as image:
            assert image.text == {"Software": "lexiseg"}


@pytest.mark.parametrize(
    ("name", "array", "options", "says"),
    [
        ("out.xyz", RGB, {}, r"ends in '.xyz'; end it in one of .png"),
        ("out", RGB, {}, "ends in ''"),
        ("out.jpg", np.dstack([RGB, RGB[..., 0]]), {}, "JPEG has no transparency"),
        ("out.jpg", RGB.astype(np.uint16), {}, "has no 16 bits"),
        ("out.webp", RGB.astype(np.uint16), {}, "has no 16 bits"),
        ("out.png", RGB.astype(float), {}, "an array of float64"),
        ("out.png", RGB[..., :2], {}, "give .H, W"),
        ("out.png", RGB[:0], {}, "give .H, W"),
        ("out.jpg", RGB[..., 0], {"palette": np.zeros((256, 3), np.uint8)}, "only PNG holds"),
        ("out.webp", RGB, {"metadata": {"a": "b"}}, "only PNG holds"),
        ("out.png", RGB, {"palette": np.zeros((256, 3), np.uint8)}, "a palette goes with"),
        ("out.png", RGB[..., 0], {"palette": np.zeros((2, 3), np.uint8)}, "a colour for each"),
        ("out.png", RGB[..., 0], {"palette": np.zeros((300, 3), np.uint8)}, "256 at most"),
        ("out.png", RGB[..., 0], {"palette": np.zeros((256, 4), np.uint8)}, "give .P, 3. uint8"),
        ("out.webp", np.zeros((1, 17_000, 3), np.uint8), {}, "cannot be written as WEBP"),
        ("out.jpg", np.zeros((1, 66_000, 3), np.uint8), {}, "cannot be written as JPEG"),
    ],
)
def test_what_cannot_be_written(
    tmp_path: Path, name: str, array: NDArray[Any], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(OutputError, match=says) as caught:
        imaging.write(tmp_path / name, array, **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made_and_files_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "note.txt"
    imaging.write_text(path, "one\n")
    imaging.write_text(str(path), "zwölf\r\n")
    assert path.read_bytes() == "zwölf\r\n".encode()
    imaging.write_bytes(path, b"\0\1")
    assert path.read_bytes() == b"\0\1"
    assert [entry.name for entry in path.parent.iterdir()] == ["note.txt"]


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        imaging.write(tmp_path / "out.png", RGB)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out.png").stat().st_mode) == 0o640


def write_picture(path: Path) -> None:
    imaging.write(path, RNG.integers(0, 256, (200, 300, 3), dtype=np.uint8))


def write_long_text(path: Path) -> None:
    imaging.write_text(path, "x" * 200_000)


class FullDisk:
    """A file of which half is written before the disk is full."""

    def __init__(self, path: Path, number: int) -> None:
        self.file, self.number = path.open("xb"), number

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> int:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("writer", [write_picture, write_long_text])
@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "the disk is full; free some space"), (errno.EDQUOT, "the quota")],
)
@pytest.mark.parametrize("old", [b"the old content", None])
def test_a_full_disk_leaves_no_traces(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writer: Callable[[Path], None],
    number: int,
    says: str,
    old: bytes | None,
) -> None:
    path = tmp_path / "out.png"
    if old is not None:
        path.write_bytes(old)

    def filling_up(self: Path, mode: str) -> FullDisk:
        monkeypatch.undo()  # the rest of the test opens files as usual
        assert mode == "xb"
        return FullDisk(self, number)

    monkeypatch.setattr(Path, "open", filling_up)
    with pytest.raises(OutputError, match=says) as caught:
        writer(path)
    assert str(path) in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == (["out.png"] if old else [])
    assert old is None or path.read_bytes() == old


@pytest.mark.parametrize("writer", [write_picture, write_long_text])
def test_a_real_limit_on_the_size_of_files(tmp_path: Path, writer: Callable[[Path], None]) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"the old content")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OutputError, match="larger than this disk allows"):
            writer(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]
    assert path.read_bytes() == b"the old content"


def test_an_interrupt_leaves_no_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        imaging.write_text(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.txt"]
    assert path.read_text() == "old"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.txt").mkdir()
    for path, says in [
        (tmp_path / "file" / "out.txt", "a part of its path is a file"),
        (tmp_path / "file" / "deeper" / "out.txt", "a part of its path is a file"),
        (tmp_path / "folder.txt", "it is a folder"),
        (tmp_path / f"{'x' * 300}.txt", "its name is too long"),
        (Path("/proc/out.txt"), "choose another place"),
        (tmp_path / "a\0b.txt", "choose another place"),
    ]:
        with pytest.raises(OutputError, match=says) as caught:
            imaging.write_text(path, "text")
        assert caught.value.exit_code == 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder.txt"]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EACCES, "permission denied; choose a place that you may write to"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EIO, "choose another place"),
    ],
)
def test_reasons_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match=says):
        imaging.write_text(tmp_path / "a" / "out.txt", "text")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("drawn", [False, True])
def test_large_pngs_of_photos_and_of_drawings(
    tmp_path: Path, channels: int, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lexiseg.imaging._write._LARGE", 1)
    rng = np.random.default_rng(7)
    if drawn:  # the same signs over and over
        signs = rng.integers(0, 2, (20, 400, channels), np.uint8) * 255
        made = np.tile(signs, (20, 2, 1))
    else:
        walk = rng.integers(-2, 3, (400, 800, channels), np.int16).cumsum(1) // 4
        made = (128 + walk).astype(np.uint8)
    path = tmp_path / "large.png"
    imaging.write(path, made.squeeze())
    read = Image.open(path)
    np.testing.assert_array_equal(np.asarray(read), made.squeeze())
    plain = tmp_path / "plain.png"
    read.save(plain, compress_level=3)
    assert path.stat().st_size < 1.05 * plain.stat().st_size
