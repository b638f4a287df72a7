"""Inputs for fuzzing: valid documents with something wrong in them, and what was never a document."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

DEEP, DIGITS = "@deep@", "@digits@"
LEVELS = 20_000
NUMBERS = [0, -1, 1, 2, 0.5, True, -0.0, 1e308, -1e308, math.nan, math.inf, -math.inf, 1e-320, 2**31, 2**32, 2**53,
           -(2**63), 2**64, 10**30, 10**400]  # fmt: skip
TEXTS = ["", " ", "\0", "a\0b", "../../x", "/etc/passwd", "\ud800", "é", "e\u0301", "\u202egpj", "\ufeff", "=1+1",
         "line\nend", "cr\rend", "tab\t", "[/red]", "%2e%2e", "NaN", "1e999", "-1", "0x10", "١٢", "²", "true", "null",
         "a" * 70_000, DEEP, DIGITS]  # fmt: skip
CONTAINERS: list[Any] = [None, [], {}, [[]], [{}], {"": None}, [None], [0] * 7, ["x", "x"], {"x": {"y": []}},
                         [[[[[[[[]]]]]]]], [1, 2], [2**33, 2**33], [1e9, 3], list(range(300))]  # fmt: skip
ENCODINGS = ["utf-8"] * 40 + ["utf-8-sig", "utf-16", "utf-32", "latin-1", "cp037"]

places = st.integers(0, 1 << 20)
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(-5, 300), st.floats(width=32))
words = st.one_of(st.sampled_from(TEXTS), st.text(max_size=6))
junk = st.one_of(st.sampled_from([*NUMBERS, *TEXTS, *CONTAINERS]), numbers, words)


def documents(valid: Sequence[Any]) -> st.SearchStrategy[Any]:
    """One of the valid documents with some of its values replaced, taken out, doubled, wrapped or swapped."""
    changes = st.lists(st.tuples(st.integers(0, 5), places, places, junk), max_size=3)
    return st.builds(_changed, st.sampled_from(list(valid)), changes)


def json_files(valid: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Files of such documents, some torn or in another encoding, and any bytes."""
    written = st.builds(_as_json, documents(valid), st.sampled_from(ENCODINGS), st.integers(0, 30), places)
    whole = [json.dumps(document).encode() for document in valid]
    return st.one_of(written, written, written, files(whole))


