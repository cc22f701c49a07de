"""From a video's file to files: an overlay with sound, masks, and tables of what was followed.

First objects are followed, then what was asked is edited, then the parts are joined. Whatever is
done is written down by parts of some frames, so that a run that was ended goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg import imaging
from lexiseg._version import __version__
from lexiseg.errors import NothingFound, OutputError
from lexiseg.video import outputs
from lexiseg.video.edits import VideoEdit
from lexiseg.video.progress import FOLDER, Unfinished
from lexiseg.video.reader import VideoReader
from lexiseg.video.tracking import Tracking, TrackOptions
from lexiseg.video.writer import PartWriter, join_parts

if TYPE_CHECKING:
    import os

    from lexiseg.edit.steps import EditStep
    from lexiseg.protocols import Segmenter, Tracker

__all__ = ["VideoSummary", "run_video"]

_PART = 50  # frames; a kill loses no more

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class VideoSummary:
    """files: what was written. objects: identity -> word, first and last frame, frames seen.

    resumed_at: the frame from which an earlier run was gone on with; 0: none was.
    """

    frames: int
    size_hw: tuple[int, int]
    objects: dict[int, dict[str, Any]]
    files: dict[str, str]
    notes: tuple[str, ...]
    resumed_at: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the same as JSON values, which a run that was ended and gone on with shares."""
        return {
            "frames": self.frames,
            "height": self.size_hw[0],
            "width": self.size_hw[1],
            "objects": [{"id": one, **about} for one, about in self.objects.items()],
            "files": self.files,
            "notes": list(self.notes),
        }


def run_video(
    path: str | os.PathLike[str],
    words: str | Sequence[str] | None,
    out: str | os.PathLike[str],
    *,
    segmenter: Segmenter,
    tracker: Tracker | None = None,
    points: Mapping[int, Sequence[Sequence[float]]] | None = None,
    options: TrackOptions | None = None,
    steps: Sequence[EditStep] = (),
    anew: bool = False,
    progress: Progress | None = None,
    told: Callable[[dict[str, Any]], None] | None = None,
) -> VideoSummary:
    """Follow what words name through a video, and write what came of it into a new folder.

    overlay.mp4 (times and sound as in the source), masks/NNNNNN.png (a value an identity),
    frames.jsonl (a line a frame), tracks.json (YouTube-VIS), mot.txt (MOT Challenge), result.json;
    with steps, edited.mp4. progress: called with (frame, frames), 0 where the number is not known.
    told: called with each line of frames.jsonl as soon as its frame is done.

    Results get their names when all are whole. Until then they lie in `unfinished` there, and a
    run that was ended goes on from its last whole part of 50 frames, to the same bytes. anew: begin
    from the first frame.

    Raises PictureError for what is no video, NothingFound where no frame shows any of it, and
    OutputError where the folder holds something else already, OptionError where it holds an
    unfinished run of other settings.
    """
    folder, path = Path(out), Path(path)
    mine = (folder / "frames.jsonl").is_file() or (folder / FOLDER).is_dir()
    if folder.exists() and any(folder.iterdir()) and not mine:
        raise OutputError(f"{str(folder)!r} holds files of something else; give another --out")
    options = options or TrackOptions()
    VideoReader(path).close()  # raises for what is none, before a folder is made
    tracking = Tracking(segmenter, words, tracker, points, options)
    settings = {
        "version": __version__, "video": _stamp(path), "words": words, "points": points,
        "method": segmenter.name, "config": _plain(getattr(segmenter, "config", None)),
        "tracker": tracking.tracker_name, "options": asdict(options),
        "operation": [[one.operation, one.names, _plain(one.config)] for one in steps],
    }  # fmt: skip
    with Unfinished(folder, settings, anew=anew) as run:
        begun = run.done.frames
        if not run.done.tracked:
            _track(path, tracking, run, progress, told)
        if steps and run.done.edited < run.done.frames:
            _edit(path, steps, run, progress)
        late = [frame for frame in sorted(points or {}) if frame >= run.done.frames]
        notes = [f"there is no frame {frame} for a point; the last is {run.done.frames - 1}"
                 for frame in late]  # fmt: skip
        summary = _finished(path, run, begun, notes, edited=bool(steps))
    if not summary.objects:
        why = "".join(f"; {note}" for note in notes)
        raise NothingFound(f"nothing found in {summary.frames:,} frames of {str(path)!r}{why}")
    return summary


