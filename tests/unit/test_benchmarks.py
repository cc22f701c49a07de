"""The benchmark runner: rows on small sets made here, committed tables, words drawn by rule."""

from __future__ import annotations

import ast
import importlib
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import needs, store, tables, vocabulary
from benchmarks.__main__ import main
from benchmarks.machine import Unmeasurable
from benchmarks.rows import NAMES, joined, row, shuffled, synonyms, unknown
from PIL import Image

from lexiseg.masks import Masks
from lexiseg.results import Provenance, Segmentation, UnknownWord
from lexiseg.training.wordnet import Nouns

# number: (field, lemmas, hypernyms, gloss); 1930 is WordNet's own number of "physical entity".
SYNSETS = {
    1740: ("03", ["entity"], [], "that which is"),
    1930: ("03", ["physical_entity"], [1740], "an entity that has physical existence"),
    3000: ("05", ["animal", "beast"], [1930], "a living organism"),
    3100: ("05", ["dog", "hound", "Canis_familiaris"], [3000], "a member of the genus Canis"),
    3200: ("05", ["pup"], [3100], "a young dog"),
    3300: ("05", ["cat", "moggy", "tom_cat"], [3000], "a feline mammal"),
    4000: ("17", ["stone", "boulder"], [1930], "a hard lump; not a dog"),
    4050: ("17", ["substance"], [1930], "what things are made of"),
    4100: ("27", ["powder"], [4050], "loose grains"),
    4150: ("27", ["flour"], [4100], "ground corn"),
    4200: ("27", ["lava"], [4150], "rock that is molten; a cat may not walk on it"),
    4300: ("27", ["bait"], [4150], "food that lures a dog"),
    4400: ("27", ["gems"], [4150], "shiny things"),
    4500: ("27", ["rarity"], [4150], "never tagged"),
    5000: ("04", ["hound"], [1740], "the act of hunting"),
}
TAGGED = {"lava": 9, "bait": 5, "gems": 7, "stone": 4, "boulder": 2}


@pytest.fixture
def nouns(tmp_path):
    """A WordNet of a few nouns, in WordNet's own files."""
    lines, senses = [], {}
    for number, (field, lemmas, parents, gloss) in SYNSETS.items():
        words = " ".join(f"{lemma} 0" for lemma in lemmas)
        pointers = "".join(f" @ {parent:08} n 0000" for parent in parents)
        head = f"{number:08} {field} n {len(lemmas):02x} {words} {len(parents):03}{pointers}"
        lines.append(f"{head} | {gloss}  ")
        for lemma in lemmas:
            senses.setdefault(lemma.lower(), []).append(number)
    # "hound" is first of all the act: a lemma whose most frequent sense is another.
    senses["hound"].reverse()
    index = [
        f"{word} n {len(found)} 1 @ {len(found)} 0 {' '.join(f'{one:08}' for one in found)}  "
        for word, found in sorted(senses.items())
    ]
    licence = "  1 This software and database is being provided to you\n"
    (tmp_path / "data.noun").write_text(licence + "\n".join(lines) + "\n")
    (tmp_path / "index.noun").write_text(licence + "\n".join(index) + "\n")
    (tmp_path / "noun.exc").write_text("geese goose\n")
    tags = [f"{word}%1:00:00:: 1 {count}" for word, count in TAGGED.items()]
    (tmp_path / "cntlist.rev").write_text("\n".join([*tags, "lava%2:00:00:: 1 50"]) + "\n")
    return Nouns(tmp_path)


def test_wordnet_is_read(nouns):
    dog = nouns.synsets[3100]
    assert (dog.lemmas, dog.hypernyms, dog.field) == (
        ("dog", "hound", "Canis familiaris"), (3000,), 5,
    )  # fmt: skip
    assert nouns.find("Dogs") == (3100,)
    assert nouns.find("canis_familiaris") == (3100,)
    assert nouns.find("unicorn") == ()
    assert nouns.tags("lava") == 9
    assert nouns.above(3200) == {3200, 3100, 3000, 1930, 1740}
    assert nouns.below(3000) == {3000, 3100, 3200, 3300}
    assert nouns.depths(3200) == {3200: 0, 3100: 1, 3000: 2, 1930: 3, 1740: 4}


