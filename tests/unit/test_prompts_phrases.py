"""The grammar of phrases: what is read, what stays whole, and that printing can be read again."""

from __future__ import annotations

import random

import pytest

from lexiseg.prompts import Vocabulary
from lexiseg.prompts.phrases import (
    EVERYTHING,
    Attribute,
    Phrase,
    Relation,
    is_plural,
    noun_vocabulary,
    read_phrase,
    singular,
)
from lexiseg.prompts.phrases import word_lists as words

KNOWN = frozenset({
    "hot dog", "traffic light", "dining table", "wine glass", "wall of brick", "left eye",
    "right eye", "person", "car", "dog", "table lamp", "brown bear", "black swan", "wooden floor",
})  # fmt: skip

# Read by hand: a phrase, and how it is printed.
READ = {
    "red car": "red car",
    "the red car": "red car",
    "a red car": "red car",
    "hot dog": '"hot dog"',
    "big hot dog": 'big "hot dog"',
    "red traffic light": 'red "traffic light"',
    "red wine glass": 'red "wine glass"',
    "red wine": '"red wine"',
    "a glass of red wine": '"glass of red wine"',
    "cup of coffee": '"cup of coffee"',
    "largest dog": "largest dog",
    "the largest dog": "largest dog",
    "second largest dog": "second largest dog",
    "the biggest red car": "largest red car",
    "small dog": "small dog",
    "two dogs": "2 dogs",
    "two largest dogs": "2 largest dogs",
    "the two largest dogs": "2 largest dogs",
    "both dogs": "2 dogs",
    "a pair of shoes": "shoes",
    "a pair of dogs": "2 dogs",
    "a pair of glasses": "glasses",
    "group of people": "people",
    "left player": "player on the left",
    "player on the left": "player on the left",
    "player left": "player on the left",
    "the player on the far left": "player first from the left",
    "leftmost player": "player first from the left",
    "left-most player": "player first from the left",
    "second from the left": '"second from the left"',
    "second player from the left": "player second from the left",
    "third car from the right": "car third from the right",
    "the third car from right": "car third from the right",
    "first dog": "dog first from the left",
    "the second dog": "dog second from the left",
    "2nd car": "car second from the left",
    "person with a hat": "person with hat",
    "person with hat and glasses": "person with hat and glasses",
    "person without a hat": "person without hat",
    "person wearing a hat": "person wearing hat",
    "man in a hat on the left": "man on the left in hat",
    "man in red": "man in red",
    "man in a red shirt": "man in (red shirt)",
    "woman in black and white": "woman in black and white",
    "person on horse": "person on horse",
    "cup on table": "cup on table",
    "cup on the red table": "cup on (red table)",
    "lamp on table": "lamp on table",
    "dog in front of the house": "dog in front of house",
    "dog in front": "dog in the foreground",
    "dog behind the fence": "dog behind fence",
    "car behind": "car in the background",
    "person in the background": "person in the background",
    "person in the middle": "person in the middle",
    "middle car": "car in the middle",
    "top shelf": "shelf at the top",
    "top left window": "window at the top left",
    "window in the top left corner": "window at the top left",
    "book on top of the table": "book on table",
    "book on top": "book at the top",
    "eyes and glasses": "eyes and glasses",
    "dog and cat": "dog and cat",
    "dog or cat": "dog and cat",
    "black and white cow": "black and white cow",
    "black-and-white cow": "black and white cow",
    "red or blue car": "red or blue car",
    "dark blue car": "blue car",
    "light green shirt": "green shirt",
    "everything but the sky": "everything but not sky",
    "everything except the sky and the sea": "everything but not sky but not sea",
    "all but the dog": "everything but not dog",
    "anything except for people": "everything but not people",
    "everything but the sky and not the sea": "everything but not sky but not sea",
    "cars but not the red one": "cars but not (red car)",
    "cars but not red": "cars but not (red car)",
    "cars but not the red ones": "cars but not (red cars)",
    "dogs but not the one on the left": "dogs but not (dog on the left)",
    "fruit but not apples": "fruit but not apples",
    "animals except dogs": "animals but not dogs",
    "car that is not red": "not red car",
    "cars that are red": "red cars",
    "person who is wearing a hat": "person wearing hat",
    "person not wearing a hat": "person not wearing hat",
    "man sitting on a bench": "man on bench",
    "man standing on the left": "man on the left",
    "dog lying on the grass next to the man": "dog on grass and next to man",
    "person between two cars": "person between (2 cars)",
    "person between the tree and the car": "person between tree and car",
    "lamp next to the bed on the left": "lamp on the left next to bed",
    "wheel of the car": "wheel of the car",
    "wheel of the red car": "wheel of the (red car)",
    "leg of the table": "leg of the table",
    "wall of brick": '"wall of brick"',
    "left eye": '"left eye"',
    "left eyes": '"left eyes"',
    "orange": '"orange"',
    "orange cat": "orange cat",
    "an orange on the table": '"orange" on table',
    "red apple and green apple": "(red apple) and (green apple)",
    "t-shirt": '"t-shirt"',
    "white t-shirt": 'white "t-shirt"',
    "red top": 'red "top"',
    "the red one": '"the red one"',
    "black man": '"black man"',
    "black dog": "black dog",
    "dining table": '"dining table"',
    "brown wooden table": 'brown "wooden table"',
    "old man": '"old man"',
    "the old red car": 'red "old car"',
    "person holding a cup and wearing a hat": "person holding cup and wearing hat",
    "man holding umbrella": "man holding umbrella",
    "woman riding a bike": "woman on bike",
    "boat under the bridge": "boat under bridge",
    "bird above the tree": "bird above tree",
    "bottle to the left of the cup": "bottle left of cup",
    "the car on the right side of the picture": "car on the right",
    "the dog at the bottom": "dog at the bottom",
    "the tree in the top right corner of the image": "tree at the top right",
    "person in the front row": "person in the foreground",
    "chair at the table": "chair next to table",
    "man by the car": "man next to car",
    "3 cars": "3 cars",
    "3 red cars": "3 red cars",
    "dog next to (cat on the left)": "dog next to (cat on the left)",
    "person with (red hat)": "person with (red hat)",
    "tallest building": "tallest building",
    "the shortest person": "shortest person",
    "the tall tree": "tall tree",
    "St. Bernard": '"St. Bernard"',
    "jack-in-the-box": '"jack-in-the-box"',
    "man eating pizza": '"man eating pizza"',
    "person with": '"person with"',
    "with a hat": '"with a hat"',
    "the": '"the"',
    "of": '"of"',
    "red": '"red"',
    "left": '"left"',
    "on the left": '"on the left"',
    "dog that is sitting": "dog",
    "dog in the grass that is brown": "dog in (brown grass)",
    "big black dog on the red sofa": "big black dog on (red sofa)",
    "kitchen sink": '"kitchen sink"',
    "bow and arrow": '"bow and arrow"',
    "black bear cub": '"black bear cub"',
    "front door": '"front door"',
    "people but not the man on the left": "people but not (man on the left)",
    "white house": "white house",
    "dog except the one with the collar": "dog but not (dog with collar)",
    "the car nearest to the camera": "car first from the front",
    "closest car": "car first from the front",
    "cat's eyes": "eyes of the cat",
    "person in white on the left": "person in white on the left",
    "sheep second from left": "sheep second from the left",
    "cat's collar": "collar of the cat",
    "the red car's wheel": "wheel of the (red car)",
    "old rusty red car": 'red "old rusty car"',
    "the dog nearest to the camera": "dog first from the front",
    "riding boots": '"riding boots"',
    "man red shirt": '"man red shirt"',
    "the red": '"red"',
    "the yellow taxi": "yellow taxi",
    "large white bird": "big white bird",
    "the big brown bear": 'big "brown bear"',
    "black swan": '"black swan"',
    "a small red boat on the water": "small red boat on water",
    "blue and white plate": "blue and white plate",
    "white or grey horse": "white or grey horse",
    "dark red curtain": "red curtain",
    "navy blue suit": "blue suit",
    "a silver car": "grey or white car",
    "golden retriever puppy": '"golden retriever puppy"',
    "light brown horse": "brown horse",
    "the top book": "book at the top",
    "bottom drawer": "drawer at the bottom",
    "upper window": "window at the top",
    "the right chair": "chair on the right",
    "rightmost chair": "chair first from the right",
    "chair on the far right": "chair first from the right",
    "the chair to the right": "chair on the right",
    "people in the background": "people in the background",
    "tree in the foreground": "tree in the foreground",
    "boat at the top of the picture": "boat at the top",
    "bird in the upper left corner": "bird at the top left",
    "dog in the middle of the picture": "dog in the middle",
    "the third person from the left": "person third from the left",
    "fifth window from the right": "window fifth from the right",
    "the second tallest building": "second tallest building",
    "first person from the right": "person first from the right",
    "four chairs": "4 chairs",
    "three red apples on the table": "3 red apples on table",
    "woman in a red dress": "woman in (red dress)",
    "boy in blue": "boy in blue",
    "man in a black hat and sunglasses": "man in (black hat) and sunglasses",
    "players in white": "players in white",
    "person with red hair": "person with (red hair)",
    "cat with blue eyes": "cat with (blue eyes)",
    "car without wheels": "car without wheels",
    "people not on the left": "people not on the left",
    "dog that is not on the sofa": "dog not on sofa",
    "the person who has a backpack": "person with backpack",
    "cup next to the plate": "cup next to plate",
    "bottle beside the wine glass": 'bottle next to "wine glass"',
    "dog by the tree": "dog next to tree",
    "bowl of fruit": '"bowl of fruit"',
    "plate of food": '"plate of food"',
    "door of the house": "door of the house",
    "handle of the cup": "handle of the cup",
    "window of the red house": "window of the (red house)",
    "shadow under the car": "shadow under car",
    "picture above the sofa": "picture above sofa",
    "lamp over the table": "lamp above table",
    "car in front of the building": "car in front of building",
    "tree behind the house": "tree behind house",
    "child between the adults": "child between adults",
    "cup between the plate and the bottle": "cup between plate and bottle",
    "man holding a dog and wearing glasses": "man holding dog and wearing glasses",
    "cat and dog on the sofa": "cat and (dog on sofa)",
    "sofa and chairs": "sofa and chairs",
    "cars except the blue ones": "cars but not (blue cars)",
    "fruit other than bananas": "fruit but not bananas",
    "people but not the tallest": "people but not (tallest person)",
    "windows but not the one in the middle": "windows but not (window in the middle)",
    "everything apart from the person": "everything but not person",
    "everything but the person on the left": "everything but not (person on the left)",
    "all the dogs": "dogs",
    "every red car": "red car",
    "his left shoe": "shoe on the left",
    "the girl's dress": "dress of the girl",
    "table lamp": '"table lamp"',
    "green table lamp": 'green "table lamp"',
    "red hot dog": 'red "hot dog"',
    "wall of brick behind the car": '"wall of brick" behind car',
    "the house": "house",
    "the dog's tail": "tail of the dog",
    "the dogs' tails": "tails of the dogs",
    "the dog that is left of the cat": "dog left of cat",
    "not red car": "not red car",
    "the dog that is left of the other dog": "dog left of dog",
    "dogs that aren't black": "not black dogs",
    "person who doesn't have a hat": "person without hat",
    "person with no hat": "person without hat",
    "leftmost and rightmost cows": "(cow first from the left) and (cow first from the right)",
    "left and right dog": "(dog on the left) and (dog on the right)",
    "left and right eye": '"left eye" and "right eye"',
    "first and third car from the right":
        "(car first from the right) and (car third from the right)",
    "the largest and the smallest dog on the sofa":
        "(largest dog on sofa) and (smallest dog on sofa)",
    "the second-largest cow": "second largest cow",
    "the left-hand dog": "dog on the left",
    "last cow": "cow last from the left",
    "last cow from the right": "cow last from the right",
    "the biggest of the dogs": "largest dog",
    "one of the dogs": "1 dog",
    "only the dog on the left": "dog on the left",
    "cow nearest to the tree": "cow nearest to tree",
    "the closest dog to the cat": "dog nearest to cat",
    "closest cow to the camera": "cow first from the front",
    "farthest dog from the cat": "dog farthest from cat",
    "the bird on the branch of the tree": "bird on (branch of the tree)",
    "the man with the red hat next to the woman in blue":
        "man with (red hat) and next to (woman in blue)",
    "dog of the man on the left": "dog of the man on the left",
    "red player": "player in red",
    "second row of seats": '"second row of seats"',
    "cow facing left": '"cow facing left"',
}  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_a_phrase_is_read_as_people_mean_it(text: str) -> None:
    assert str(read_phrase(text, KNOWN)) == READ[text]


