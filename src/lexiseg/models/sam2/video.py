"""Trackers with SAM 2's memory: transformers' video models of SAM 2, SAM 3 and EdgeTAM.

What they remember is transformers' own session, which a step changes: of the memories of a video
only the newest may be used. What no later frame reads is taken out, so that it stays small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, OnDevice
from lexiseg.errors import OptionError
from lexiseg.masks import Masks
from lexiseg.models._transformers import load_pretrained
from lexiseg.models.sam2.masker import squashed
from lexiseg.protocols import Frame, RawMasks, Tracks

__all__ = ["MemoryTracker", "SessionMemory", "load_memory_tracker"]

_ANCHORS = 6  # frames with masks that are remembered, where the model sets no limit
# What a session remembers: its frames' features are made again from the last frame.
_PER_OBJECT = (
    "point_inputs_per_obj", "mask_inputs_per_obj", "output_dict_per_obj", "frames_tracked_per_obj",
)  # fmt: skip
_TABLES = ("_obj_id_to_idx", "_obj_idx_to_id", "obj_ids", "obj_with_new_inputs", *_PER_OBJECT)
_Colours = tuple[tuple[float, float, float], tuple[float, float, float]]
_IMAGENET: _Colours = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, eq=False)
class SessionMemory:
    """session: transformers'. frame: the index of the last frame. size_hw: of the video."""

    session: Any
    frame: int
    size_hw: tuple[int, int]
    ids: tuple[int, ...] = ()


class MemoryTracker(OnDevice):
    """See ``Tracker``; `logits` gives what the masks are made of."""

    def __init__(
        self,
        net: Any,
        compute: Compute,
        *,
        name: str,
        sha256: Mapping[str, str],
        colours: _Colours = _IMAGENET,
    ) -> None:
        self.name = name
        self.sha256: Mapping[str, str] = dict(sha256)
        self._net, self._compute, self._colours = net, compute, colours
        config = net.config
        self._side = int(config.prompt_encoder_config.image_size)
        # Frames that later ones read: masks of the last ones, pointers of some more.
        self._reach = max(int(config.num_maskmem), int(config.max_object_pointers_in_encoder)) + 1
        most = int(config.max_cond_frame_num)
        self._anchors = most if most > 0 else _ANCHORS

    @torch.inference_mode()
    def start(self, rgb: NDArray[np.uint8]) -> SessionMemory:
        """Return the memory of a first frame, (H, W, 3) uint8 RGB, without any object."""
        size_hw = (rgb.shape[0], rgb.shape[1])
        session = self._session(size_hw)
        session.add_new_frame(self._pixels(rgb), 0)
        return SessionMemory(session, 0, size_hw)

    def step(self, memory: SessionMemory, rgb: NDArray[np.uint8]) -> tuple[Tracks, SessionMemory]:
        """Return where the objects are in the next frame, and the memory with it."""
        raw, kept = self.logits(memory, rgb)
        none = Masks.empty(memory.size_hw)
        if raw is None:
            return Tracks((), none, np.zeros(0, np.float32)), kept
        scores = raw.quality.float().cpu().numpy()
        masks = []
        for logits, score in zip(raw.logits, scores.tolist(), strict=True):  # one at a time
            whole = F.interpolate(
                logits[None, None], memory.size_hw, mode="bilinear", align_corners=False
            )
            inside = (whole[0] > 0).cpu().numpy()
            masks.append(Masks.from_dense(inside & (score > 0.5)))
        return Tracks(kept.ids, Masks.concat(masks), scores), kept

    @torch.inference_mode()
    def logits(
        self, memory: SessionMemory, rgb: NDArray[np.uint8]
    ) -> tuple[RawMasks | None, SessionMemory]:
        """Return the masks' logits, and as quality the probability that each object is there."""
        frame = memory.frame + 1
        session, kept = memory.session, replace(memory, frame=frame)
        pixels = self._pixels(rgb)
        if not memory.ids:
            session.add_new_frame(pixels, frame)
            self._forget(kept)
            return None, kept
        with self._compute.autocast():
            out = self._net(session, frame_idx=frame, frame=pixels)
        self._forget(kept)
        order = [list(out.object_ids).index(one) for one in memory.ids]
        logits = out.pred_masks[order][:, 0].float()
        presence = out.object_score_logits[order].float().flatten().sigmoid()
        grid = (logits.shape[1], logits.shape[2])
        numbers = torch.arange(len(order), device=logits.device)
        return RawMasks(logits, presence, numbers, Frame(memory.size_hw, grid, grid)), kept

    @torch.inference_mode()
    def add(self, memory: SessionMemory, masks: Masks, ids: Sequence[int]) -> SessionMemory:
        """Return the memory with objects as they are in the frame that came last."""
        session = memory.session
        for i, one in enumerate(ids):
            whole = torch.from_numpy(masks.mask(i))[None, None].float()
            small = F.interpolate(
                whole, (self._side, self._side), mode="bilinear", align_corners=False,
                antialias=True,
            )  # fmt: skip
            index = session.obj_id_to_idx(one)
            session.remove_point_inputs(index, memory.frame)
            session.add_mask_inputs(index, memory.frame, (small >= 0.5).float())
            session.output_dict_per_obj[index]["cond_frame_outputs"].pop(memory.frame, None)
            session.obj_with_new_inputs = [one]
            with self._compute.autocast():
                self._net(_alone(session, one, index), frame_idx=memory.frame)
            session.obj_with_new_inputs = []
        both = dict.fromkeys((*memory.ids, *ids))
        return replace(memory, ids=tuple(both))

    def drop(self, memory: SessionMemory, ids: Sequence[int]) -> SessionMemory:
        """Return the memory without some objects."""
        session, gone = memory.session, set(ids)
        kept = [one for one in session.obj_ids if one not in gone]
        places = [session._obj_id_to_idx[one] for one in kept]
        for name in _PER_OBJECT:
            table = getattr(session, name)
            values = [table[place] for place in places]
            table.clear()
            table.update(enumerate(values))
        session._obj_id_to_idx.clear()
        session._obj_id_to_idx.update((one, k) for k, one in enumerate(kept))
        session._obj_idx_to_id.clear()
        session._obj_idx_to_id.update(enumerate(kept))
        session.obj_ids = list(kept)
        session.obj_with_new_inputs = [
            one for one in session.obj_with_new_inputs if one not in gone
        ]
        return replace(memory, ids=tuple(one for one in memory.ids if one not in gone))

    def features(self, memory: SessionMemory) -> None:
        """It tells nothing of looks that could be compared from afar."""
        return

    def state_dict(self, memory: SessionMemory) -> Any:
        """Return what of a memory its last frame does not tell."""
        tables = {name: getattr(memory.session, name) for name in _TABLES}
        return {"frame": memory.frame, "ids": memory.ids, "tables": tables}

    @torch.inference_mode()
    def load_state_dict(self, rgb: NDArray[np.uint8], state: Any) -> SessionMemory:
        """Return the memory whose `state_dict` it is; rgb: the frame that came last, (H, W, 3)."""
        session = self._session((rgb.shape[0], rgb.shape[1]))
        session.add_new_frame(self._pixels(rgb), state["frame"])
        for name, table in state["tables"].items():
            setattr(session, name, _moved(table, self._compute.device))
        return SessionMemory(session, state["frame"], (rgb.shape[0], rgb.shape[1]), state["ids"])

    def _session(self, size_hw: tuple[int, int]) -> Any:
        return _session_class(self._net)(
            video_height=size_hw[0],
            video_width=size_hw[1],
            inference_device=self._compute.device,
            inference_state_device=self._compute.device,
            video_storage_device=self._compute.device,
            dtype=torch.float32,
        )

    def _pixels(self, rgb: NDArray[np.uint8]) -> torch.Tensor:
        mean, std = self._colours
        pixels: torch.Tensor = squashed(rgb, self._side, mean, std)
        return pixels.to(self._compute.device)

    def _forget(self, memory: SessionMemory) -> None:
        """Take out of the session what no later frame reads."""
        session, oldest = memory.session, memory.frame - self._reach
        for frame in [one for one in session.processed_frames if one < memory.frame]:
            del session.processed_frames[frame]
        for index, outputs in session.output_dict_per_obj.items():
            recent = outputs["non_cond_frame_outputs"]
            for frame in [one for one in recent if one < oldest]:
                del recent[frame]
            anchors = outputs["cond_frame_outputs"]
            # The first one, and the newest.
            for frame in sorted(anchors)[1 : -self._anchors]:
                del anchors[frame]
            for table in (session.mask_inputs_per_obj, session.point_inputs_per_obj):
                for frame in [one for one in table[index] if one < memory.frame]:
                    del table[index][frame]
            tracked = session.frames_tracked_per_obj[index]
            for frame in [one for one in tracked if one < oldest and one not in anchors]:
                del tracked[frame]


