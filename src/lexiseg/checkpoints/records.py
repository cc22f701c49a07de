"""The record of a checkpoint: all that must be known to fetch, trust and run its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from lexiseg.errors import CheckpointError

__all__ = [
    "CLIP_PIXELS", "HALF_PIXELS", "IMAGENET_PIXELS", "KINDS", "Checkpoint", "Preprocessing",
    "Record", "WeightFile", "is_plain", "is_secure",
]  # fmt: skip

# What a checkpoint is for, in the order of lists.
KINDS = {
    "encoder": "pictures and words in one space",
    "proxy": "features of places, without words: for proxy-clip and trident",
    "masker": "masks of points and boxes",
    "method": "pictures and words to masks, all in one",
    "detector": "boxes of words",
    "inpainter": "fills what was masked",
}
_ACTIVATIONS = frozenset({"gelu", "gelu-tanh", "quick-gelu", "relu", "relu6", "silu"})
_RESAMPLES = frozenset({"area", "bicubic", "bilinear"})
_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
# One part of a relative path: no "..", no separator of any system, nothing hidden.
_PLAIN_PART = re.compile(r"\w([\w .+()&,=@-]*[\w)])?")
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")

S = TypeVar("S")


def is_plain(path: str) -> bool:
    """Return whether a relative path stays in its folder, on any system, and hides nothing."""
    return all(_PLAIN_PART.fullmatch(part) for part in path.split("/"))


def is_secure(url: str) -> bool:
    """Return whether an address is https; a server on this machine may do without."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in _THIS_MACHINE)
    )


def _check(*checks: tuple[object, str, object, str]) -> None:
    """Each: what must hold, of what, what it is, and what it must be."""
    for good, what, got, expected in checks:
        if not good:
            raise CheckpointError(f"the checkpoint's {what} is {got!r}; it must be {expected}")


def _one_of(choices: frozenset[str]) -> str:
    return f"one of {', '.join(sorted(choices))}"