@pytest.mark.parametrize("text", READ)
def test_what_is_printed_is_read_as_the_same(text: str) -> None:
    phrase = read_phrase(text, KNOWN)
    assert read_phrase(str(phrase), KNOWN) == phrase


def test_a_phrase_is_a_value() -> None:
    phrase = read_phrase("the second largest red car next to a person with a hat", KNOWN)
    with_hat = Relation("with", (Phrase("hat"),))
    assert phrase == Phrase(
        "car",
        (Attribute("size", ("largest",), place=2), Attribute("colour", ("red",))),
        (Relation("next to", (Phrase("person", relations=(with_hat,)),)),),
    )
    assert list(phrase.nouns()) == ["car", "person", "hat"]


def test_anything_is_read_without_an_error() -> None:
    """Random phrases of all that the grammar knows: a noun is there, and printing is stable."""
    rng = random.Random(0)
    known_words = [
        *words.COLOURS, *words.SHADES, *words.DETERMINERS, *words.NUMBERS, *words.ORDINALS,
        *words.SIZES, *words.SUPERLATIVES, *words.POSITIONS, *words.EXTREMES,
        *words.POSITION_NOUNS, *words.STATES, *words.WHOLES, *words.GROUPS,
        *(part for text in words.RELATIONS for part in text.split()),
        *(part for text in words.BUT_NOT for part in text),
    ]  # fmt: skip
    nouns = ["dog", "dogs", "car", "person", "people", "hat", "wine", "glass", "light", "man's"]
    joins = ["and", "or", "&", "but", "not", "that", "is", "who", "(", ")", '"', "the", "of", "to"]
    for _ in range(3000):
        length = rng.randint(1, 10)
        text = " ".join(
            rng.choice(rng.choice([known_words, nouns, nouns, joins])) for _ in range(length)
        )
        phrase = read_phrase(text, KNOWN)
        assert phrase.head.strip(), text
        assert read_phrase(str(phrase), KNOWN) == phrase, text