def load_memory_tracker(
    class_name: str,
    checkpoint: Checkpoint,
    compute: Compute,
    *,
    extra: str,
    colours: _Colours = _IMAGENET,
) -> MemoryTracker:
    """Build a tracker from a folder of transformers, whose ``class_name`` reads it.

    Raises OptionError for Meta's own files, ExtraMissing, CheckpointError.
    """
    if "config.json" not in checkpoint.paths:
        raise OptionError(
            f"{checkpoint.record.name!r} is Meta's file, which is read for single pictures; for "
            "videos give a folder as transformers saves it"
        )
    folder = checkpoint["config.json"].parent
    net = load_pretrained(class_name, folder, replace(compute, dtype=torch.float32), extra=extra)
    return MemoryTracker(
        net, compute, name=checkpoint.record.name, sha256=checkpoint.sha256, colours=colours
    )


def _session_class(net: Any) -> Any:
    """The session that belongs to a video model of transformers, from the same module."""
    import sys

    module = sys.modules[type(net).__module__]
    return getattr(module, type(net).__name__.removesuffix("Model") + "InferenceSession")


def _alone(session: Any, one: int, index: int) -> Any:
    """The session as if it had one object; what it remembers of that one is shared.

    With others, which have no new mask, transformers' EdgeTAM joins scores of unlike shapes.
    """
    view = copy(session)
    view._obj_id_to_idx, view._obj_idx_to_id, view.obj_ids = {one: 0}, {0: one}, [one]
    for name in _PER_OBJECT:
        setattr(view, name, {0: getattr(session, name)[index]})
    return view


def _moved(tree: Any, device: torch.device) -> Any:
    """Nested dicts and lists with their tensors on a device."""
    if isinstance(tree, dict):
        return {key: _moved(value, device) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_moved(one, device) for one in tree)
    return tree.to(device) if isinstance(tree, torch.Tensor) else tree
