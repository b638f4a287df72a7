"""Read annotation files in XML, also in encodings that only Python knows, and never with entities."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alcli.errors import DataError
from alcli.formats._files import ONE_IMAGE, read_bytes, read_head

HEAD = 2**12
PIECE = 2**18
DECLARATION = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")


def root_tag(path: Path) -> str:
    """The tag of the root element; empty for a file that is not XML."""
    parser: ElementTree.XMLPullParser[Any] = ElementTree.XMLPullParser(("start",))
    try:
        parser.feed(read_head(path, HEAD))
        events: Iterator[Any] = parser.read_events()
        return next((str(element.tag) for _, element in events), "")
    except (ElementTree.ParseError, ValueError, LookupError):
        return ""


def parse_xml(path: Path, largest: int = ONE_IMAGE) -> ElementTree.Element:
    """The root element; raises DataError when the file is too large, not XML, or declares entities."""
    content = read_bytes(path, largest)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError(f"{path.name}: declares entities, which annotations do not need")
    try:
        return _parse(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        root = _parse_decoded(content)
        if root is None:
            do = "Export it again; perhaps the file was only partly copied."
            raise DataError(f"{path.name}: not valid XML: {error}", do=do) from None
        return root


def _parse(content: bytes | str) -> ElementTree.Element:
    """Parse in pieces: between them signals get a turn."""
    parser = ElementTree.XMLParser()
    for start in range(0, len(content), PIECE):
        parser.feed(content[start : start + PIECE])
    return parser.close()


def _parse_decoded(content: bytes) -> ElementTree.Element | None:
    """Parse text in an encoding that Python knows and expat does not, such as GBK."""
    declaration = DECLARATION.match(content)
    if declaration is None:
        return None
    try:
        text = content[declaration.end() :].decode(declaration.group(1).decode("ascii"))
        return None if "<!DOCTYPE" in text or "<!ENTITY" in text else _parse(text)
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
