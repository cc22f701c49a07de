"""Folders of edits: measures by hand, and the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lexiseg import imaging
from lexiseg.cli import main
from lexiseg.errors import InputError
from lexiseg.evaluation.edits import pair_folders, score_edits
from lexiseg.metrics import clip_score, seam, texture_gap

SIZE = (60, 90)


def photo(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 40, (*SIZE, 3)) + np.linspace(0, 150, SIZE[1])[None, :, None]
    return rgb.astype(np.uint8)


def hole() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[20:44, 30:70] = True
    return mask


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for i in range(3):
        rgb, mask = photo(i), hole()
        edited = rgb.copy()
        edited[mask] = (200, 40 * i, 40)
        if i == 2:
            edited[0, :9] += 1
        imaging.write(tmp_path / "before" / f"{i}.png", rgb)
        imaging.write(tmp_path / "after" / f"{i}.png", edited)
        imaging.write(tmp_path / "mask" / f"{i}.png", mask)
    return tmp_path


class ByMean:
    """An encoder whose features are a picture's mean colour and spread."""

    name, sha256 = "by mean", {}
    scale, synonym_threshold, presence = 1.0, 0.99, 0.0

    class size:
        window = 64

    def pooled(self, rgb, masks=None):
        pixels = rgb.double()
        return torch_cat(pixels)

    def text(self, words, templates):
        import torch

        return torch.eye(6, dtype=torch.float64)[: len(words)]


def torch_cat(pixels):
    import torch

    return torch.cat([pixels.mean((1, 2)), pixels.std((1, 2))], 1) / 255


def test_textures_and_seams_by_hand() -> None:
    noise = photo(0)
    assert texture_gap(noise, hole()) < 0.3
    flat = noise.copy()
    flat[hole()] = 100
    assert texture_gap(flat, hole()) > 0.8
    assert seam(noise, hole()) == pytest.approx(1, abs=0.15)
    step = np.full((*SIZE, 3), 50, np.uint8)
    step[hole()] = 200
    step[::4] += 2  # something around it
    assert seam(step, hole()) > 10
    assert math.isnan(seam(noise, np.zeros(SIZE, bool)))
    assert math.isnan(texture_gap(noise, np.ones(SIZE, bool)))


def test_scores_of_folders(folders: Path) -> None:
    pairs = pair_folders(folders / "before", folders / "after", folders / "mask")
    assert [name for name, *_ in pairs] == ["0", "1", "2"]
    encoder = ByMean()
    found = score_edits(pairs, encoder, words="a red thing")  # type: ignore[arg-type]
    one, _, last = found.pictures
    inside = hole().mean()
    assert one.changed == pytest.approx(inside)
    assert one.changed_outside == 0
    assert math.isinf(one.psnr_outside)
    assert last.changed_outside == pytest.approx(9 / (~hole()).sum())
    assert one.texture > 0.8 > one.texture_before
    assert one.seam > 1.5 * one.seam_before
    assert found.fid > 0.001
    assert found.kid > 0
    assert found.clip_score > found.clip_score_before
    assert found.clip_score_region > found.clip_score
    assert found.mean("psnr_outside") == last.psnr_outside
    assert "fewer than the 6 features" in " ".join(found.notes)
    same = [(name, before, before, mask) for name, before, _, mask in pairs]
    nothing = score_edits(same, encoder)  # type: ignore[arg-type]
    assert nothing.fid == pytest.approx(0, abs=1e-9)
    assert math.isnan(nothing.clip_score)
    assert nothing.pictures[0].changed == 0


def test_clip_score_takes_each_picture_its_own_words(folders: Path) -> None:
    pairs = pair_folders(folders / "before", folders / "after", None)
    words = {"0": "one", "1": "two", "2": "three"}
    encoder = ByMean()
    found = score_edits(pairs, encoder, words=words)  # type: ignore[arg-type]
    import cv2
    import torch

    small = [cv2.resize(imaging.read(p).rgb, (64, 64), interpolation=cv2.INTER_AREA)
             for _, _, p, _ in pairs]  # fmt: skip
    vectors = [encoder.pooled(torch.from_numpy(one)[None])[0].numpy() for one in small]
    assert found.clip_score == pytest.approx(clip_score(vectors, np.eye(6)[:3]), rel=0.05)
    with pytest.raises(InputError, match="no words for '2'"):
        score_edits(pairs, encoder, words={"0": "a", "1": "b"})  # type: ignore[arg-type]


def test_files_that_do_not_fit(folders: Path) -> None:
    imaging.write(folders / "after" / "9.png", photo(9))
    with pytest.raises(InputError, match="1 of 4 edited pictures have no photo"):
        pair_folders(folders / "before", folders / "after", None)
    imaging.write(folders / "before" / "9.png", photo(9)[:50])
    with pytest.raises(InputError, match="have no mask of their name"):
        pair_folders(folders / "before", folders / "after", folders / "mask")
    pairs = pair_folders(folders / "before", folders / "after", None)
    with pytest.raises(InputError, match="is 90x60 and its photo 90x50"):
        score_edits(pairs, ByMean())  # type: ignore[arg-type]


def test_the_command(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = [f"--{part}={folders / part}" for part in ("before", "after", "mask")]
    assert main(["score-edit", *places, "--words", "a red sofa"]) == 0
    said = capsys.readouterr().out
    assert "3 pictures" in said
    assert "Published FID and KID are of Inception features; these are of tiny" in said
    assert main(["score-edit", *places, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["clip_score"] is None
    assert content["means"]["changed_outside"] > 0
    assert main(["score-edit", *places, "--inception", "gone.pth"]) == 4
    assert "pt_inception-2015-12-05-6726825d.pth" in capsys.readouterr().err
    assert main(["score-edit", *places[:2], "--mask=gone"]) == 2
    assert main(["score-edit", *places, "--words", "@gone.json"]) == 2