def test_a_missing_wordnet_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(vocabulary, "Nouns", lambda: Nouns(tmp_path / "nowhere"))
    vocabulary.wordnet.cache_clear()
    with pytest.raises(Unmeasurable, match="wordnet-base"):
        vocabulary.wordnet()


def test_synonyms_are_unambiguous_untrained_lemmas(nouns):
    # Not "hound" (another sense is more frequent) nor "Canis familiaris" (a proper name), nor
    # "tom cat", which holds the class name.
    assert vocabulary.synonyms(nouns, "dog", []) == []
    assert vocabulary.synonyms(nouns, "cats", []) == ["moggy"]
    assert vocabulary.synonyms(nouns, "cats", ["Moggies", "moggy"]) == []
    assert vocabulary.synonyms(nouns, "stone", ["boulders"]) == []
    assert vocabulary.synonyms(nouns, "unicorn", []) == []


def test_far_nouns_share_no_close_hypernym_and_are_not_described_by_trained_words(nouns):
    # "bait" is described by a trained word, "rarity" was never tagged, "stone" and "boulder" are
    # a step below "physical entity", which is above every trained word.
    assert vocabulary.far_nouns(nouns, ["dog", "cats"]) == ["lava", "gems"]
    assert vocabulary.far_nouns(nouns, ["cats"]) == ["lava", "gems", "bait"]
    assert vocabulary.far_nouns(nouns, ["flour"]) == []


def test_draws_repeat_with_the_seed():
    choices = [f"word{number}" for number in range(40)]
    drawn = vocabulary.draw(choices, 10, seed=0)
    assert drawn == vocabulary.draw(list(reversed(choices)), 10, seed=0)
    assert len(set(drawn)) == 10
    assert vocabulary.draw(choices[:3], 10, seed=0) == choices[:3]


COLOURS = {"background": 0, "cat": 60, "moggy": 60, "dog": 120, "sky": 180, "boulder": 240}


class ByColour:
    """Finds words by their grey value; knows no word that has none."""

    def __call__(self, image, words, *, background="default"):
        label_map = np.full(image.shape[:2], -1, np.int16)
        for index, word in enumerate(words):
            label_map[image[..., 0] == COLOURS.get(word, 999)] = index
        return Segmentation(
            words=tuple(words),
            labels=np.zeros(0, str),
            scores=np.zeros(0, np.float32),
            masks=Masks.empty(label_map.shape),
            label_map=label_map,
            word_scores=np.zeros(len(words), np.float32),
            unknown=tuple(UnknownWord(w, ("cat",), 0.1) for w in words if w not in COLOURS),
            provenance=Provenance(method="by-colour", encoder="none"),
        )


def write_set(root, classes, background):
    for number in range(5):
        labels = np.repeat(np.arange(len(classes)), 6)[None].repeat(4, 0)
        grey = np.vectorize(lambda index: COLOURS[classes[index]])(labels).astype(np.uint8)
        grey[0, number] = 255
        folder = root / "val"
        for kind, pixels in [("images", np.stack([grey] * 3, -1)), ("masks", labels)]:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / kind / f"{number}.png")
    card = {"classes": classes, "background_index": background}
    (root / "dataset.json").write_text(json.dumps(card))


@pytest.fixture
def options(tmp_path, monkeypatch, nouns):
    """Two sets in a folder, and a method that finds words by colour."""
    write_set(tmp_path / "data" / "pets", ["background", "cat", "dog"], 0)
    write_set(tmp_path / "data" / "skies", ["sky", "cat"], None)
    for name in NAMES:
        if hasattr(row(name), "load"):
            monkeypatch.setattr(row(name), "load", lambda options: ByColour())
    monkeypatch.setattr(vocabulary, "wordnet", lambda: nouns)
    known = vocabulary.Trained(("cat", "dog"), ("cat", "dog", "flower"))
    monkeypatch.setattr(vocabulary, "trained", lambda method: known)
    return Namespace(
        method="tiny", device=None, data=[tmp_path / "data"], split="val", splits=None, limit=None
    )