def files(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the valid files with bytes flipped, cut, doubled or put in; and any bytes."""
    edits = st.lists(st.tuples(st.integers(0, 4), places, st.integers(0, 64), st.binary(max_size=6)), max_size=4)
    edited = st.builds(_edited, st.sampled_from(list(valid)), edits)
    return st.one_of(edited, edited, edited, st.binary(max_size=64))


def texts(valid: Sequence[str], language: Sequence[str]) -> st.SearchStrategy[str]:
    """One of the valid texts with words replaced, taken out or doubled; ``language`` are words of its syntax."""
    word = st.one_of(st.sampled_from(list(language)), words, numbers.map(_shown))
    changes = st.lists(st.tuples(st.integers(0, 4), places, word), max_size=3)
    reworded = st.builds(_reworded, st.sampled_from(list(valid)), changes)
    return st.one_of(reworded, reworded, reworded, reworded, st.text(max_size=30))


def text_files(valid: Sequence[str], language: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Files of such texts in several encodings, and any bytes."""
    written = st.builds(_encoded, texts(valid, language), st.sampled_from(ENCODINGS))
    return st.one_of(written, written, written, files([text.encode() for text in valid]))


def tensor_files(valid: Sequence[tuple[dict[str, Any], bytes]]) -> st.SearchStrategy[bytes]:
    """Files in the layout of safetensors, (header, tensors), with something wrong in the header or anywhere."""
    written = st.builds(
        _as_tensors, st.sampled_from(list(valid)), st.lists(st.tuples(places, places, junk), max_size=3)
    )
    return st.one_of(written, written, written, files([tensors_file(*pair) for pair in valid]))


def tensors_file(header: dict[str, Any], content: bytes) -> bytes:
    """The bytes of a safetensors file."""
    text = _json(header).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + content


def mean_json(text: str) -> str:
    """The text of a JSON document with its marks for what no library would write: 20,000 levels, 5,000 digits."""
    deep = "[" * LEVELS + "]" * LEVELS
    return text.replace(f'"{DEEP}"', deep).replace(f'"{DIGITS}"', "7" * 5000)


def _json(document: Any) -> str:
    return mean_json(json.dumps(document))


def _as_json(document: Any, encoding: str, what: int, place: int) -> bytes:
    text = _json(document)
    if what == 0:
        text = re.sub(r'"(\w+)":', r'"\1": 7, "\1":', text, count=3)
    elif what == 1:
        text = text[: place % (len(text) + 1)]
    return _encoded(text, encoding)


def _encoded(text: str, encoding: str) -> bytes:
    if encoding.startswith("utf-8"):
        return text.encode(encoding, "surrogatepass")
    return text.encode(encoding, "replace")


def _as_tensors(pair: tuple[dict[str, Any], bytes], changes: list[tuple[int, int, Any]]) -> bytes:
    header, content = copy.deepcopy(pair[0]), pair[1]
    notes = header["__metadata__"]
    for where, place, value in changes:
        key = sorted(notes)[where % len(notes)] if notes else "alcli"
        if where % 3 == 0:
            notes[key] = value if isinstance(value, str) else json.dumps(value)
        elif where % 3 == 1:
            inner = json.loads(pair[0]["__metadata__"].get(key, "{}"))
            notes[key] = _json(_changed(inner, [(place % 6, place // 7, where, value)]))
        else:
            header = _changed(header, [(place % 6, place // 7, where, value)])
            notes = header.setdefault("__metadata__", {}) if isinstance(header, dict) else {}
            if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
                break
    return tensors_file(header, content)


def _changed(document: Any, changes: Sequence[tuple[int, int, int, Any]]) -> Any:
    root = [copy.deepcopy(document)]
    for kind, place, other, value in changes:
        slots = list(_slots(root))
        holder, key = slots[place % len(slots)]
        ACTIONS[kind](holder, key, slots[other % len(slots)], copy.deepcopy(value))
        if not root:
            return value
    return root[0]


def _slots(holder: Any) -> Iterator[tuple[Any, Any]]:
    keys = range(len(holder)) if isinstance(holder, list) else list(holder)
    for key in list(keys):
        yield holder, key
        if isinstance(holder[key], (list, dict)):
            yield from _slots(holder[key])


def _replace(holder: Any, key: Any, other: Any, value: Any) -> None:
    holder[key] = value


def _remove(holder: Any, key: Any, other: Any, value: Any) -> None:
    del holder[key]


def _double(holder: Any, key: Any, other: Any, value: Any) -> None:
    if isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[f"{key}x"] = copy.deepcopy(holder[key])


def _wrap(holder: Any, key: Any, other: Any, value: Any) -> None:
    holder[key] = [holder[key]]


def _swap(holder: Any, key: Any, other: tuple[Any, Any], value: Any) -> None:
    holder[key] = copy.deepcopy(other[0][other[1]])


def _fill(holder: Any, key: Any, other: Any, value: Any) -> None:
    if isinstance(holder[key], list):
        holder[key].append(value)
    elif isinstance(holder[key], dict):
        holder[key][str(value)[:20]] = value
    else:
        holder[key] = value


ACTIONS: list[Callable[[Any, Any, Any, Any], None]] = [_replace, _remove, _double, _wrap, _swap, _fill]


def _edited(content: bytes, edits: Sequence[tuple[int, int, int, bytes]]) -> bytes:
    for kind, place, length, given in edits:
        at = place % (len(content) + 1)
        end = min(at + length, len(content))
        if kind == 0 and at < len(content):
            content = content[:at] + bytes([content[at] ^ (1 << length % 8)]) + content[at + 1 :]
        elif kind == 1:
            content = content[:at]
        elif kind == 2:
            content = content[:at] + given + content[at:]
        elif kind == 3:
            content = content[:at] + content[end:]
        elif kind == 4:
            content = content[:end] + content[at:]
    return content


def _reworded(text: str, changes: Sequence[tuple[int, int, str]]) -> str:
    for kind, place, word in changes:
        pieces = re.findall(r"\w+|\s+|[^\w\s]", text) or [""]
        at = place % len(pieces)
        if kind <= 1:
            pieces[at] = word
        elif kind == 2:
            pieces[at] = ""
        elif kind == 3:
            pieces[at] *= 1 + place % 5
        else:
            pieces.insert(at, word)
        text = "".join(pieces)
    return text.replace(DEEP, "[" * LEVELS).replace(DIGITS, "7" * 5000)


def _shown(number: Any) -> str:
    return repr(number) if isinstance(number, float) else str(number)
