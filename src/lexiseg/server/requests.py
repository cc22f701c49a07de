"""What clients send: JSON, or a form with files, read into the same checked values."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile

from lexiseg.errors import InputError, PictureError, PromptError
from lexiseg.prompts import Example, Like, Vocabulary, clean, split_words

if TYPE_CHECKING:
    from lexiseg.edit.steps import EditStep
    from lexiseg.server.generator import Generator

__all__ = [
    "CheckedModel", "EditRequest", "ExampleImage", "ExportRequest", "ExportedMask",
    "ExportedPhoto",
    "ImageRequest", "MaskFormat", "MaskRle", "RefineRequest", "SegmentRequest", "StepRequest",
    "body_schema", "edit_step", "read_request", "read_upload", "validation_message",
]  # fmt: skip

MaskFormat = Literal["rle", "png", "polygons", "index"]
Number = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Number, Number]
Box = tuple[Number, Number, Number, Number]
Text = Annotated[str, Field(max_length=10_000)]


class CheckedModel(BaseModel):
    """Refuses fields that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExampleImage(CheckedModel):
    """An example of what is meant: a picture (base64 of its file), or a place in the same one."""

    image: str | None = Field(None, description="base64 of a picture's file; None: this picture")
    box: Box | None = Field(None, description="x0, y0, x1, y1 in pixels of the example")
    word: Text | None = Field(None, description="what it is called, or the word it is mixed with")


class ImageRequest(CheckedModel):
    """A picture: its file, or the digest by which an earlier answer named it."""

    image: str | None = Field(None, description="base64 of a picture's file")
    digest: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="of a picture sent before: 404 where it is gone"
    )


class SegmentRequest(ImageRequest):
    """What to find in a picture. Without words, points, boxes and examples: what is there."""

    words: list[Text] | Text | None = Field(
        None, description='a list, or one text: "sky; sofa|couch; person -helmet"'
    )
    background: list[Text] | Literal["default"] | None = Field(
        "default", description="what else competes; null: every pixel gets a word"
    )
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field({}, description="a word's")
    flat: bool | None = Field(None, description="parts and kinds compete with their wholes")
    points: list[Point] = Field([], max_length=256, description="x, y: each is on a thing")
    not_points: list[Point] = Field([], max_length=256, description="x, y: on what is not meant")
    boxes: list[Box] = Field([], max_length=256, description="x0, y0, x1, y1 around a thing")
    examples: list[ExampleImage] = Field([], max_length=64)
    everything: bool = Field(False, description="all masks of the picture, each with its best word")
    masks: MaskFormat = Field("rle", description="how the answer holds masks")

    @property
    def has_clicks(self) -> bool:
        """Whether anything is pointed at."""
        return bool(self.points or self.boxes or self.not_points)

    @property
    def has_only_examples(self) -> bool:
        """Whether things are meant by their looks alone."""
        return bool(self.examples) and not (self.words or self.has_clicks or self.everything)

    def prompts(self, rgb: Any, max_pixels: int, max_words: int) -> Any:
        """Return the words and examples as a segmenter takes them; None where there are none.

        rgb: the picture, (H, W, 3) uint8, for examples in it. Raises PromptError, PictureError.
        """
        words = self.words
        if isinstance(words, str) and not self.examples:
            return words
        texts: list[str | Like] = [words] if isinstance(words, str) else list(words or ())
        if len(texts) > max_words:
            raise PromptError(f"{len(texts):,} words, more than {max_words:,} (--max-words)")
        if not self.examples:
            return texts or None
        if isinstance(words, str):
            texts = list(split_words(words))
        named: dict[str, list[Example]] = {}
        for number, one in enumerate(self.examples, start=1):
            name = clean(one.word or "") or f"example {number}"
            named.setdefault(name, []).append(Example(_pixels(one, rgb, max_pixels), one.box))
        out: list[str | Like] = []
        for text in texts:
            own = named.pop(clean(str(text).partition("|")[0]), None)
            out.append(text if own is None else Like(tuple(own), words=str(text)))
        return [*out, *(Like(tuple(own), name=name) for name, own in named.items())]