def test_accuracy_row(options):
    result = row("accuracy").run(options)
    pets, skies = result["sets"]
    assert (pets["set"], pets["photos"], pets["mean_classes"]) == ("pets", 5, 2)
    # The odd pixel, without a word, lies in the first class's 24 pixels.
    assert pets["mean_iou"]["value"] == 1
    assert skies["classes"][0]["iou"]["value"] == pytest.approx(23 / 24, abs=1e-6)
    assert result["provenance"]["method"] == "by-colour"
    text = row("accuracy").table(result)
    assert "| pets | 5 | 100.0 (100.0 to 100.0) | 2 |" in text
    assert "| sky | 5 | 95.8 (95.8 to 95.8) |" in text


def test_joined_row_counts_pixels_given_to_foreign_words(options):
    result = joined.run(options)
    pets = result["sets"][0]
    assert (pets["other"], pets["words"], pets["words_joined"]) == ("skies", 3, 4)
    assert pets["alone"]["mean_iou"] == pets["joined"]["mean_iou"]
    assert "| pets | skies | 3 to 4 |" in joined.table(result)


def test_shuffled_row_finds_the_same_words_and_notices_when_not(options, monkeypatch):
    result = shuffled.run(options)
    assert [one["same"] for one in result["sets"]] == [1, 1]
    assert "| pets | 5 | 100.000 | 100.000 |" in shuffled.table(result)

    class First(ByColour):
        def __call__(self, image, words, **kw):
            return super().__call__(image * 0 + COLOURS[words[0]], words, **kw)

    monkeypatch.setattr(shuffled, "load", lambda options: First())
    assert min(one["same_least"] for one in shuffled.run(options)["sets"]) == 0


def test_synonyms_row_replaces_the_class_name(options):
    result = synonyms.run(options)
    (pair,) = result["pairs"]
    assert (pair["class"], pair["synonym"], pair["photos"]) == ("cat", "moggy", 5)
    assert (pair["iou_class"], pair["iou_synonym"], result["mean_ratio"]) == (1, 1, 1)
    assert "| cat | moggy |" in synonyms.table(result)


def test_unknown_row_counts_flags_and_silence(options, monkeypatch):
    result = unknown.run(options)
    assert [entry["word"] for entry in result["asked"]] == ["gems", "lava"]
    assert result["flagged"] == 1
    assert result["trained"] == {"words": 3, "silent": 0.6667, "flagged": ["flower"]}
    assert result["trained_with_masks"]["silent"] == 1
    monkeypatch.setitem(COLOURS, "lava", 1)
    again = unknown.run(options)
    assert again["flagged"] == 0.5
    assert "Taken for known: lava" in unknown.table(again)


def test_results_are_laid_out_a_fact_a_line():
    value = {
        "a": [1, {"b": None}],
        "text": "é",
        "long": [{"x": "y" * 60}, {"x": "z" * 60}],
        "e": [],
    }
    text = store.layout(value)
    assert json.loads(text) == value
    assert text.splitlines()[1] == ' "a": [1, {"b": null}],'
    assert len(text.splitlines()) == 9


def test_tables_stand_between_their_lines(monkeypatch):
    content = {
        "result": {"wheel_bytes": 2_500_000, "weights_bytes": 1, "weights": {}, "code_bytes": 0}
    }
    monkeypatch.setattr(store, "read", lambda name: content)
    before = "a\n<!-- results: size-tiny -->\nold\n<!-- end -->\nb\n"
    after = tables.fill(before)
    assert "| wheel | 2.50 |" in after
    assert "old" not in after
    assert after.startswith("a\n<!-- results: size-tiny -->\n")
    assert after.endswith("\n<!-- end -->\nb\n")
    assert tables.fill(after) == after


def test_a_part_of_a_table_and_what_is_not_measured_yet(monkeypatch):
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6}
    one = {"set": "pets", "photos": 7, "mean_iou": estimate, "pixel_accuracy": estimate}
    before = "<!-- results: accuracy-tiny/short -->\n<!-- end -->\n"
    with monkeypatch.context() as patch:
        patch.setattr(store, "RESULTS", Path("nowhere"))
        assert "Not measured yet: `python -m benchmarks run accuracy`" in tables.fill(before)
    monkeypatch.setattr(store, "read", lambda name: {"result": {"sets": [one]}})
    after = tables.fill(before)
    assert "| pets | 7 | 50.0 (40.0 to 60.0) | 50.0 (40.0 to 60.0) |" in after
    assert "details" not in after