@pytest.mark.parametrize(
    "text", ["", " ", "((((", '"', ")", "and", "of the", "\u0000", "赤い車", '12"']
)
def test_no_text_is_too_odd(text: str) -> None:
    assert read_phrase(text, KNOWN).head


def test_deep_brackets_are_read_or_left() -> None:
    assert read_phrase("(" * 90 + "dog" + ")" * 90).head


@pytest.mark.parametrize(
    ("noun", "one"),
    [
        ("dogs", "dog"), ("people", "person"), ("red foxes", "red fox"), ("boxes", "box"),
        ("berries", "berry"), ("horses", "horse"), ("glasses", "glasses"), ("bus", "bus"),
        ("buses", "bus"), ("grass", "grass"), ("sheep", "sheep"), ("children", "child"),
        ("houses", "house"), ("benches", "bench"), ("skis", "skis"), ("ties", "tie"),
    ],
)  # fmt: skip
def test_singular(noun: str, one: str) -> None:
    assert singular(noun) == one
    assert is_plural(noun) is (noun != one)


# The nouns of a vocabulary


def names(asked: str, known: frozenset[str] = KNOWN) -> tuple[str, ...]:
    nouns = noun_vocabulary(Vocabulary.parse(asked), known)
    assert nouns is not None
    return nouns.nouns.names


