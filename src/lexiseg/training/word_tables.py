"""Makes the tables of ``lexiseg.prompts.tables`` from WordNet: relations, and a dictionary.

``python -m lexiseg.training.word_tables`` writes both where the package reads them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from lexiseg.prompts import named
from lexiseg.prompts.lexicon import NOUNS, WORDS, hash_words, pack_hashes
from lexiseg.training.wordnet import Nouns

__all__ = ["dictionary_words", "relation_lines", "write_tables"]

_PACKAGE = Path(__file__).parents[1]
_BODY = 8  # WordNet's field of the parts of bodies
_PERSON_FIELD = 18
_TOO_GENERAL = (
    "entity", "physical entity", "object", "whole", "thing", "artifact", "matter", "substance",
    "part", "unit", "causal agent", "instrumentality", "living thing", "organism", "covering",
    "natural object", "structure", "body part", "process", "location", "region", "relation",
    "abstraction", "attribute", "component", "piece", "article", "commodity", "causal agency",
)  # fmt: skip
# Words whose first physical sense is not what is seen in photos: the place of the meant sense.
_SENSES = {
    "banana": 1, "body": 0, "bow": 3, "broccoli": 1, "bracelet": 1, "cape": 1, "counter": 1,
    "glove": 1, "hot dog": 1,
    "jumper": 2, "kite": 2, "light": 1, "loafer": 1, "mouse": 3, "net": 4, "pavement": 2,
    "plant": 1, "pump": 2, "ring": 7, "romper": 1, "sign": 3, "skirt": 1, "table": 1, "toaster": 1,
    "toilet": 1, "tv": 1, "wedge": 3,
}  # fmt: skip
# What is worn or carried by people: all that is below these.
_WORN = (
    "clothing", "footwear", "jewelry", "eyeglasses", "sunglasses", "goggles", "helmet", "watch",
    "backpack", "handbag", "headdress", "wristwatch", "face mask", "earphone", "apron",
)  # fmt: skip
# Wholes that WordNet does not name: part -> wholes.
_WHOLES = {
    "headlight": ("motor vehicle",), "license plate": ("motor vehicle",),
    "tire": ("wheeled vehicle",), "windshield": ("motor vehicle",), "bumper": ("motor vehicle",),
    "hubcap": ("wheel",), "cloud": ("sky",), "sun": ("sky",), "moon": ("sky",), "hair": ("head",),
    "chimney": ("building",), "balcony": ("building",), "sail": ("boat",), "mast": ("boat",),
    "saddle": ("bicycle", "motorcycle"), "handlebar": ("bicycle", "motorcycle"),
    "leaf": ("plant", "tree"), "branch": ("tree",), "fruit": ("tree",), "flower": ("plant",),
    "lip": ("face",), "tooth": ("mouth",), "leg": ("table", "chair"),
    "wing": ("airplane",), "nose": ("airplane",), "tail": ("airplane",),
    "screen": ("laptop", "television", "cellular telephone"), "keyboard": ("laptop",),
    "handle": ("cup", "mug", "door"), "pizza crust": ("pizza",),
    "wall": ("building", "room"), "cockpit": ("airplane",),
}  # fmt: skip
_KINDS = {"human": ("person",), "homo": ("person",)}
_NO_KINDS = frozenset(
    {"facial hair", "eyebrow", "eyelash", "supercilium"}
)  # an eyebrow is no hair to those who ask for hair
_NO_WHOLES = frozenset({"table"})  # of what lies on it; legs are named above
# Words that mean something else in photos' annotations, and colours: a red one is no communist.
_NOT_MEANT = frozenset(
    {"intimate", "red", "green", "blue", "yellow", "black", "white", "grey", "gray", "brown",
     "pink", "purple", "violet", "scarlet", "crimson", "colour", "color", "gold", "silver"}
)  # fmt: skip
_ALIASES = {
    "people": "person", "persons": "person", "cell phone": "cellular telephone",
    "pants": "trouser",  # in American English
}  # fmt: skip


def relation_lines(nouns: Nouns, words: Iterable[str]) -> list[str]:
    """Return a line a meaning: its names, what it is a kind of, what it is a part of or worn by.

    Columns are separated by tabs, names in them by bars; the first name stands for the meaning in
    other lines. words: those to hold beside the words that WordNet's tagged texts have.
    """
    wanted = {nouns.base(word) for word in words}
    own = {
        text: sense
        for text in nouns.senses
        if text not in _ALIASES and (sense := _sense(nouns, text)) is not None
    }
    above = frozenset().union(*(nouns.above(own[word]) for word in wanted if word in own))
    wanted |= {text for text, sense in own.items() if sense in above}
    names: dict[int, list[str]] = {}
    for text, sense in own.items():
        if (text in wanted or nouns.tags(text)) and not any(c.isdigit() for c in text):
            names.setdefault(sense, []).append(text)
    general = {own[word] for word in _TOO_GENERAL if word in own}
    names = {
        sense: sorted(some, key=lambda t: (t not in wanted, -nouns.tags(t), t))
        for sense, some in names.items()
        if sense not in general
    }
    for alias, word in _ALIASES.items():
        if own.get(nouns.base(word)) in names:
            names[own[nouns.base(word)]].append(alias)
    plurals = nouns.irregular_plurals()
    person, animal = own["person"], own["animal"]
    no_wholes = {own[word] for word in _NO_WHOLES if word in own}
    worn = frozenset().union(*(nouns.below(own[word]) for word in _WORN if word in own))
    out = []
    for sense, some in sorted(names.items(), key=lambda item: item[1][0]):
        kinds = list(_nearest_named(nouns, sense, names))
        if _NO_KINDS & set(some):
            kinds = []
        kinds += [own[w] for name in some for w in _KINDS.get(name, ())]
        wholes = [one for part in _part_senses(nouns, some[0], sense) for one in nouns.wholes(part)]
        wholes = [one for one in wholes if one not in no_wholes]
        wholes += [own[w] for name in some for w in _WHOLES.get(name, ()) if w in own]
        if nouns.synsets[sense].field == _BODY:
            wholes += [person, animal]
        if sense in worn:
            wholes.append(person)
        wholes = [one for one in wholes if one in names]
        spelled = [*some, *(many for name in some for many in plurals.get(name, ()))]
        columns = (
            spelled,
            _once(names[one][0] for one in kinds if one != sense),
            _once(names[one][0] for one in wholes if one != sense),
        )
        out.append("\t".join("|".join(column) for column in columns).rstrip("\t"))
    return out


def dictionary_words(nouns: Nouns, words: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the nouns that name a kind of thing, and every word of any part of speech, folded.

    A noun counts whose meanings are not all single things or persons ("Nike" is one, "nike" is no
    word), and that names something physical. words: those to hold besides.
    """
    kinds = {text for text, senses in nouns.senses.items() if not all(map(nouns.is_single, senses))}
    things = {
        text
        for text in kinds
        if any(s in nouns.things and not nouns.is_single(s) for s in nouns.senses[text])
    }
    extra = {word.casefold() for word in words}
    tokens = {token for text in (*kinds, *nouns.other_lemmas(), *extra) for token in text.split()}
    return things | extra, tokens