def test_pages_are_written_and_checked(tmp_path):
    assert tables.update(check=True, root=tmp_path) == [Path("docs/results.md")]
    assert not (tmp_path / "docs").exists()
    assert tables.update(root=tmp_path) == [Path("docs/results.md")]
    assert tables.update(check=True, root=tmp_path) == []


def test_decoder_row(options, monkeypatch):
    """The decoder finds dogs by no colour: of the two classes of "pets" it keeps one."""

    class NoDogs(ByColour):
        def __call__(self, image, words, **more):
            return super().__call__(np.where(image == COLOURS["dog"], 1, image), words, **more)

    asked = []

    def load(name, *, encoder=None, device=None):
        asked.append((name, encoder))
        return ByColour() if name == "tiny" else NoDogs()

    monkeypatch.setattr("lexiseg.load", load)
    result = row("decoder").run(options)
    assert asked == [("tiny", None), ("clipseg", "tiny")]
    pets, skies = result["sets"]
    assert (pets["dense"], pets["decoder"]) == (1, 0.5)
    assert pets["gain"] == {"value": -0.5, "low": -0.5, "high": -0.5}
    assert skies["gain"]["value"] == 0
    assert "| pets | 5 | 2 | 100.0 | 50.0 | -50.0 (-50.0 to -50.0) |" in row("decoder").table(
        result
    )


def test_crops_row(monkeypatch, tmp_path):
    """On a small photo, with few masks: batches rank masks as single crops do."""
    rng = np.random.default_rng(0)
    photo = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (6, 9, 3), np.uint8)).resize((90, 60)).save(photo)
    for name, value in (("PHOTO", photo), ("MASKS", 11), ("SIDE", 32), ("RUNS", 1)):
        monkeypatch.setattr(row("crops"), name, value)
    result = row("crops").run(Namespace(method="tiny", device="cpu"))
    assert (result["masks"], result["side"]) == (11, 32)
    ways = list(result["ways"])
    assert ways[:2] == ["fp32, one by one", "fp32, batches of 8"]
    assert [result["ways"][way]["same_top_5"] for way in ways[:2]] == ["6/6", "6/6"]
    assert all(one["seconds"] > 0 for one in result["ways"].values())
    text = row("crops").table(result)
    assert "| fp32, one by one |" in text
    assert "| 1.00 | 6/6 |" in text


def test_every_row_says_what_it_measures():
    for name in NAMES:
        module = row(name)
        assert module.ABOUT.strip(), name
        assert {need.partition(":")[0] for need in module.NEEDS} <= set(needs.NAMES), name
        assert callable(module.run), name
        assert callable(module.table), name


def test_committed_results_say_where_they_come_from():
    assert store.names()
    for name in store.names():
        content = store.read(name)
        assert content["name"] == name
        assert {"command", "date", "commit", "machine", "result"} <= content.keys(), name
        assert len(content["commit"]["id"]) == 40, name
        assert {"cpu", "cores", "amx", "torch"} <= content["machine"].keys(), name
        written = (store.RESULTS / f"{name}.json").read_text("utf-8")
        assert store.layout(content) + "\n" == written, name


def test_committed_tables_are_those_of_the_committed_results(capsys):
    assert main(["tables", "--check"]) == 0
    assert capsys.readouterr().out == ""


def test_rows_that_need_data_ask_for_it(monkeypatch, capsys):
    monkeypatch.setattr(tables, "update", list)  # of the committed pages
    assert main(["run", "accuracy"]) == 1
    assert "accuracy: left out; it needs --data DIR" in capsys.readouterr().out


def test_what_rows_import_when_they_run_is_there():
    """Rows import late what is heavy, so a name that moved would fail after minutes of work."""
    for path in sorted(Path(tables.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = node.module if isinstance(node, ast.ImportFrom) else None
            if name is None or name.partition(".")[0] not in ("lexiseg", "benchmarks"):
                continue
            module = importlib.import_module(name)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{name}.{alias.name}")
