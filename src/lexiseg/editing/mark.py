"""What a picture file says of how it was made: XMP, which every kind of file can carry.

A generated part is told of as IPTC asks: `Iptc4xmpExt:DigitalSourceType`, see
https://cv.iptc.org/newscodes/digitalsourcetype/. The steps stand beside it as JSON, in a namespace
of lexiseg's own.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lexiseg._version import __version__

__all__ = ["COMPOSITE", "EDITED", "GENERATED", "digital_source", "steps_of", "strongest", "xmp"]

_PLACE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
EDITED = _PLACE + "humanEdits"  # by people, with tools that generate nothing
COMPOSITE = _PLACE + "composite"  # of several pictures
GENERATED = _PLACE + "compositeWithTrainedAlgorithmicMedia"  # parts came from a trained model
_RANK = (EDITED, COMPOSITE, GENERATED)
_SPACE = "urn:lexiseg:edit:1"
_STEPS = re.compile(rb"lexiseg:steps=\"([^\"]*)\"")
_TYPE = re.compile(rb"DigitalSourceType(?:=[\"']|>|[^<>]*resource=[\"'])\s*([^\"'<\s]+)")


def xmp(steps: Sequence[Mapping[str, Any]], source: str) -> bytes:
    """Return an XMP packet: who made the file, from what kind of source, in which steps."""
    said = html.escape(json.dumps(list(steps), ensure_ascii=False), quote=True)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'xmlns:lexiseg="{_SPACE}" xmp:CreatorTool="lexiseg {__version__}" '
        f'Iptc4xmpExt:DigitalSourceType="{source}" lexiseg:steps="{said}"/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def digital_source(packet: bytes | None) -> str | None:
    """Return the digital source type that an XMP packet names, or None."""
    hit = None if packet is None else _TYPE.search(packet)
    return None if hit is None else hit[1].decode("ascii", "replace")


def steps_of(packet: bytes | None) -> list[dict[str, Any]]:
    """Return the steps that an XMP packet of ours tells of; none where it is not ours."""
    hit = None if packet is None else _STEPS.search(packet)
    if hit is None:
        return []
    try:
        found = json.loads(html.unescape(hit[1].decode("utf-8", "replace")))
    except ValueError:
        return []
    return [step for step in found if isinstance(step, dict)] if isinstance(found, list) else []


def strongest(*sources: str | None) -> str:
    """Return the one that says most: what was generated once stays marked as such.

    A source type that is not among ours, such as that of a wholly generated picture, is kept when
    it names a trained algorithm.
    """
    best = EDITED
    for source in sources:
        if source is None:
            continue
        if "rainedAlgorithmic" in source and source not in _RANK:
            return GENERATED
        if source in _RANK and _RANK.index(source) > _RANK.index(best):
            best = source
    return best
