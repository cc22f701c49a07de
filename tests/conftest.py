"""No test touches the user's caches; encoders for tests: one that sees nothing but colours, so that
results can be worked out by hand, and the bundled model's towers with random weights."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lexiseg.device import Compute, seeded
from lexiseg.protocols import EncodedImage, SizePolicy
from lexiseg.results import UnknownWord

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from lexiseg.models.tiny.encoder import TinyEncoder
    from lexiseg.models.tiny.text import TextTower
    from lexiseg.models.tiny.vision import VisionNet


if "OMP_NUM_THREADS" in os.environ:  # which OpenCV does not read
    cv2.setNumThreads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--weights",
        metavar="DIR",
        type=Path,
        help="a folder as LEXISEG_CACHE names it: contracts hold for the checkpoints in it too",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Give this run caches of its own, before anything reads the environment."""
    home = Path(tempfile.mkdtemp(prefix="lexiseg-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in [n for n in os.environ if n.startswith(("LEXISEG_", "HF_", "HUGGING_FACE_"))]:
        del os.environ[name]
    for name in ("LEXISEG_CACHE", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        os.environ[name] = str(home / name)
    if (weights := config.getoption("--weights")) is not None:
        pulled = weights.expanduser().resolve() / "checkpoints"
        if not pulled.is_dir():
            raise pytest.UsageError(f"--weights: {pulled} is no folder; give what LEXISEG_CACHE is")
        (home / "LEXISEG_CACHE").mkdir()  # what tests write there is not written into DIR
        (home / "LEXISEG_CACHE" / "checkpoints").symlink_to(pulled)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell how long the files of the source are, where that was looked at."""
    for report in terminalreporter.stats.get("passed", []):
        if "up_to_400_lines" in report.nodeid:
            facts = ", ".join(f"{name}: {value}" for name, value in report.user_properties)
            terminalreporter.write_line(f"src/lexiseg: {facts}")


@pytest.fixture(autouse=True)
def threads_stay_as_they_were() -> Iterator[None]:
    """Numba, which PyMatting loads, sets OpenMP's for all: workers would fight for the cores."""
    of_torch, of_opencv = torch.get_num_threads(), cv2.getNumThreads()
    yield
    if torch.get_num_threads() != of_torch:
        torch.set_num_threads(of_torch)
    if cv2.getNumThreads() != of_opencv:
        cv2.setNumThreads(of_opencv)


@pytest.fixture(scope="session", autouse=True)
def connections_stay_here() -> Iterator[None]:
    """Connections to other machines are refused."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            assert address[0] in ("127.0.0.1", "::1", "localhost"), f"a connection to {address}"
        real(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield


COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
}
# Further words, as mixtures of colours; every other word lies in a direction of its own.
MIXTURES = {
    "crimson": {"red": 1.0},
    "scarlet": {"red": 1.0, "blue": 0.3},  # cosine with red: 0.958
    "orange": {"red": 1.0, "yellow": 1.0},  # 0.707
    "background": {"grey": 1.0},
}
ELSEWHERE = len(COLOURS)


class ColourEncoder:
    """A cell of 4x4 pixels has the parts of each named colour in it as its feature.

    A word has a cosine of 1 with a cell of its colour and 0 with all others.
    """

    name = "colours"
    scale = 20.0
    synonym_threshold = 0.85
    presence = 0.0
    size = SizePolicy(short_side=64, window=96, multiple=8)
    cell = 4
    device_name = "cpu"
    dtype_name = "fp32"
    sha256 = {"colours.safetensors": "0" * 64}  # noqa: RUF012

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []  # shapes of what was encoded

    def text(self, words: Sequence[str], templates: Sequence[str] = ("{}",)) -> torch.Tensor:
        rows = [[self._vector(t.format(word)) for t in templates] for word in words]
        return F.normalize(torch.tensor(rows).mean(1), dim=-1)

    def _vector(self, sentence: str) -> list[float]:
        out = [0.0] * (len(COLOURS) + 1)
        for word in sentence.casefold().split():
            mixture = MIXTURES.get(word, {word: 1.0} if word in COLOURS else {})
            for colour, part in mixture.items():
                out[list(COLOURS).index(colour)] += part
        if not any(out):
            out[ELSEWHERE] = 1.0
        return out

    def dense(self, rgb: torch.Tensor) -> torch.Tensor:
        assert rgb.dtype == torch.uint8
        assert rgb.ndim == 4
        assert rgb.shape[3] == 3
        assert rgb.shape[1] % self.size.multiple == rgb.shape[2] % self.size.multiple == 0
        self.seen.append(tuple(rgb.shape))
        palette = torch.tensor(list(COLOURS.values()), dtype=torch.float32)
        nearest = (rgb.float()[..., None, :] - palette).square().sum(-1).argmin(-1)
        parts = F.one_hot(nearest, len(COLOURS) + 1).permute(0, 3, 1, 2).float()
        return F.normalize(F.avg_pool2d(parts, self.cell).permute(0, 2, 3, 1), dim=-1)

    def pooled(self, rgb: torch.Tensor, masks: torch.Tensor | None = None) -> torch.Tensor:
        features = self.dense(rgb)
        if masks is None:
            return F.normalize(features.mean((1, 2)), dim=-1)
        covered = F.avg_pool2d(masks[:, None].float(), self.cell)[:, 0]
        return F.normalize(torch.einsum("nhw,hwd->nd", covered, features[0]), dim=-1)

    def unknown(self, words: Sequence[str]) -> tuple[UnknownWord, ...]:
        far = [w for w in words if self._vector(w)[ELSEWHERE]]
        return tuple(UnknownWord(w, ("red", "green"), len(w) / 1000) for w in far)


class ColourPrompted:
    """The same encoder as a model that draws maps for prompts: 10 on a cell of the word's colour,
    -10 elsewhere."""

    name = "colours"
    templates = ("{}",)
    example = ()
    device_name = "cpu"
    dtype_name = "fp32"

    def __init__(self, encoder: ColourEncoder) -> None:
        self.encoder = encoder
        self.sha256 = encoder.sha256

    def unknown(self, words: Sequence[str]) -> tuple[UnknownWord, ...]:
        return self.encoder.unknown(words)

    def encode(
        self, rgb: NDArray[np.uint8], *, side: int | None = None, stretch: bool = True
    ) -> EncodedImage:
        from lexiseg.stages.dense_features import encode_image

        found = encode_image(self.encoder, rgb, short_side=side or 64, window=96)  # type: ignore[arg-type]
        return EncodedImage(found.grid, found.work_hw, found.cell)

    def words(self, sentences: Sequence[str]) -> torch.Tensor:
        return self.encoder.text(sentences)

    def examples(
        self, pictures: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]]
    ) -> torch.Tensor:
        made = []
        for rgb, mask in pictures:
            palette = np.array(list(COLOURS.values()))
            nearest = np.square(rgb[mask][:, None].astype(int) - palette).sum(-1).argmin(-1)
            made.append(np.bincount(nearest, minlength=len(COLOURS) + 1))
        return F.normalize(torch.tensor(np.stack(made)).float(), dim=-1).mean(0)

    def maps(self, image: EncodedImage, vectors: torch.Tensor) -> torch.Tensor:
        return 20 * (image.value @ vectors.T).permute(2, 0, 1) - 10


@pytest.fixture
def colours() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def stripes() -> NDArray[np.uint8]:
    """(64, 96, 3): red to column 40, green to 64, grey to 80, blue to the end; all whole cells."""
    out = np.empty((64, 96, 3), np.uint8)
    for start, stop, name in (
        (0, 40, "red"),
        (40, 64, "green"),
        (64, 80, "grey"),
        (80, 96, "blue"),
    ):
        out[:, start:stop] = COLOURS[name]
    return out


@pytest.fixture
def garden() -> NDArray[np.uint8]:
    """(64, 96, 3): green, with two red squares, a blue one, and a yellow spot on the first red."""
    out = np.empty((64, 96, 3), np.uint8)
    out[:] = COLOURS["green"]
    out[9:31, 9:31] = out[41:63, 65:87] = COLOURS["red"]
    out[10:30, 50:70] = COLOURS["blue"]
    out[16:24, 16:24] = COLOURS["yellow"]
    return out


@pytest.fixture(scope="session")
def random_tiny() -> TinyEncoder:
    """The bundled model's towers, small and with random weights: for plumbing, not for meaning."""
    from lexiseg.models.tiny.encoder import TinyEncoder

    net, tower, tokenizer = small_towers()
    words = ["dog", "cat", "red car", "left eye"]
    compute = Compute(torch.device("cpu"), torch.float32)
    return TinyEncoder(net, tower, tokenizer, words, compute, name="random", unknown_below=0.5)


def small_towers() -> tuple[VisionNet, TextTower, Tokenizer]:
    from tokenizers import Tokenizer, models, pre_tokenizers

    from lexiseg.models.tiny.text import TextConfig, TextTower
    from lexiseg.models.tiny.vision import VisionConfig, VisionNet

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[UNK]", *letters, *(f"##{c}" for c in letters)]
    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    with seeded(0):
        net = VisionNet(
            VisionConfig(
                dim=16, context_dim=16, context_layers=2, heads=2, mlp=24,
                middle_dim=12, fine_dim=8, text_dim=20,
            )
        )  # fmt: skip
        tower = TextTower(
            TextConfig(
                vocab_size=len(pieces), token_dim=8, dim=16, layers=2, heads=2, mlp=24,
                max_tokens=12, out_dim=20,
            )
        )  # fmt: skip
        tower.out.weight.data.normal_()  # it starts at zero
    return net, tower, tokenizer
