"""The page about the API: plain HTML made of the OpenAPI document, without any script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

__all__ = ["render"]


def render(document: Mapping[str, Any]) -> str:
    """Return the page, a whole HTML document."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])} API</title><h1>{escape(info['title'])} API</h1>",
        f"<p>{escape(info.get('summary', ''))} Version {escape(info['version'])}; "
        "<a href=/openapi.json>OpenAPI document</a></p>",
    ]
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            parts += _operation(path, method, about)
    parts.append("<h2>What requests hold</h2>")
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        parts += _schema(name, schema)
    return "\n".join(parts)


def _operation(path: str, method: str, about: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2 id='{escape(about['operationId'])}'>{method.upper()} {escape(path)}</h2>"
    yield f"<p>{escape(about.get('description', about.get('summary', '')))}</p>"
    for kind, content in about.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        what = f"<a href='#{escape(name)}'>{escape(name)}</a>" if name else _code(schema)
        yield f"<p>Body, {escape(kind)}: {what}</p>"
    yield "<table><tr><th>status<th>meaning"
    for status, answer in about.get("responses", {}).items():
        yield f"<tr><td>{escape(status)}<td>{escape(answer.get('description', ''))}"
    yield "</table>"


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h3 id='{escape(name)}'>{escape(name)}</h3>"
    yield f"<p>{escape(schema.get('description', ''))}</p>"
    yield "<table><tr><th>field<th>type<th>default<th>meaning"
    for field, about in schema.get("properties", {}).items():
        default = json.dumps(about["default"]) if "default" in about else "must be given"
        yield (
            f"<tr><td>{escape(field)}<td>{escape(_type(about))}<td>{escape(default)}"
            f"<td>{escape(about.get('description', ''))}"
        )
    yield "</table>"


def _type(about: Mapping[str, Any]) -> str:
    if "$ref" in about:
        return str(about["$ref"]).rpartition("/")[2]
    if "anyOf" in about:
        return " or ".join(_type(one) for one in about["anyOf"])
    if "const" in about:
        return json.dumps(about["const"])
    if "enum" in about:
        return " or ".join(json.dumps(one) for one in about["enum"])
    if about.get("type") == "array":
        items = about.get("items") or {}
        if "prefixItems" in about:
            return f"[{', '.join(_type(one) for one in about['prefixItems'])}]"
        return f"list of {_type(items)}"
    return str(about.get("type", "anything"))


def _code(schema: Mapping[str, Any]) -> str:
    fields = ", ".join(schema.get("properties", {}))
    return f"<code>{escape(fields)}</code>"
