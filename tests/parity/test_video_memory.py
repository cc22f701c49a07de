"""Trackers with memory against transformers' own run over a whole video, on small drawn weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests import video_weights
from tests.close import assert_close

from lexiseg.device import pick
from lexiseg.masks import Masks
from lexiseg.models.sam2.video import MemoryTracker
from lexiseg.video.state_file import load_state, save_state

pytest.importorskip("transformers")

SIZE, FRAMES = (90, 140), 8


def frames() -> list[np.ndarray]:
    import cv2

    rng = np.random.default_rng(4)
    ground = cv2.resize(rng.integers(0, 255, (9, 14, 3)).astype(np.uint8), SIZE[::-1])
    out = []
    for step in range(FRAMES):
        rgb = ground.copy()
        cv2.circle(rgb, (40 + 7 * step, 45), 18, (220, 60, 40), -1)
        cv2.circle(rgb, (110 - 6 * step, 30), 12, (40, 60, 220), -1)
        out.append(rgb)
    return out


def masks() -> Masks:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    one = (x - 40) ** 2 + (y - 45) ** 2 < 18**2
    two = (x - 110) ** 2 + (y - 30) ** 2 < 12**2
    return Masks.from_dense(np.stack([one, two]))


@pytest.mark.parametrize("make", video_weights.MODELS, ids=lambda make: make.__name__)
def test_the_same_logits_over_a_video(make):
    net = make()
    tracker = MemoryTracker(net, pick("cpu", "fp32"), name="small", sha256={})
    pictures = frames()
    side = int(net.config.prompt_encoder_config.image_size)
    pixels = [tracker._pixels(rgb) for rgb in pictures]
    session = video_weights.session_of(net)(
        video=torch.cat(pixels), video_height=SIZE[0], video_width=SIZE[1], dtype=torch.float32
    )
    with torch.inference_mode():
        for k, one in enumerate((5, 9)):
            index = session.obj_id_to_idx(one)
            whole = torch.from_numpy(masks().mask(k))[None, None].float()
            small = F.interpolate(whole, (side, side), mode="bilinear", antialias=True)
            session.add_mask_inputs(index, 0, (small >= 0.5).float())
            session.obj_with_new_inputs.append(one)
        net(session, frame_idx=0)
        want = {}
        for out in net.propagate_in_video_iterator(session, start_frame_idx=0):
            want[out.frame_idx] = out.pred_masks[:, 0].float()
    memory = tracker.add(tracker.start(pictures[0]), masks(), [5, 9])
    spread = []
    for step in range(1, FRAMES):
        raw, memory = tracker.logits(memory, pictures[step])
        assert raw is not None
        assert_close(raw.logits, want[step], 1e-4)
        spread.append(float(raw.logits.std()))
        assert len(memory.session.processed_frames) == 1
    assert min(spread) > 1e-3  # drawn weights say different things at different places


def test_objects_come_and_go():
    tracker = MemoryTracker(video_weights.sam2(), pick("cpu", "fp32"), name="small", sha256={})
    pictures = frames()
    memory = tracker.start(pictures[0])
    tracks, memory = tracker.step(memory, pictures[1])
    assert tracks.ids == ()
    memory = tracker.add(memory, masks()[[0]], [3])
    tracks, memory = tracker.step(memory, pictures[2])
    memory = tracker.add(memory, masks()[[1]], [8])
    tracks, memory = tracker.step(memory, pictures[3])
    assert tracks.ids == (3, 8)
    assert tracks.masks.size_hw == SIZE
    memory = tracker.drop(memory, [3])
    tracks, memory = tracker.step(memory, pictures[4])
    assert tracks.ids == (8,)
    assert tracks.scores.shape == (1,)


@pytest.mark.parametrize("make", video_weights.MODELS, ids=lambda make: make.__name__)
def test_a_memory_comes_back_from_a_file(make, tmp_path):
    tracker = MemoryTracker(make(), pick("cpu", "fp32"), name="small", sha256={})
    pictures = frames()
    memory = tracker.add(tracker.start(pictures[0]), masks()[[0]], [5])
    for rgb in pictures[1:3]:
        _, memory = tracker.step(memory, rgb)
    memory = tracker.add(memory, masks()[[1]], [9])
    save_state(tmp_path / "memory.npz", tracker.state_dict(memory))
    again = tracker.load_state_dict(pictures[2], load_state(tmp_path / "memory.npz"))
    for rgb in pictures[3:6]:
        one, memory = tracker.logits(memory, rgb)
        two, again = tracker.logits(again, rgb)
        assert torch.equal(one.logits, two.logits)
        memory = tracker.add(memory, masks()[[0]], [5])  # as a key frame does
        again = tracker.add(again, masks()[[0]], [5])
    assert tracker.drop(again, [5]).ids == (9,)