def test_plain_words_make_no_phrases() -> None:
    plain = "sky; road; hot dog; dining table; old man; sofa|couch; person -helmet; background"
    assert noun_vocabulary(Vocabulary.parse(plain), KNOWN) is None


def test_nouns_are_asked_once_and_in_the_singular() -> None:
    assert names("red cars; sky; two largest cars; car on the road") == ("sky", "car", "road")
    assert names("sofa|couch; red couch") == ("sofa",)


def test_eyes_are_asked_for_by_their_sides_where_only_these_are_known() -> None:
    nouns = noun_vocabulary(Vocabulary.parse("eyes and hat"), KNOWN)
    assert nouns is not None
    assert nouns.nouns.words[0].synonyms == ("eye", "left eye", "right eye")


def test_excluded_phrases_become_nouns_too() -> None:
    nouns = noun_vocabulary(
        Vocabulary.parse("person -(person on the left) -red car -helmet"), KNOWN
    )
    assert nouns is not None
    assert nouns.nouns.names == ("person", "car")
    assert [word.name for word in nouns.nouns.excluded] == ["helmet"]
    assert len(nouns.excluded) == 2


def test_the_word_background_keeps_its_meaning() -> None:
    nouns = noun_vocabulary(Vocabulary.parse("red car; background"), KNOWN)
    assert nouns is not None
    assert nouns.nouns.names[nouns.nouns.background_index or 0] == "background"


def test_a_visible_phrase_stands_for_its_noun_too() -> None:
    asked = Vocabulary.parse("red car; left dog; person on horse")
    nouns = noun_vocabulary(asked, KNOWN, ("colour",))
    assert nouns is not None
    synonyms = {word.name: word.synonyms for word in nouns.nouns.words}
    assert synonyms == {
        "car": ("car", "red car"), "dog": ("dog",), "person": ("person",), "horse": ("horse",),
    }  # fmt: skip


def test_everything_is_no_noun() -> None:
    assert names("everything but the sky and the sea") == ("sky", "sea")
    assert read_phrase("everything but the sky").head == EVERYTHING


def test_published_vocabularies_hold_no_phrases() -> None:
    assert not Vocabulary.named("ade20k").phrases


def test_compounds_are_those_of_wordnet_by_the_rule() -> None:
    from lexiseg.errors import InputError
    from lexiseg.prompts.phrases import compounds
    from lexiseg.training import wordnet

    try:
        nouns = wordnet.Nouns()
    except InputError as error:
        pytest.skip(str(error))
    assert set(wordnet.compounds(nouns)) == set(compounds())
