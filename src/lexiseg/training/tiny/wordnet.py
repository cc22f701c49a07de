"""WordNet's nouns, read from the data files of the WordNet 3 distribution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lexiseg.errors import InputError

__all__ = ["Noun", "read_nouns"]

_USUAL_FOLDERS = ("/usr/share/wordnet", "/usr/share/wordnet-3.0", "/usr/local/WordNet-3.0/dict")

_PHYSICAL_ENTITY = "00001930"


@dataclass(frozen=True)
class Noun:
    """One lemma in one sense: the most frequent one that is a thing (else the most frequent)."""

    lemma: str
    synonyms: tuple[str, ...]
    offset: str
    tagged: int  # senses met in the tagged texts: above 0 for everyday words
    thing: bool  # a physical entity in that sense


def _plain(lemma: str) -> str:
    return lemma.replace("_", " ")


def read_nouns(folder: str | Path | None = None) -> list[Noun]:
    """Lower-case noun lemmas of at most three words, without digits, in alphabetical order.

    Proper names are left out: a lemma whose first sense is written with a capital.
    Raises InputError where the data files are not found.
    """
    folders = [Path(folder)] if folder else [Path(p) for p in _USUAL_FOLDERS]
    found = next((f for f in folders if (f / "index.noun").is_file()), None)
    if found is None:
        raise InputError(
            f"WordNet's index.noun was not found in {', '.join(map(str, folders))}; install the "
            "Debian package wordnet-base or name its folder with --set text.wordnet=FOLDER"
        )
    synsets: dict[str, tuple[str, ...]] = {}
    above: dict[str, list[str]] = {}
    for line in (found / "data.noun").read_text("utf-8").splitlines():
        if line.startswith(" "):
            continue
        fields = line.split(" ")
        count = int(fields[3], 16)
        synsets[fields[0]] = tuple(_plain(fields[4 + 2 * i]) for i in range(count))
        rest = fields[4 + 2 * count + 1 :]
        above[fields[0]] = [
            rest[4 * i + 1]
            for i in range(int(fields[4 + 2 * count]))
            if rest[4 * i].startswith("@") and rest[4 * i + 2] == "n"
        ]

    @cache
    def is_thing(offset: str) -> bool:
        return offset == _PHYSICAL_ENTITY or any(map(is_thing, above[offset]))

    nouns = []
    for line in (found / "index.noun").read_text("utf-8").splitlines():
        if line.startswith(" "):
            continue
        fields = line.split()
        lemma = _plain(fields[0])
        pointers = int(fields[3])
        tagged, senses = int(fields[5 + pointers]), fields[6 + pointers :]
        offset = next(filter(is_thing, senses), senses[0])
        members = synsets[offset]
        spelled = next((m for m in members if m.lower() == lemma), lemma)
        if spelled != lemma or len(lemma.split()) > 3 or any(c.isdigit() for c in lemma):
            continue
        others = tuple(m for m in members if m.lower() != lemma and m.islower())
        nouns.append(Noun(lemma, others, offset, tagged, is_thing(offset)))
    return nouns
