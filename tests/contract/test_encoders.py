"""What every encoder promises: the colours of these tests, random towers, and real weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import weights_here
from tests.close import assert_close
from torch import Tensor

from lexiseg import errors
from lexiseg.protocols import Encoder, LoadOptions, VocabularyAware

NAMES = ["colours", "random", *weights_here.encoders()]
WORDS = ["red", "green car", "dog", "Wall"]


@pytest.fixture(params=NAMES)
def encoder(request: pytest.FixtureRequest, colours: Any, random_tiny: Any) -> Any:
    if request.param in ("colours", "random"):
        return colours if request.param == "colours" else random_tiny
    from lexiseg.models import load_encoder

    try:
        return load_encoder(request.param, LoadOptions(device="cpu"))
    except errors.WeightsMissing as error:
        pytest.skip(str(error))
    except errors.OptionError as error:
        pytest.skip(f"not an encoder: {error}")


def picture(encoder: Encoder, rows: int, columns: int, count: int = 1) -> Tensor:
    """Noise of so many multiples of what the encoder takes, never square."""
    m = encoder.size.multiple
    rng = torch.Generator().manual_seed(rows * 10 + columns)
    return torch.randint(0, 256, (count, rows * m, columns * m, 3), generator=rng).to(torch.uint8)


def unit(values: Tensor) -> bool:
    return torch.allclose(values.norm(dim=-1), torch.ones(values.shape[:-1]), atol=1e-3)


def test_it_fulfils_the_protocol(encoder: Any) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.name
    assert encoder.device_name == "cpu"
    assert encoder.dtype_name in ("fp32", "bf16")
    assert encoder.scale > 0
    assert 0 < encoder.synonym_threshold <= 1
    assert encoder.size.short_side >= encoder.size.multiple
    # CLIP looks at a scaled picture through smaller windows, as its papers do.
    assert encoder.size.window >= encoder.size.multiple
    assert encoder.size.window % encoder.size.multiple == 0
    assert all(len(value) == 64 for value in encoder.sha256.values())


def test_words_are_unit_vectors_in_order(encoder: Any) -> None:
    vectors = encoder.text(WORDS)
    assert vectors.ndim == 2
    assert vectors.shape[0] == len(WORDS)
    assert vectors.dtype == torch.float32
    assert unit(vectors)
    assert_close(encoder.text(WORDS[::-1]), vectors.flip(0))
    assert_close(encoder.text(WORDS[2:3]), vectors[2:3])


def test_templates_are_averaged(encoder: Any) -> None:
    both = encoder.text(WORDS, ("{}", "a photo of a {}"))
    assert both.shape == encoder.text(WORDS).shape
    assert unit(both)
    assert_close(encoder.text(WORDS, ("{}",)), encoder.text(WORDS), 1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (3, 2)])
def test_features_are_unit_vectors_on_a_grid(encoder: Any, rows: int, columns: int) -> None:
    rgb = picture(encoder, rows, columns, 2)
    grid = encoder.dense(rgb)
    b, h, w, d = grid.shape
    assert b == 2
    assert rgb.shape[1] % h == rgb.shape[2] % w == 0
    assert rgb.shape[1] // h == rgb.shape[2] // w  # cells are square
    assert encoder.size.multiple % (rgb.shape[1] // h) == 0
    assert d == encoder.text(WORDS).shape[1]
    assert grid.dtype == torch.float32
    assert torch.isfinite(grid).all()
    assert unit(grid)


def test_pictures_of_a_batch_do_not_see_each_other(encoder: Any) -> None:
    rgb = picture(encoder, 2, 3, 3)
    alone = torch.cat([encoder.dense(part[None]) for part in rgb])
    assert_close(encoder.dense(rgb), alone)


def test_the_same_picture_gives_the_same_features(encoder: Any) -> None:
    rgb = picture(encoder, 2, 3)
    assert torch.equal(encoder.dense(rgb), encoder.dense(rgb.clone()))


def test_pooled_gives_one_vector_a_mask_or_a_picture(encoder: Any) -> None:
    rgb = picture(encoder, 2, 3)
    masks = torch.zeros(2, *rgb.shape[1:3], dtype=torch.bool)
    masks[0, : rgb.shape[1] // 2] = True
    masks[1] = True
    vectors = encoder.pooled(rgb, masks)
    assert vectors.shape == (2, encoder.text(WORDS).shape[1])
    assert unit(vectors)
    pictures = encoder.pooled(picture(encoder, 2, 3, 3))
    assert pictures.shape == (3, vectors.shape[1])
    assert unit(pictures)


def test_what_is_given_is_left_alone(encoder: Any) -> None:
    rgb = picture(encoder, 1, 2)
    before, state = rgb.clone(), torch.get_rng_state()
    encoder.dense(rgb)
    encoder.text(WORDS)
    assert torch.equal(rgb, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_unknown_words_come_with_known_ones(encoder: Any) -> None:
    if not isinstance(encoder, VocabularyAware):
        pytest.skip(f"{encoder.name} does not say what it does not know")
    found = encoder.unknown([*WORDS, "qwxzk"])
    assert {unknown.word for unknown in found} <= {*WORDS, "qwxzk"}
    for unknown in found:
        assert -1 <= unknown.similarity <= 1
        assert unknown.nearest
