"""A client of `lexiseg serve`, with the same results as a segmenter of one's own."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from lexiseg import errors
from lexiseg.errors import LexisegError, OptionError, PictureError, ServerError

if TYPE_CHECKING:
    from lexiseg.imaging import Picture
    from lexiseg.masks import Masks
    from lexiseg.results import Segmentation
    from lexiseg.video import TrackedFrame

__all__ = ["Client", "EditAnswer"]


class EditAnswer:
    """Edited pictures: their files, and how they came about.

    files: the bytes of each. steps: what was done. missing: words that were not found.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.files = tuple(base64.b64decode(one["data"]) for one in document["files"])
        self.suffix = f".{document['files'][0]['format']}"
        self.steps = tuple(document["steps"])
        self.missing = tuple(document["missing"])

    @property
    def picture(self) -> Picture:
        """The first picture, decoded."""
        from lexiseg import imaging

        return imaging.read_bytes(self.files[0])

    def save(self, path: str | os.PathLike[str], number: int = 0) -> Path:
        """Write the file of picture `number`. Raises OptionError for a name of another kind."""
        from lexiseg import imaging

        if Path(path).suffix.lower() != self.suffix:
            raise OptionError(
                f"{str(path)!r} does not end in {self.suffix}, the kind of file that was asked "
                "for; edit(format=...) asks for another"
            )
        imaging.write_bytes(path, self.files[number])
        return Path(path)


