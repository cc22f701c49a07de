"""What a picture file says of how it was made: XMP, which every kind of file can carry.

A generated part is told of as IPTC asks: `Iptc4xmpExt:DigitalSourceType`, see
https://cv.iptc.org/newscodes/digitalsourcetype/. The steps stand beside it as JSON, in a namespace
of lexiseg's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from lexiseg._version import __version__

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element, TreeBuilder

__all__ = [
    "COMPOSITE", "EDITED", "GENERATED", "digital_source", "origin_of", "packet", "steps_of",
    "strongest",
]  # fmt: skip

_PLACE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
EDITED = _PLACE + "humanEdits"  # by people, with tools that generate nothing
COMPOSITE = _PLACE + "composite"  # of several pictures
GENERATED = _PLACE + "compositeWithTrainedAlgorithmicMedia"  # parts came from a trained model
_RANK = (EDITED, COMPOSITE, GENERATED)

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OWN = "urn:lexiseg:edit:1"
_SPACES = {"xmp": _XMP, "Iptc4xmpExt": _IPTC, "lexiseg": _OWN}
_QUOTE = {'"': "&quot;"}
_PADDING = b"\0 \t\r\n"  # programs leave room in packets, so that they can be changed in place
_MAX_BYTES = 65_000  # what JPEG has room for


def packet(
    steps: Sequence[Mapping[str, Any]],
    source: str,
    *,
    before: bytes | None = None,
    origin: str | None = None,
) -> bytes:
    """Return an XMP packet: from what kind of source a file was made, in which steps.

    before: the packet that the file had. All else that it says is kept, as far as JPEG has room.
    origin: what tells the results of one picture from those of others.
    """
    own = {
        "Iptc4xmpExt:DigitalSourceType": source,
        "lexiseg:steps": json.dumps(list(steps)),  # in ASCII: not every character is one of XML
    }
    if origin is not None:
        own["lexiseg:origin"] = origin
    merged = None if _parsed(before) is None else _merged(before or b"", own)
    return _packed(own) if merged is None or len(merged) > _MAX_BYTES else merged


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


def origin_of(xmp: bytes | None) -> str | None:
    """Return the `origin` of a packet of ours, "" where it has none; None for other packets."""
    if xmp is None or _OWN.encode() not in xmp:  # of the packets in a folder, most are others
        return None
    root = _parsed(xmp)
    if _property_of(root, f"{{{_OWN}}}steps") is None:
        return None
    return _property_of(root, f"{{{_OWN}}}origin") or ""


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


def _packed(own: Mapping[str, str]) -> bytes:
    """A packet that says nothing else."""
    spaces = "".join(f" xmlns:{prefix}={quoteattr(uri)}" for prefix, uri in _SPACES.items())
    values = "".join(f" {name}={quoteattr(value, _QUOTE)}" for name, value in own.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description '
        f'rdf:about=""{spaces} xmp:CreatorTool="lexiseg {__version__}"{values}/></rdf:RDF>'
        '</x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def _merged(before: bytes, own: Mapping[str, str]) -> bytes | None:
    """A packet with some properties set anew; None where it has no place for them."""
    from xml.dom import minidom  # unlike ElementTree, it keeps prefixes

    document = minidom.parseString(before.strip(_PADDING))
    places = document.getElementsByTagNameNS(_RDF, "RDF")
    if not places:
        return None
    for element in document.getElementsByTagName("*"):
        for name in (*own, "lexiseg:origin"):
            prefix, _, local = name.partition(":")
            if element.hasAttributeNS(_SPACES[prefix], local):
                element.removeAttributeNS(_SPACES[prefix], local)
            parent = element.parentNode
            named = (element.namespaceURI, element.localName) == (_SPACES[prefix], local)
            if named and parent is not None:
                parent.removeChild(element)
    added = document.createElementNS(_RDF, "rdf:Description")
    for prefix, uri in {"rdf": _RDF, **_SPACES}.items():
        added.setAttribute(f"xmlns:{prefix}", uri)
    for name, value in {"rdf:about": "", **own}.items():
        added.setAttribute(name, value)
    places[0].appendChild(added)
    return "".join(node.toxml() for node in document.childNodes).encode("utf-8", "replace")


def _property(xmp: bytes | None, name: str) -> str | None:
    """The value of a simple property of a packet."""
    return _property_of(_parsed(xmp), name)


def _property_of(root: Element | None, name: str) -> str | None:
    """The value of a simple property, in any of the three ways in which RDF writes one."""
    for element in [] if root is None else root.iter():
        if name in element.attrib:
            return element.attrib[name]
        if element.tag == name:
            return element.attrib.get(f"{{{_RDF}}}resource", element.text or "")
    return None


def _parsed(xmp: bytes | None) -> Element | None:
    """The root of a packet; None where it is no XML, or declares entities, as XMP never does."""
    from xml.etree import ElementTree as ET

    try:
        return ET.fromstring((xmp or b"").strip(_PADDING), ET.XMLParser(target=_builder()()))
    except (ET.ParseError, ValueError, LookupError):
        return None


@cache
def _builder() -> type[TreeBuilder]:
    """A builder of trees that refuses document types."""
    from xml.etree import ElementTree as ET

    class Builder(ET.TreeBuilder):
        def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
            raise ET.ParseError("a document type")

    return Builder
