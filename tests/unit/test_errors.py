"""The exception tree: exit codes, one-line messages, "did you mean"."""

from __future__ import annotations

import pickle
import re

import pytest

from lexiseg import errors


def test_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = dict(
        re.findall(r"(?:├──|└──|^ {4}) ?(\w+) +(\d)\b", errors.__doc__ or "", re.MULTILINE)
    )
    real = {
        name: str(thing.exit_code)
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.LexisegError)
    }
    assert drawn == real
    assert len(real) == 15


def test_word_not_asked_is_a_key_error_that_prints_plainly() -> None:
    with pytest.raises(KeyError) as caught:
        raise errors.WordNotAsked("'cat' was not asked")
    assert str(caught.value) == "'cat' was not asked"
    assert isinstance(caught.value, errors.PromptError)


def test_message_is_one_line() -> None:
    assert str(errors.PictureError("a file named 'x\ny' is\r\nempty")) == (
        "a file named 'x y' is empty"
    )


def test_errors_survive_pickling() -> None:
    for error in (
        errors.UnknownName.among("method", "densee", ["dense", "trident"]),
        errors.WordNotAsked("'cat' was not asked"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)


def test_unknown_name_offers_the_nearest_or_all() -> None:
    near = errors.UnknownName.among("method", "Densee", ["trident", "dense"])
    assert str(near) == "no method is named 'Densee'; did you mean 'dense'?"
    far = errors.UnknownName.among("method", "xyz", ["trident", "dense"])
    assert str(far) == "no method is named 'xyz'; choose one of: dense, trident"
    none = errors.UnknownName.among("preset", "fast", [])
    assert str(none) == "no preset is named 'fast'; there is none to choose"
    assert near.exit_code == 2


@pytest.mark.parametrize(
    ("name", "choices", "expected"),
    [
        ("photo.jgp", ["photo.jpg", "notes.txt"], ("photo.jpg",)),
        ("clip", ["clip-vit-b16.openai", "tiny", "clipseg"], ("clip-vit-b16.openai", "clipseg")),
        ("", ["a", "b"], ()),
        ("zebra", [], ()),
        ("DOG", ["dog", "dot", "dig", "do", "cat"], ("dog", "do", "dig")),
    ],
)
def test_closest(name: str, choices: list[str], expected: tuple[str, ...]) -> None:
    assert errors.closest(name, choices) == expected


def test_did_you_mean_sentence() -> None:
    assert errors.did_you_mean("sky", ["grass"]) == ""
    assert errors.did_you_mean("sky", ["sly", "grass", "ski"]) == "did you mean 'ski' or 'sly'?"
