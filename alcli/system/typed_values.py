"""The value that a text stands for, by the type it is wanted as; and a type in words."""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tomlkit
import tomlkit.exceptions

LISTS = (tuple, list, set, frozenset)
WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}


class Text(str):
    """What somebody typed on a command line or in the environment, where a value has no type of its own."""

    __slots__ = ()


def read_value(kind: Any, value: Any) -> Any:
    """The value as its type reads it; what the type cannot read is returned as it is, to be refused with its name.

    A text type takes a text as it stands, without quotes around the whole, and a whole number by its digits. A list
    takes a TOML array, or its items separated by commas; one item needs no comma. Everything else is read as TOML. An
    empty Text means None where None is allowed; so does ``none``, unless the type is a text or a path.
    """
    allowed = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    kinds = [each for each in allowed if each is not type(None)]
    if isinstance(value, Text) and len(kinds) < len(allowed):
        written = value.strip()
        if not written or (written == "none" and not any(map(_is_text, kinds))):
            return None
    return _read(kinds[0], value) if len(kinds) == 1 or all(map(_is_text, kinds)) else _read(Any, value)


def type_in_words(kind: Any) -> str:
    """A type for people: ``list of text``, ``number or none``, ``warm | scratch``."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        kinds = [type_in_words(each) for each in arguments if each is not type(None)]
        return " or ".join([*kinds, *(["none"] if type(None) in arguments else [])])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin is dict:
        return f"table of {type_in_words(arguments[1])}"
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"[{', '.join(map(type_in_words, arguments))}]"
    if origin in LISTS:
        return f"list of {type_in_words(arguments[0])}"
    kind = _bare(kind)
    return "path" if _is_path(kind) else WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def parse_toml(text: str) -> Any:
    """The TOML value that the whole text is; raises ValueError when it is none."""
    try:
        document = tomlkit.parse(f"value = {text}").unwrap()
    except tomlkit.exceptions.TOMLKitError as error:
        raise ValueError(str(error)) from None
    if list(document) != ["value"]:
        raise ValueError("more than one value")
    return document["value"]


def _read(kind: Any, value: Any) -> Any:
    origin = get_origin(kind)
    if origin in LISTS and get_args(kind):
        return _read_list(kind, value)
    if _is_text(kind):
        return _read_text(value)
    if isinstance(value, Text):
        value = _toml_or_text(value)
    if origin is dict and isinstance(value, Mapping):
        of_key, of_value = get_args(kind)
        return {read_value(of_key, key): read_value(of_value, entry) for key, entry in value.items()}
    return value


def _read_text(value: Any) -> Any:
    if isinstance(value, Text):
        text = _toml_or_text(value)
        return text if isinstance(text, str) else str(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _read_list(kind: Any, value: Any) -> Any:
    if isinstance(value, Text) and value.strip().startswith("["):
        value = _toml_or_text(value)
    if isinstance(value, str):
        items: list[Any] = [type(value)(part.strip()) for part in value.split(",") if part.strip()]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        items = [value]
    elif isinstance(value, list | tuple):
        items = list(value)
    else:
        return value
    kinds = get_args(kind)
    if get_origin(kind) is tuple and kinds[-1] is not Ellipsis:
        return [read_value(each, item) for each, item in zip(kinds, items, strict=False)] + items[len(kinds) :]
    return [read_value(kinds[0], item) for item in items]


def _toml_or_text(text: Text) -> Any:
    try:
        return parse_toml(text)
    except ValueError:
        return str(text)


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return all(isinstance(choice, str) for choice in get_args(kind))
    return _bare(kind) is str or _is_path(kind)


def _bare(kind: Any) -> Any:
    """The type without its checks."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PurePath)