class MaskRle(CheckedModel):
    """A mask of one's own: a COCO run length, {"size": [H, W], "counts": "..."}."""

    size: tuple[int, int]
    counts: str | list[int]


class RefineRequest(ImageRequest):
    """One thing, by all points and the box together, and the mask that they correct."""

    points: list[Point] = Field([], max_length=256, description="x, y: each is on the thing")
    not_points: list[Point] = Field([], max_length=256, description="x, y: each is beside it")
    box: Box | None = Field(None, description="x0, y0, x1, y1 around it")
    mask: MaskRle | None = Field(None, description="the mask so far")


class ExportedMask(CheckedModel):
    """One mask of a picture."""

    word: Text
    score: Annotated[float, Field(ge=0, le=1)] = 1.0
    rle: MaskRle


class ExportedPhoto(CheckedModel):
    """A picture's name, size and masks; the picture itself where the format holds it."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    height: Annotated[int, Field(ge=1, le=1 << 20)]
    width: Annotated[int, Field(ge=1, le=1 << 20)]
    masks: list[ExportedMask] = Field([], max_length=1000)
    image: str | None = Field(None, description="base64 of its file")


class ExportRequest(CheckedModel):
    """Masks to be written in a format of annotations."""

    format: Text
    photos: list[ExportedPhoto] = Field(min_length=1, max_length=10_000)


class StepRequest(CheckedModel):
    """One edit: what to do, with which settings, to what words name or masks hold."""

    operation: Text
    words: list[Text] | Text = Field([], description="what is meant, by words")
    masks: list[MaskRle] = Field([], max_length=1000, description="what is meant, by masks")
    options: dict[str, Any] = Field({}, description="fields of the operation's Config")
    image: str | None = Field(None, description="base64: the picture that replace, background take")


class EditRequest(ImageRequest):
    """Edits of a picture, one after the other."""

    steps: list[StepRequest] = Field(min_length=1, max_length=32)
    words: list[Text] | Text = Field([], description="what else is there: words that compete")
    background: list[Text] | Literal["default"] | None = "default"
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    format: Literal["png", "jpg", "webp", "tif", "avif"] = "png"


_Asked = TypeVar("_Asked", bound=BaseModel)


async def read_request(request: Request, kind: type[_Asked]) -> tuple[_Asked, bytes | None]:
    """Return what a request asks, and the bytes of its picture, if it has one.

    A form has a file `image`, and all else as `read_upload` reads it.
    """
    asked, uploads = await read_upload(request, kind, ("image",))
    files = uploads.get("image")
    return asked, None if files is None else files[-1]


async def read_upload(
    request: Request, kind: type[_Asked], names: Sequence[str], max_files: int = 8
) -> tuple[_Asked, dict[str, list[bytes]]]:
    """Return what a request asks, and the bytes of its files by the field's name.

    names: of fields that hold files; in JSON they are base64. A form has, beside its files, either
    a field `request` with the JSON of all else, or fields of the names of JSON's, which may repeat.
    Raises HTTPException for what cannot be read.
    """
    content = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
    files: dict[str, list[bytes]] = {}
    if content == "application/json":
        data: Any = _json(await request.body(), "the body")
    elif content == "multipart/form-data":
        async with request.form(
            max_files=max_files, max_fields=256, max_part_size=16 << 20
        ) as form:
            for name, one in form.multi_items():
                if isinstance(one, UploadFile):
                    if name not in names:
                        wanted = " or ".join(repr(known) for known in names)
                        raise HTTPException(422, f"a file {name!r}; send files as {wanted}")
                    files.setdefault(name, []).append(await one.read())
            texts = [(name, one) for name, one in form.multi_items() if isinstance(one, str)]
        data = _of_form(texts, kind)
    else:
        raise HTTPException(
            415, f"content-type {content!r}; send application/json or multipart/form-data"
        )
    if not isinstance(data, dict):
        raise HTTPException(422, "the body is no JSON object; send {...}")
    asked = kind.model_validate(data)
    for name in names:
        given = getattr(asked, name, None)
        if given is not None and name not in files:
            listed = [given] if isinstance(given, str) else given
            files[name] = [_decoded(text) for text in listed]
    return asked, files


def body_schema(kind: type[BaseModel], files: Mapping[str, bool] | None = None) -> dict[str, Any]:
    """Return what OpenAPI says of a body that `read_upload` reads.

    files: names of the fields that hold files -> whether they may repeat; None: "image".
    """
    ref = {"$ref": f"#/components/schemas/{kind.__name__}"}
    fields: dict[str, Any] = {}
    for name, several in (files or {"image": False}).items():
        one = {"type": "string", "format": "binary"}
        fields[name] = {"type": "array", "items": one} if several else one
    fields["request"] = {"type": "string", "description": f"a {kind.__name__}"}
    form = {"type": "object", "properties": fields}
    content = {"application/json": {"schema": ref}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


def _of_form(texts: list[tuple[str, str]], kind: type[BaseModel]) -> Any:
    names = [name for name, _ in texts]
    if "request" in names:
        if len(names) > 1:
            raise HTTPException(422, "a field 'request' holds all; send no other beside it")
        return _json(texts[0][1].encode(), "the field 'request'")
    out: dict[str, Any] = {}
    for name, text in texts:
        value: Any = text
        if text[:1] in '[{"' or text in ("true", "false", "null") or _is_number(text):
            value = _json(text.encode(), f"the field {name!r}")
        if name not in out:
            out[name] = value
        else:
            before = out[name]
            out[name] = [*before, value] if isinstance(before, list) else [before, value]
    return out


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower().strip("+-") not in ("nan", "inf", "infinity")


def _json(body: bytes, what: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"{what} is no JSON ({error})") from error


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError(f"the picture is no base64 of a file ({error})") from error


def _pixels(example: ExampleImage, rgb: Any, max_pixels: int) -> Any:
    if example.image is None:
        return rgb
    from lexiseg import imaging

    data = _decoded(example.image)
    return imaging.read_bytes(data, name="the example", max_pixels=max_pixels).rgb


def edit_step(step: StepRequest, max_pixels: int, generator: Generator) -> EditStep:
    """Return a step of an edit; names of files in its options are refused.

    generator: what is named as the network where a step's words are to be made into pixels.
    Raises InputError: a server opens no file that a client names.
    """
    from lexiseg import edit, imaging
    from lexiseg.edit.colour import is_colour
    from lexiseg.edit.run import wanted_model
    from lexiseg.edit.steps import EditStep

    options = {name: _hashable(value) for name, value in step.options.items()}
    for name in ("model", "progress"):
        if options.get(name) is not None:
            raise InputError(f"{name!r} cannot be chosen by a request; the server has its models")
    takes = {"replace": "with_", "background": "ground"}.get(step.operation)
    if step.image is not None:
        if takes is None:
            raise InputError(f"{step.operation} takes no picture; leave 'image' out")
        data = _decoded(step.image)
        options[takes] = imaging.read_bytes(data, name="its picture", max_pixels=max_pixels)
    elif takes is not None and isinstance(options.get(takes), str):
        text = options[takes]
        if not (is_colour(text) or (takes == "ground" and text in ("transparent", "blur"))):
            if takes == "ground":
                raise InputError(f"{takes}: {text!r} is no colour; a picture is sent as 'image'")
            generator.check(f"{takes}: {text!r} is no colour; a picture is sent as 'image'")
            options["model"] = generator.name  # so that it is words, and no file's name
    texts = split_words(step.words) if isinstance(step.words, str) else list(step.words)
    names = Vocabulary.parse(texts).names if any(texts) else ()
    config = edit.settings(step.operation, **options)
    if wanted_model(config) is not None:
        generator.check(step.operation)
        config = replace(config, model=generator.name)
    return EditStep(step.operation, config, tuple(texts), names)


def _hashable(value: Any) -> Any:
    return tuple(_hashable(one) for one in value) if isinstance(value, list) else value


def validation_message(error: ValidationError) -> str:
    """Return what is wrong with a body, in a line."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    more = error.error_count() - 1
    return f"{where}: {first['msg']}" + (f" (and {more} more)" if more else "")