@dataclass(frozen=True)
class WeightFile:
    """One file of a checkpoint.

    name: what the file is called in its folder; parts of a pipeline lie in folders of their own
        ("unet/config.json").
    sha256: 64 hexadecimal digits; empty where nobody published it: then the first download decides,
        and what came is pinned on this machine.
    bytes: its exact size; 0 where nobody published that.
    path: where it lies in the hub's repository, where that is not `name`.
    url: its https address, where it does not come from the hub.
    """

    name: str
    sha256: str = ""
    bytes: int = 0
    path: str = ""
    url: str = ""

    def __post_init__(self) -> None:
        name, sha256, path, url = self.name, self.sha256, self.path, self.url
        _check(
            # A name or path from outside must not lead out of its folder.
            (is_plain(name), "file", name, "a plain file name or a relative path"),
            (re.fullmatch("([0-9a-f]{64})?", sha256), f"sha256 of {name}", sha256,
             "64 hexadecimal digits, or empty where it is not known"),
            (self.bytes >= 0, f"size of {name}", self.bytes, "a number of bytes, or 0"),
            (not path or is_plain(path), f"path of {name}", path, "a relative path"),
            (not url or is_secure(url), f"address of {name}", url, "an https address"),
        )  # fmt: skip

    @property
    def pinned(self) -> bool:
        """Whether it can be told from any other file; its size need not be known for that."""
        return bool(self.sha256)


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a model's input: `(rgb / 255 - mean) / std` after scaling.

    size: pixels of the short side that it was trained at; None where any will do.
    mean, std: red, green, blue, for values in [0, 1].
    """

    size: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: str = "bilinear"

    def __post_init__(self) -> None:
        mean, std = self.mean, self.std
        _check(
            (self.size is None or self.size > 0, "size", self.size, "pixels above 0, or null"),
            # Means of 0 to 255 are the usual mistake here.
            (len(mean) == 3 and all(0 <= value <= 1 for value in mean), "mean", mean,
             "three numbers in [0, 1]"),
            (len(std) == 3 and all(0 < value <= 1 for value in std), "std", std,
             "three numbers in (0, 1]"),
            (self.resample in _RESAMPLES, "resample", self.resample, _one_of(_RESAMPLES)),
        )  # fmt: skip


# What every CLIP was trained on, unless its configuration says otherwise.
CLIP_PIXELS = Preprocessing(
    None, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "bicubic"
)
# ImageNet's mean and std; a model that has them has a size of its own.
IMAGENET_PIXELS = Preprocessing(None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
HALF_PIXELS = Preprocessing(None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")


@dataclass(frozen=True)
class Record:
    """One checkpoint, complete, checked at birth; raises CheckpointError where it is not.

    name: as in `encoder="clip-vit-b16.openai"`.
    family: the module under `models` that reads it.
    kind: what it is for, one of `KINDS`.
    licence, licence_url: the terms of the weights, which may differ from those of the code.
    activation: of the network's blocks; running weights with another one is silently wrong.
    embed_dim: D of the vectors that it gives; 0 where it gives none.
    stride: pixels a cell of the dense grid (the patch size of a transformer).
    layers: blocks, counted from 0, whose outputs are read where these are not just the last.
    repo, revision: repository on the hub and its full commit; both empty where the weights are
        bundled, local, or at the addresses of the files. A repository without a commit is taken
        as it is when it is pulled for the first time, and stays at that commit on this machine.
    mirrors: other repositories on the hub with the same files, tried in turn where the first has
        been withdrawn.
    gated: whether the hub asks its users to accept terms first.
    """

    name: str
    family: str
    files: tuple[WeightFile, ...]
    licence: str
    licence_url: str
    preprocessing: Preprocessing
    activation: str
    embed_dim: int
    stride: int
    repo: str = ""
    revision: str = ""
    gated: bool = False
    notes: str = ""
    kind: str = "encoder"
    layers: tuple[int, ...] = ()
    mirrors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [file.name for file in self.files]
        words = self.kind in ("encoder", "proxy")
        layers = all(isinstance(layer, int) and layer >= 0 for layer in self.layers)
        _check(
            (_NAME.fullmatch(self.name), "name", self.name, "small letters, digits, dots, dashes"),
            (self.family, "family", self.family, "filled in"),
            (self.licence, "licence", self.licence, "filled in"),
            (self.licence_url, "licence_url", self.licence_url, "filled in"),
            (names and len(set(names)) == len(names), "files", names, "different names"),
            (self.activation in _ACTIVATIONS, "activation", self.activation, _one_of(_ACTIVATIONS)),
            (self.kind in KINDS, "kind", self.kind, f"one of {', '.join(KINDS)}"),
            (self.embed_dim >= int(words), "embed_dim", self.embed_dim,
             "a number above 0" if words else "a number, or 0"),
            (layers, "layers", self.layers, "numbers from 0"),
            (self.stride > 0, "stride", self.stride, "a number of pixels above 0"),
            (not self.repo or re.fullmatch("([0-9a-f]{40})?", self.revision), "revision",
             self.revision, "a full commit of 40 hexadecimal digits, or empty where none is known"),
        )  # fmt: skip

    @property
    def pinned(self) -> bool:
        """Whether the digests of all files are known, so that no others can come."""
        return all(file.pinned for file in self.files)

    @property
    def bytes(self) -> int:
        """The size of all files together, as far as it is known."""
        return sum(file.bytes for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values; `from_json` takes them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: object) -> Record:
        """Return the record that JSON values describe; raises CheckpointError where it cannot."""
        given = dict(_mapping("record", values))
        files = given.get("files")
        _check((isinstance(files, list | tuple), "files", files, "a list"))
        given["files"] = tuple(_build(WeightFile, "file", file) for file in given["files"])
        shape = dict(_mapping("preprocessing", given.get("preprocessing")))
        for field in ("mean", "std"):
            if isinstance(shape.get(field), list):
                shape[field] = tuple(shape[field])
        given["preprocessing"] = _build(Preprocessing, "preprocessing", shape)
        for field in ("layers", "mirrors"):
            if isinstance(given.get(field), list):
                given[field] = tuple(given[field])
        return _build(cls, "record", given)


@dataclass(frozen=True)
class Checkpoint:
    """A record, and where its files lie, verified; `checkpoint["vision.safetensors"]` is a path."""

    record: Record
    paths: Mapping[str, Path]

    @classmethod
    def at(cls, record: Record, folder: Path) -> Checkpoint:
        """Return the checkpoint whose files lie in a folder."""
        return cls(record, {file.name: folder / file.name for file in record.files})

    def __getitem__(self, name: str) -> Path:
        """Return the path of the file of this name; KeyError where the record has none."""
        return self.paths[name]

    @property
    def sha256(self) -> dict[str, str]:
        """The SHA-256 of each file, as results keep them in their provenance."""
        return {file.name: file.sha256 for file in self.record.files}


def _build(kind: type[S], what: str, values: object) -> S:
    given = _mapping(what, values)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(given) - known)
    _check((not unknown, what, unknown, f"of the fields {', '.join(sorted(known))}"))
    try:
        return kind(**given)
    except (TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint's {what} lacks a field or has one of a wrong type: {error}"
        ) from error


def _mapping(what: str, values: object) -> Mapping[str, Any]:
    _check((isinstance(values, Mapping), what, values, "a JSON object"))
    return cast(Mapping[str, Any], values)
