"""The bundled model's networks, small and with random weights, against slow code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lexiseg.device import Compute, seeded
from lexiseg.errors import CheckpointError
from lexiseg.models.tiny.encoder import TinyEncoder
from lexiseg.models.tiny.masknet import MaskNet, MaskNetConfig
from lexiseg.models.tiny.text import TextConfig, TextTower, pack, tokenise, unpack
from lexiseg.models.tiny.vision import MobileNetV2, VisionConfig, VisionNet
from lexiseg.protocols import Encoder, VocabularyAware

Floats = NDArray[np.floating]
SMALL = VisionConfig(
    dim=16, context_dim=16, context_layers=1, heads=2, mlp=24, middle_dim=12, fine_dim=8,
    text_dim=20,
)  # fmt: skip


# The backbone


def tensorflow_same(x: Floats, weight: Floats, bias: Floats, stride: int, groups: int) -> Floats:
    """A 3x3 convolution of (C, H, W) as TensorFlow's SAME defines it, an output at a time.

    ceil(n / stride) outputs; of the padding that they need, the smaller half stands in front.
    """
    channels, height, width = x.shape
    out_hw = [-(-n // stride) for n in (height, width)]
    front = [
        max((o - 1) * stride + 3 - n, 0) // 2 for o, n in zip(out_hw, (height, width), strict=True)
    ]
    each = channels // groups
    out = np.zeros((len(weight), *out_hw))
    for o in range(len(weight)):
        first = o // (len(weight) // groups) * each
        for i in range(out_hw[0]):
            for j in range(out_hw[1]):
                total = bias[o]
                for c in range(each):
                    for a in range(3):
                        for b in range(3):
                            y, z = i * stride + a - front[0], j * stride + b - front[1]
                            if 0 <= y < height and 0 <= z < width:
                                total += weight[o, c, a, b] * x[first + c, y, z]
                out[o, i, j] = total
    return out


def plain(layer: nn.Conv2d) -> tuple[Floats, Floats]:
    assert layer.bias is not None
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


def one_by_one(x: Floats, layer: nn.Conv2d) -> Floats:
    weight, bias = plain(layer)
    return np.einsum("oc,chw->ohw", weight[:, :, 0, 0], x) + bias[:, None, None]


SIZES = [(6, 8), (7, 8), (6, 9), (7, 9), (1, 2), (2, 1), (1, 1)]


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("number", [1, 4])  # of stride 2; and of stride 1 with a residual
def test_a_block_pads_as_tensorflow_does(size_hw: tuple[int, int], number: int) -> None:
    with seeded(1):
        block: Any = MobileNetV2().blocks[number]
        x = torch.randn(1, block.widen.in_channels, *size_hw)
    stride = block.depthwise.stride[0]
    assert (stride, block.residual) == ((2, False) if number == 1 else (1, True))
    start = x[0].double().numpy()
    wide = one_by_one(start, block.widen).clip(0, 6)
    deep = tensorflow_same(wide, *plain(block.depthwise), stride, len(wide)).clip(0, 6)
    expected = one_by_one(deep, block.narrow)
    if block.residual:
        expected = expected + start
    made = block(x)[0].detach().numpy()
    np.testing.assert_allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize("size_hw", [(8, 12), (9, 12), (8, 13), (9, 13)])
def test_the_stem_pads_as_tensorflow_does(size_hw: tuple[int, int]) -> None:
    with seeded(2):
        net = MobileNetV2()
        x = torch.randn(1, 3, *size_hw)
    seen: list[Tensor] = []
    net.stem.register_forward_hook(lambda layer, given, made: seen.append(made.clone()))
    net(x)
    expected = tensorflow_same(x[0].double().numpy(), *plain(net.stem), 2, 1)
    np.testing.assert_allclose(seen[0][0].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size_hw", [(64, 96), (96, 64), (33, 50), (31, 1)])
def test_maps_have_strides_4_8_16_and_32(size_hw: tuple[int, int]) -> None:
    maps = MobileNetV2()(torch.randn(2, 3, *size_hw))
    for made, width, stride in zip(maps, MobileNetV2.widths, (4, 8, 16, 32), strict=True):
        assert made.shape == (2, width, *(-(-side // stride) for side in size_hw))


def test_low_and_high_are_the_whole() -> None:
    net, x = MobileNetV2().eval(), torch.randn(1, 3, 32, 64)
    fine, low = net.low(x)
    for a, b in zip((fine, low, *net.high(low)), net(x), strict=True):
        torch.testing.assert_close(a, b)


# The decoder


@pytest.mark.parametrize("size_hw", [(32, 32), (64, 96), (96, 32), (32, 160)])
def test_features_of_a_picture_that_is_not_square(size_hw: tuple[int, int]) -> None:
    net = VisionNet(SMALL).eval()
    maps = net.backbone(torch.randn(2, 3, *size_hw))
    decoded = net.decode(*maps)
    h, w = size_hw[0] // 4, size_hw[1] // 4
    assert decoded.shape == (2, h, w, SMALL.fine_dim)
    features = net.embed(decoded)
    assert features.shape == (2, h, w, SMALL.dim)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2, h, w))


def test_pictures_of_a_batch_do_not_see_each_other() -> None:
    net, x = VisionNet(SMALL).eval(), torch.randn(3, 3, 32, 64)
    together, alone = net(x), torch.cat([net(part[None]) for part in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_words_are_projected_to_unit_length_and_the_scale_is_bounded() -> None:
    net = VisionNet(SMALL)
    vectors = net.project(torch.randn(5, 20))
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(5))
    assert float(net.scale().detach()) == pytest.approx(np.exp(2.7), rel=1e-5)
    net.log_scale.data.fill_(9.0)
    assert float(net.scale().detach()) == 50.0


def test_the_shipped_sizes_fit_into_the_wheel() -> None:
    halves = sum(p.numel() for net in (VisionNet(), MaskNet()) for p in net.parameters())
    text = sum(value.nbytes for value in pack(TextTower()).values())
    assert 2 * halves + text < 22e6  # bytes; the tokeniser is under one megabyte


# The text tower


@pytest.fixture
def tower() -> TextTower:
    sizes = TextConfig(
        vocab_size=50, token_dim=8, dim=16, layers=2, heads=2, mlp=24, max_tokens=12, out_dim=20
    )
    with seeded(3):
        made = TextTower(sizes).eval()
        made.positions.data.normal_()
        made.out.weight.data.normal_()  # it starts at zero
        made.requires_grad_(False)
    return made


def as_batch(rows: list[list[int]], length: int) -> tuple[Tensor, Tensor]:
    ids, mask = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask.bool()


def test_padding_does_not_change_a_vector(tower: TextTower) -> None:
    row = [3, 17, 42]
    short, long = tower(*as_batch([row], 3)), tower(*as_batch([row], 12))
    torch.testing.assert_close(short, long)
    ids, mask = as_batch([row], 12)
    ids[0, 3:] = 49  # whatever stands in the padding
    torch.testing.assert_close(tower(ids, mask), short)


def test_the_order_of_a_batch_does_not_matter(tower: TextTower) -> None:
    rows = [[3], [5, 6, 7, 8, 9], [10, 11], [12, 13, 14]]
    whole = tower(*as_batch(rows, 5))
    order = [2, 0, 3, 1]
    torch.testing.assert_close(tower(*as_batch([rows[i] for i in order], 5)), whole[order])
    torch.testing.assert_close(torch.cat([tower(*as_batch([r], len(r))) for r in rows]), whole)


def test_the_order_of_words_in_a_phrase_matters(tower: TextTower) -> None:
    a, b = tower(*as_batch([[3, 4], [4, 3]], 2))
    assert (a - b).abs().max() > 1e-3
    torch.testing.assert_close(a.norm(), torch.tensor(1.0))


def test_tokens_are_lower_case_cut_and_never_none(random_tiny: TinyEncoder) -> None:
    tokenizer = random_tiny.tokenizer
    ids, mask = tokenise(tokenizer, ["ab", "AB", "", "犬", "abcdefghijklmnop"], max_tokens=5)
    assert ids.shape == (5, 5)
    assert mask.sum(1).tolist() == [2, 2, 1, 1, 5]
    assert ids[0].tolist() == ids[1].tolist()
    assert ids[2, 0] == ids[3, 0] == 0


# The encoder


def test_it_fulfils_the_protocols(random_tiny: TinyEncoder) -> None:
    assert isinstance(random_tiny, Encoder)
    assert isinstance(random_tiny, VocabularyAware)
    assert (random_tiny.device_name, random_tiny.dtype_name) == ("cpu", "fp32")


def test_words_have_unit_length_and_average_their_templates(random_tiny: TinyEncoder) -> None:
    words = ["dog", "red car"]
    templates = ("{}", "a photo of a {}")
    vectors = random_tiny.text(words, templates)
    assert vectors.shape == (2, 16)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2))
    for word, vector in zip(words, vectors, strict=True):
        both = random_tiny.meanings([t.format(word) for t in templates]).mean(0)
        expected = random_tiny.net.project(F.normalize(both, dim=-1))
        torch.testing.assert_close(vector, expected)


@pytest.mark.parametrize(("cosine", "share"), [(0.5, 0), (0.7, 1.5), (0.9, 3), (1.0, 0)])
def test_a_word_leans_on_its_nearest_known_one(
    random_tiny: TinyEncoder, cosine: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TinyEncoder(
        random_tiny.net, random_tiny.tower, random_tiny.tokenizer, ["cat", "dog"],
        Compute(torch.device("cpu"), torch.float32),
    )  # fmt: skip
    cat, dog, other = torch.eye(len(random_tiny.meanings(["cat"])[0]))[:3]
    word = cosine * dog + (1 - cosine**2) ** 0.5 * other
    meanings = {"cat": cat, "dog": dog, "hound": word}
    monkeypatch.setattr(
        encoder, "meanings", lambda words: torch.stack([meanings[w] for w in words])
    )
    expected = random_tiny.net.project(F.normalize(word + share * dog, dim=-1)[None])
    torch.testing.assert_close(encoder.text(["hound"]), expected)


@pytest.mark.parametrize(
    ("word", "known"),
    [("trouser", "pants"), ("lounge", "sofa"), ("scissor", "scissors"), ("sandal", "sandals"),
     ("glass", None), ("poodle", None), ("red car", None)],
)  # fmt: skip
def test_a_word_that_means_the_same_by_the_dictionary_is_known(
    random_tiny: TinyEncoder, word: str, known: str | None
) -> None:
    """Whatever the text tower makes of it; "glass" is no singular of "glasses"."""
    words = ["pants", "sofa", "scissors", "sandals", "glasses", "dog", "car"]
    axes = torch.eye(len(random_tiny.meanings(["cat"])[0]))
    meanings = dict(zip([*words, word], axes, strict=False))

    class Given(TinyEncoder):
        def meanings(self, phrases: Sequence[str]) -> Tensor:
            return torch.stack([meanings[phrase] for phrase in phrases])

    encoder = Given(
        random_tiny.net, random_tiny.tower, random_tiny.tokenizer, words,
        Compute(torch.device("cpu"), torch.float32),
    )  # fmt: skip
    assert bool(encoder.unknown([word])) == (known is None)
    mean = axes[7] if known is None else axes[7] + 10 * axes[words.index(known)]
    expected = random_tiny.net.project(F.normalize(mean, dim=-1)[None])
    torch.testing.assert_close(encoder.text([word]), expected)


def test_a_word_means_the_same_whatever_is_asked_with_it(random_tiny: TinyEncoder) -> None:
    alone = random_tiny.text(["zebra"])
    long = random_tiny.text(["a very long phrase about zebras", "zebra"])
    torch.testing.assert_close(alone[0], long[1])
    torch.testing.assert_close(random_tiny.text(["Zebra"])[0], alone[0])
    many = random_tiny.text([f"word {i}" for i in range(300)])
    torch.testing.assert_close(random_tiny.text(["word 299"])[0], many[299])


def test_pooled_is_the_mean_of_the_features_weighted_by_cover(random_tiny: TinyEncoder) -> None:
    rng = np.random.default_rng(4)
    rgb = torch.from_numpy(rng.integers(0, 256, (1, 64, 96, 3)).astype(np.uint8))
    masks = torch.from_numpy(rng.random((3, 64, 96)) < 0.3)
    masks[1, :, 50:] = masks[2] = False
    features = random_tiny.dense(rgb)
    assert features.shape == (1, 16, 24, 16)
    made = random_tiny.pooled(rgb, masks)
    assert made.shape == (3, 16)
    for n in range(2):
        total = np.zeros(16)
        for y in range(64):
            for x in range(96):
                if masks[n, y, x]:
                    total += features[0, y // 4, x // 4].numpy()
        np.testing.assert_allclose(made[n].numpy(), total / np.linalg.norm(total), atol=1e-5)
    assert made[2].abs().max() == 0  # an empty mask
    whole = random_tiny.pooled(rgb.repeat(2, 1, 1, 1))
    assert whole.shape == (2, 16)
    everything = random_tiny.pooled(rgb, torch.ones(1, 64, 96, dtype=torch.bool))
    torch.testing.assert_close(whole[:1], everything)


def test_unknown_words_are_those_far_from_what_was_learned(random_tiny: TinyEncoder) -> None:
    words = ["dog", "left eye", "qqqq", "xylophone"]
    near = random_tiny.meanings(words) @ random_tiny.meanings(random_tiny.known_words).T
    limit = float(near.amax(1).sort().values[1]) + 1e-6  # two words lie below
    encoder = TinyEncoder(
        random_tiny.net, random_tiny.tower, random_tiny.tokenizer, random_tiny.known_words,
        Compute(torch.device("cpu"), torch.float32), unknown_below=limit,
    )  # fmt: skip
    found = encoder.unknown(words)
    assert [u.word for u in found] == [
        w for w, n in zip(words, near, strict=True) if n.max() < limit
    ]
    assert len(found) == 2
    for unknown in found:
        row = near[words.index(unknown.word)]
        best = row.argsort(descending=True)[:3]
        assert unknown.nearest == tuple(random_tiny.known_words[i] for i in best)
        assert unknown.similarity == pytest.approx(float(row.max()))


def test_a_word_that_named_whole_photos_is_known_but_not_its_neighbours(
    random_tiny: TinyEncoder,
) -> None:
    encoder = TinyEncoder(
        random_tiny.net, random_tiny.tower, random_tiny.tokenizer, ["dog"],
        Compute(torch.device("cpu"), torch.float32),
        tagged_words=["xylophone"], unknown_below=0.999, tagged_below=0.999,
    )  # fmt: skip
    assert [u.word for u in encoder.unknown(["dog", "xylophone", "qqqq"])] == ["qqqq"]


def test_dense_and_words_meet_in_the_method(random_tiny: TinyEncoder) -> None:
    from lexiseg.methods.dense import Config, Segmenter

    rgb = np.random.default_rng(5).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    config = Config(short_side=64, window=64, flip=True, scales=(1.0, 0.5), templates="photo")
    out = Segmenter(random_tiny, config)(rgb, ["dog -tail", "red car|auto"], background=None)
    assert out.semantic().shape == (50, 70)
    assert len(out.provenance.seconds) == 6


# From files


MASKER = MaskNet(
    MaskNetConfig(decoded_dim=8, shared_dim=12, groups=2, key_dim=4, dim=8, mlp=12, fine_dim=6)
)


def bundle(folder: Path, encoder: TinyEncoder, **changes: Any) -> Path:
    from lexiseg.training.tiny.bundle import write_bundle

    folder.mkdir(parents=True, exist_ok=True)
    encoder.tokenizer.save(str(folder / "given.json"))
    return write_bundle(
        folder / "bundle", encoder.net, encoder.tower, MASKER, folder / "given.json",
        known_words=["dog", "cat"], trained_words=["dog", "cat", "zebra"],
        unknown_below=0.3, tagged_below=0.9, recipe={"steps": 3},
    )  # fmt: skip


def test_a_bundle_gives_the_encoder_back(random_tiny: TinyEncoder, tmp_path: Path) -> None:
    import lexiseg

    folder = bundle(tmp_path, random_tiny)
    made = lexiseg.load("dense", encoder=str(folder), device="cpu", dtype="fp32").encoder
    assert made.known_words == ("dog", "cat")
    assert made.tagged_words == ("zebra",)
    assert (made.unknown_below, made.tagged_below) == (0.3, 0.9)
    assert set(made.sha256) == {
        "vision.safetensors", "text.safetensors", "masker.safetensors", "tokenizer.json",
        "config.json",
    }  # fmt: skip
    words = ["dog", "a red car"]
    torch.testing.assert_close(made.text(words), random_tiny.text(words), atol=5e-3, rtol=0)
    rgb = torch.randint(0, 256, (1, 32, 64, 3), dtype=torch.uint8)
    torch.testing.assert_close(made.dense(rgb), random_tiny.dense(rgb), atol=2e-2, rtol=0)
    assert made.scale == pytest.approx(random_tiny.scale, rel=1e-3)


def test_weights_of_other_sizes_are_refused(random_tiny: TinyEncoder, tmp_path: Path) -> None:
    from lexiseg.checkpoints import describe_files, read_manifest, write_manifest

    folder = bundle(tmp_path, random_tiny)
    config = json.loads((folder / "config.json").read_text())
    config["vision"]["fine_dim"] = 10
    (folder / "config.json").write_text(json.dumps(config))
    record = read_manifest(folder)
    files = describe_files(folder, [file.name for file in record.files])
    from dataclasses import replace

    write_manifest(folder, replace(record, files=files))
    import lexiseg

    with pytest.raises(CheckpointError, match="does not fit") as caught:
        lexiseg.load("dense", encoder=str(folder))
    assert "\n" not in str(caught.value)


def test_a_changed_file_is_refused(random_tiny: TinyEncoder, tmp_path: Path) -> None:
    import lexiseg

    folder = bundle(tmp_path, random_tiny)
    with (folder / "config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(CheckpointError):
        lexiseg.load("dense", encoder=str(folder))


def test_tokens_in_8_bits_come_back_within_half_a_step() -> None:
    with seeded(0):
        tower = TextTower(TextConfig(vocab_size=60, token_dim=12, dim=16, mlp=24))
    with torch.no_grad():
        tower.tokens.weight[7] = 0
    stored = pack(tower)
    assert stored["tokens.weight"].dtype == torch.int8
    assert stored["widen.weight"].dtype == torch.float16
    back = unpack(stored)
    assert set(back) == set(tower.state_dict())
    tokens = tower.tokens.weight.detach()
    step = tokens.abs().amax(1, keepdim=True) / 127
    assert bool(
        ((back["tokens.weight"] - tokens).abs() <= 0.51 * step + 0.001 * tokens.abs()).all()
    )
    torch.testing.assert_close(
        back["widen.weight"], tower.widen.weight.detach().half().float(), atol=0, rtol=0
    )


def test_names_of_people_and_brands_are_unknown_and_said_to_be_names() -> None:
    from lexiseg.models import load_encoder
    from lexiseg.protocols import LoadOptions

    encoder: Any = load_encoder("tiny", LoadOptions())
    names = encoder.unknown(["Stephen Curry", "LeBron James", "Nike", "Tesla"])
    assert [one.word for one in names] == ["Stephen Curry", "LeBron James", "Nike", "Tesla"]
    assert all(one.is_name and not one.nearest for one in names)
    assert encoder.unknown(["Dog", "DOG", "dog", "Sky", "Traffic Light", "Person"]) == ()
