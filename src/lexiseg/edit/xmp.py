"""What a picture file says of how it was made: XMP, which every kind of file can carry.

A generated part is told of as IPTC asks: `Iptc4xmpExt:DigitalSourceType`, see
https://cv.iptc.org/newscodes/digitalsourcetype/. The steps stand beside it as JSON, in a namespace
of lexiseg's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from lexiseg._version import __version__

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["COMPOSITE", "EDITED", "GENERATED", "digital_source", "packet", "steps_of", "strongest"]

_PLACE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
EDITED = _PLACE + "humanEdits"  # by people, with tools that generate nothing
COMPOSITE = _PLACE + "composite"  # of several pictures
GENERATED = _PLACE + "compositeWithTrainedAlgorithmicMedia"  # parts came from a trained model
_RANK = (EDITED, COMPOSITE, GENERATED)

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OWN = "urn:lexiseg:edit:1"


def packet(steps: Sequence[Mapping[str, Any]], source: str) -> bytes:
    """Return an XMP packet: who made the file, from what kind of source, in which steps."""
    attributes = {
        "xmp:CreatorTool": f"lexiseg {__version__}",
        "Iptc4xmpExt:DigitalSourceType": source,
        "lexiseg:steps": json.dumps(list(steps)),  # in ASCII: not every character is one of XML
    }
    written = " ".join(
        f"{name}={quoteattr(value, {chr(34): '&quot;'})}" for name, value in attributes.items()
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
        f'<rdf:Description rdf:about="" xmlns:xmp="{_XMP}" xmlns:Iptc4xmpExt="{_IPTC}" '
        f'xmlns:lexiseg="{_OWN}" {written}/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def digital_source(xmp: bytes | None) -> str | None:
    """Return the digital source type that an XMP packet names, or None."""
    value = _property(xmp, f"{{{_IPTC}}}DigitalSourceType")
    return value.strip() or None if value is not None else None


def steps_of(xmp: bytes | None) -> list[dict[str, Any]]:
    """Return the steps that an XMP packet of ours tells of; none where it is not ours."""
    text = _property(xmp, f"{{{_OWN}}}steps")
    try:
        steps = [] if text is None else json.loads(text)
    except ValueError:
        return []
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


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


def _property(xmp: bytes | None, name: str) -> str | None:
    """The value of a simple property, in any of the three ways in which RDF writes one."""
    root = _parsed(xmp)
    for element in [] if root is None else root.iter():
        if name in element.attrib:
            return element.attrib[name]
        if element.tag == name:
            return element.attrib.get(f"{{{_RDF}}}resource", element.text or "")
    return None


def _parsed(xmp: bytes | None) -> Element | None:
    """The root of a packet; None where it is no XML, or declares entities, as XMP never does."""
    from xml.etree import ElementTree as ET

    class Builder(ET.TreeBuilder):
        def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
            raise ET.ParseError("a document type")

    try:
        # Programs pad packets, so that they can be changed in place.
        return ET.fromstring((xmp or b"").strip(b"\0 \t\r\n"), ET.XMLParser(target=Builder()))
    except (ET.ParseError, ValueError, LookupError):
        return None