class Client:
    """Calls a server; close it, or use it in a `with` statement.

    url: where it listens, such as "http://127.0.0.1:8008". token: where it wants one.
    timeout: seconds to wait for an answer.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 180.0) -> None:
        import httpx2

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise OptionError(f"{url!r} is no server's address; give one such as http://host:8008")
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        # Of this machine, what a proxy is set for is not meant.
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def segment(
        self,
        image: Any,
        words: str | Sequence[str] | None = None,
        *,
        background: str | Sequence[str] | None = "default",
        threshold: float | None = None,
        thresholds: Mapping[str, float] | None = None,
        flat: bool | None = None,
        points: Iterable[Sequence[float]] = (),
        boxes: Iterable[Sequence[float]] = (),
        not_points: Iterable[Sequence[float]] = (),
        examples: Iterable[Mapping[str, Any]] = (),
    ) -> Segmentation:
        """Return what a picture shows; the arguments are those of a segmenter's call.

        image: a path, the bytes of a file, a PIL image or an (H, W, 3) uint8 RGB array.
        examples: {"box": (x0, y0, x1, y1)} in this picture, or with an "image" of their own, and
            the "word" that they are called.
        Masks are those that the server's segmenter gives; scores have six decimals.
        Raises PictureError, PromptError, OptionError as a segmenter does, and ServerError.
        """
        from lexiseg.export import segmentation_from_json

        asked: dict[str, Any] = {
            "words": words if isinstance(words, str) or words is None else list(words),
            "background": background,
            "points": [list(one) for one in points],
            "boxes": [list(one) for one in boxes],
            "not_points": [list(one) for one in not_points],
            "examples": [_example(one) for one in examples],
        }
        optional = {"threshold": threshold, "flat": flat}
        asked |= {name: value for name, value in optional.items() if value is not None}
        if thresholds:
            asked["thresholds"] = dict(thresholds)
        if isinstance(background, Sequence) and not isinstance(background, str):
            asked["background"] = list(background)
        return segmentation_from_json(self._post("/v1/segment", image, asked))

    def edit(
        self,
        image: Any,
        operation: str,
        where: str | Sequence[str] | Masks,
        *,
        words: Sequence[str] = (),
        format: str = "png",
        picture: Any = None,
        **options: Any,
    ) -> EditAnswer:
        """Return an edited picture.

        operation: "remove", "blur", ... where: words, or masks. words: what else competes.
        picture: what `replace` and `background` put in. options: of the operation's Config.
        Raises NothingFound where no word is in the picture, and as `segment`.
        """
        step: dict[str, Any] = {"operation": operation, "options": options}
        if isinstance(where, str):
            step["words"] = where
        elif hasattr(where, "to_rle"):
            step["masks"] = where.to_rle()
        else:
            step["words"] = list(where)
        if picture is not None:
            step["image"] = base64.b64encode(_file_of(picture)).decode("ascii")
        asked = {"steps": [step], "words": list(words), "format": format}
        return EditAnswer(self._post("/v1/edit", image, asked))

    def track(
        self,
        video: Any,
        words: str | Sequence[str] | None = None,
        *,
        points: Mapping[int, Iterable[Sequence[float]]] | None = None,
        threshold: float | None = None,
        rate: float | None = None,
        overlay: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Iterator[TrackedFrame]:
        """Yield the frames of a video as `lexiseg.track` does, each as soon as it is done.

        video: a path, the bytes of a file, or frames: images as `segment` takes them, of one size.
        points: frame -> (x, y) pixels, each on a thing. rate: frames a second of frames.
        overlay: an .mp4 file that gets the video with the masks over it, at the end.
        options: every, max_objects, min_score, min_iou, min_likeness, patience. Leaving the loop
        ends the work. Raises as `segment`, and ExtraMissing where the server cannot read videos.
        """
        from lexiseg.video.outputs import read_frame

        asked: dict[str, Any] = {
            "words": words if isinstance(words, str) or words is None else list(words),
            "points": [
                {"frame": frame, "point": [float(value) for value in point]}
                for frame, listed in (points or {}).items()
                for point in listed
            ],
            "files": [] if overlay is None else ["overlay"],
            **options,
        }
        optional = {"threshold": threshold, "rate": rate}
        asked |= {name: value for name, value in optional.items() if value is not None}
        if isinstance(video, bytes | str | os.PathLike):
            files = [("video", ("video", _file_of(video), "application/octet-stream"))]
        else:
            files = [("frames", (f"{i}.png", _file_of(one), "image/png"))
                     for i, one in enumerate(video)]  # fmt: skip
        head: dict[str, Any] = {}
        for line in self._lines("/v1/track", files, asked):
            if "head" in line:
                head = line["head"]
            elif "frame" in line:
                yield read_frame(line, (head["height"], head["width"]), tuple(head["words"]))
            elif overlay is not None and "summary" in line:
                from lexiseg import imaging

                data = base64.b64decode(line["summary"]["files"]["overlay"])
                imaging.write_bytes(overlay, data)

    def models(self) -> dict[str, Any]:
        """Return which model answers, what it knows, and its limits."""
        return self._answer("GET", "/v1/models")

    def ready(self) -> bool:
        """Return whether the model is loaded; False where nobody answers."""
        import httpx2

        try:
            return bool(self._http.get("/readyz").status_code == 200)
        except httpx2.HTTPError:
            return False

    def _post(self, path: str, image: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
        return self._answer(
            "POST",
            path,
            files={"image": ("image", _file_of(image), "application/octet-stream")},
            data={"request": json.dumps(asked)},
        )

    def _lines(self, path: str, files: Any, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the lines of an answer. Raises what the server raised, at whatever line."""
        import httpx2

        request = {"files": files, "data": {"request": json.dumps(asked)}}
        try:
            with self._http.stream("POST", path, **request) as answer:
                if answer.status_code != 200:
                    retry_after = answer.headers.get("retry-after")
                    raise _error(_json(answer.read()), answer.status_code, retry_after)
                for text in answer.iter_lines():
                    line = _json(text)
                    if not isinstance(line, dict) or "error" in line:
                        raise _error(line, answer.status_code, None)
                    yield line
        except httpx2.HTTPError as error:
            raise self._no_answer(error) from error

    def _no_answer(self, error: Exception) -> ServerError:
        return ServerError(
            f"no answer from {self._http.base_url} ({error or type(error).__name__}); "
            "is `lexiseg serve` running there?"
        )

    def _answer(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        import httpx2

        try:
            answer = self._http.request(method, path, **what)
        except httpx2.HTTPError as error:
            raise self._no_answer(error) from error
        document = _json(answer.content)
        if answer.status_code == 200 and isinstance(document, dict):
            return document
        raise _error(document, answer.status_code, answer.headers.get("retry-after"))


def _json(text: str | bytes) -> Any:
    """Return what JSON says, None where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _error(document: Any, status: int, retry_after: str | None) -> LexisegError:
    """The error that the server raised, of its own kind where this is one of lexiseg's."""
    told = document.get("error") if isinstance(document, dict) else None
    if not isinstance(told, dict):
        return ServerError(f"HTTP status {status}, and no answer of lexiseg's", status)
    kind = getattr(errors, str(told.get("type")), None)
    message = str(told.get("message"))
    if isinstance(kind, type) and issubclass(kind, LexisegError):
        return kind(message)
    seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return ServerError(message, status, seconds)


def _example(one: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(one)
    if out.get("image") is not None:
        out["image"] = base64.b64encode(_file_of(out["image"])).decode("ascii")
    if out.get("box") is not None:
        out["box"] = [float(value) for value in out["box"]]
    return out


def _file_of(image: Any) -> bytes:
    """The bytes of a picture's file: as they are on the disk, else as a lossless PNG."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | os.PathLike):
        try:
            return Path(image).read_bytes()
        except OSError as error:
            raise PictureError(
                f"{str(image)!r} cannot be read ({error.strerror or error}); give a picture's file"
            ) from error
    from lexiseg import imaging

    if isinstance(image, imaging.Picture):
        return imaging.encode("picture.png", image)
    if hasattr(image, "save"):  # a PIL image: its EXIF block goes along
        out = io.BytesIO()
        image.save(out, "PNG", exif=image.getexif())
        return out.getvalue()
    return imaging.encode("picture.png", imaging.read(image))