def _track(
    path: Path,
    tracking: Tracking,
    run: Unfinished,
    progress: Progress | None,
    told: Callable[[dict[str, Any]], None] | None,
) -> None:
    """Follow objects through the frames that are left, and write what each shows."""
    done = run.done
    objects = dict(done.objects)
    with ExitStack() as stack:
        reader = stack.enter_context(VideoReader(path))
        frames = reader.frames(max(0, done.frames - 1))
        if done.frames:
            tracking.load_state_dict(next(frames).rgb, run.state("tracking"))
        overlay: PartWriter | None = None

        def end_part() -> None:
            nonlocal overlay
            if overlay is not None:
                run.add_part("overlay", overlay.close())
                overlay = None
                run.keep({"tracking": tracking.state_dict()})

        def abandon() -> None:
            if overlay is not None:
                overlay.abandon()

        stack.callback(abandon)
        for index, (rgb, pts) in enumerate(((one.rgb, one.pts) for one in frames), done.frames):
            frame = tracking.frame(index, rgb)
            line = outputs.frame_line(frame, float(pts * reader.time_base))
            outputs.note_objects(objects, line)
            run.lines.append(line)
            outputs.write_masks(run.path("masks") / f"{index:06d}.png", frame)
            overlay = overlay or PartWriter(run.path(f"overlay-{index:06d}.mp4"), reader)
            overlay.add(outputs.paint_tracks(rgb, frame), pts)
            done.frames, done.objects = index + 1, list(map(list, objects.items()))
            done.names, done.size_hw = list(tracking.names), list(reader.size_hw)
            if done.frames % _PART == 0:
                end_part()
            if told is not None:
                told(line)
            if progress is not None:
                progress(index + 1, reader.num_frames)
        done.tracked, done.notes = True, list(reader.notes)
        end_part()
        run.keep({})


def _edit(
    path: Path, steps: Sequence[EditStep], run: Unfinished, progress: Progress | None
) -> None:
    """Edit the frames that are left, by what was found in them."""
    done = run.done
    size_hw = (done.size_hw[0], done.size_hw[1])
    edit = VideoEdit(steps, size_hw, run.state("edit"))
    first = max(0, done.edited - edit.reach)
    with VideoReader(path) as reader, run.lines.path.open("rb") as lines:
        for _ in range(first):
            next(lines)
        shown = (
            (one.rgb, outputs.read_frame(json.loads(text), size_hw, tuple(done.names)), one.pts)
            for one, text in zip(reader.frames(first), lines, strict=True)
        )
        for part in edit.parts(shown, done.edited):
            writer = PartWriter(run.path(f"edited-{done.edited:06d}.mp4"), reader)
            try:
                for rgb, pts in part:
                    writer.add(rgb, pts)
                run.add_part("edited", writer.close())
            finally:
                writer.abandon()
            done.edited += len(part)
            run.keep({"edit": edit.state_dict()})
            if progress is not None:
                progress(done.edited, done.frames)


def _finished(
    path: Path, run: Unfinished, begun: int, remarks: Sequence[str], *, edited: bool
) -> VideoSummary:
    """Join the parts, write the tables, and give all results their names."""
    done = run.done
    size_hw = (done.size_hw[0], done.size_hw[1])
    objects = dict(done.objects)
    kinds = ["overlay", *(["edited"] if edited else [])]
    notes = list(done.notes)
    if not done.complete:
        with VideoReader(path) as reader:
            for kind in kinds:
                said = join_parts(run.parts(kind), run.path(f"{kind}.mp4"), reader)
                notes += [one for one in said if one not in notes]
        done.notes = notes
        outputs.write_tables(run.lines.path, objects, path.name, size_hw)
    files = {
        **{kind: f"{kind}.mp4" for kind in kinds}, "masks": "masks", "frames": "frames.jsonl",
        "tracks": "tracks.json", "mot": "mot.txt",
    }  # fmt: skip
    notes = [*notes, *remarks]
    summary = VideoSummary(done.frames, size_hw, objects, files, tuple(notes), begun)
    text = json.dumps(summary.to_json(), ensure_ascii=False, indent=1) + "\n"
    imaging.write_text(run.path("result.json"), text)
    run.finish([*files.values(), "result.json"])
    if not edited:
        (run.out / "edited.mp4").unlink(missing_ok=True)  # of an earlier run
    return summary


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _plain(config: Any) -> dict[str, Any] | None:
    """The fields of a Config, without what is no part of a result."""
    if not is_dataclass(config) or isinstance(config, type):
        return None
    values = {key: value for key, value in vars(config).items() if not callable(value)}
    return {key: getattr(value, "name", value) for key, value in values.items()}