def write_tables(folder: Path, nouns: Nouns | None = None) -> None:
    """Write relations.txt, nouns.bin and words.bin."""
    nouns = nouns or Nouns()
    words = set(_asked_words())
    lines = relation_lines(nouns, words)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "relations.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    things, tokens = dictionary_words(nouns, words)
    (folder / NOUNS).write_bytes(pack_hashes(hash_words(things)))
    (folder / WORDS).write_bytes(pack_hashes(hash_words(tokens)))


def _asked_words() -> Iterator[str]:
    """Words that people ask for: of data sets, of the bundled model, and newer than WordNet."""
    for name in named.names():
        for phrases in named.read(name)[0]:
            yield from phrases
    config = json.loads((_PACKAGE / "models/tiny/weights/config.json").read_text("utf-8"))
    yield from config["known_words"]
    yield from config["trained_words"]
    yield from _NEWER


# Common nouns that WordNet 3.0 does not have.
_NEWER = (
    "smartphone", "selfie", "selfie stick", "hoodie", "e-bike", "drone", "quadcopter", "webcam",
    "touchscreen", "smartwatch", "tablet computer", "e-reader", "earbuds", "headset", "usb stick",
    "power bank", "charger", "skatepark", "snowboarder", "skateboarder", "kitesurfer", "longboard",
    "wakeboard", "paddleboard", "flip-flops", "crocs", "leggings", "onesie", "food truck", "pickup",
    "minivan", "suv", "wind turbine", "solar panel", "tuk-tuk", "rickshaw", "scooter", "hoverboard",
    "segway", "sushi", "ramen", "burrito", "taco", "quinoa", "smoothie", "latte", "cappuccino",
    "espresso", "cupcake", "brownie", "labradoodle", "goldendoodle", "cockapoo", "emoji",
    "graffiti",
    "bookshelf", "nightstand", "beanbag", "whiteboard", "flatscreen", "tvmonitor", "diningtable",
    "pottedplant", "trash can", "recycling bin", "bike lane", "crosswalk", "streetlight", "t-shirt",
)  # fmt: skip


def _sense(nouns: Nouns, text: str) -> int | None:
    """The synset that a word means in photos; None where that is nothing physical, or one thing."""
    senses = nouns.senses[text]
    if text in _NOT_MEANT:
        return None
    if text in _SENSES:
        return senses[_SENSES[text]]
    things = [s for s in senses if s in nouns.things and not nouns.is_single(s)]
    if not things:
        return None
    first = things[0]
    if nouns.synsets[first].field == _PERSON_FIELD and not nouns.tags(text):
        return next((s for s in things if nouns.synsets[s].field != _PERSON_FIELD), first)
    return first


def _part_senses(nouns: Nouns, text: str, sense: int) -> list[int]:
    """The senses in which a word is a part: of the meant one's field, where that is a part too."""
    if not (nouns.wholes(sense) or nouns.synsets[sense].field == _BODY):
        return [sense]
    field = nouns.synsets[sense].field
    things = [s for s in nouns.find(text) if s in nouns.things and not nouns.is_single(s)]
    return list(dict.fromkeys([sense, *(s for s in things[:3] if nouns.synsets[s].field == field)]))


def _nearest_named(nouns: Nouns, sense: int, names: dict[int, list[str]]) -> Iterator[int]:
    for above in nouns.synsets[sense].hypernyms:
        yield from _named(nouns, above, names)


def _named(nouns: Nouns, sense: int, names: dict[int, list[str]]) -> Iterator[int]:
    """The synset where the table has a name for it, else the nearest ones above that it names."""
    if sense in names:
        yield sense
    else:
        yield from _nearest_named(nouns, sense, names)


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=_PACKAGE / "prompts" / "tables")
    write_tables(parser.parse_args().out)
