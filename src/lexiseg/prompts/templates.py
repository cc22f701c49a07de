"""Sentences around a word, as CLIP's authors published them (github.com/openai/CLIP, MIT)."""

from __future__ import annotations

from collections.abc import Sequence

from lexiseg.errors import OptionError, UnknownName

__all__ = ["TEMPLATES", "template_sentences"]

# The seven that do best together, of notebooks/Prompt_Engineering_for_ImageNet.ipynb.
_SEVEN = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

# All eighty, in the order of the notebook.
_EIGHTY = (
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
)

# Sentences around a word; its vector is the mean over them.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "plain": ("{}",),
    "photo": ("{}", "a photo of a {}", "a photo of the {}"),
    "imagenet-7": _SEVEN,
    "imagenet-80": _EIGHTY,
}


def template_sentences(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Return the sentences of a set of templates: its name, one sentence, or several.

    Raises UnknownName for another name, OptionError for none and for a sentence without {}.
    """
    if not isinstance(templates, str):
        sentences = tuple(templates)
    elif "{}" in templates:
        sentences = (templates,)
    elif templates in TEMPLATES:
        sentences = TEMPLATES[templates]
    else:
        raise UnknownName.among("set of templates", templates, TEMPLATES)
    if not sentences:
        raise OptionError('there are no templates; give some, or "plain"')
    for sentence in sentences:
        if "{}" not in sentence or set("{}") & set(sentence.replace("{}", "")):
            raise OptionError(
                f"the template is {sentence!r}; write {{}} for the word, and no other braces"
            )
    return sentences
