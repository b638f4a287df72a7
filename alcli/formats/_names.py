"""Match annotations to images by name: the only place that decides which image an annotation belongs to."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar
from urllib.parse import unquote

from alcli.errors import DataError
from alcli.formats._files import NOT_OPENED, file_version, relative_name
from alcli.items import Refusal
from alcli.system.text import quantity, readable

Source = TypeVar("Source")
ORPHAN = "annotation without an image"
MOST_NAMED = 3
PICTURES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".heic", ".avif", ".dcm"}
)
"""Suffixes that an annotation's image name may have, and that may differ from the image's own."""
UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded file."""
RANK = re.compile(r"^[0-9]{4,}_(?=.)")
FOLDER = "__"
"""What stands for the slash after a folder's name in a folder that lists images by rank."""
ROBOFLOW = re.compile(r"_([A-Za-z]{3,4})\.rf\.[0-9A-Za-z]{16,40}(?=\.|$)")
"""What Roboflow puts between the name of an uploaded file and its suffix."""


def _same(text: str) -> str:
    return text


def _to_nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _caseless(text: str) -> str:
    return _to_nfc(_to_nfc(text).casefold())


FOLDS: tuple[tuple[Callable[[str], str], str], ...] = (
    (_same, ""),
    (_to_nfc, "in another Unicode form"),
    (_caseless, "ignoring case"),
)
"""How names are compared, strictest first, and what is said of it."""


@dataclass(frozen=True)
class Match:
    """The images that a name may refer to: none, one, or several when it is ambiguous.

    Attributes:
        rank: matches of lower rank are stricter; (0, n) is the whole path of the n-th name that was tried.
        leniency: what had to be overlooked, in words; empty for nothing.
    """

    images: tuple[str, ...] = ()
    rank: tuple[int, int] = (0, 0)
    leniency: str = ""


class ImageNames:
    """Finds images by path, or failing that by the longest end of the path that an image has.

    What does not match as written is compared in the same Unicode form, then ignoring case, then without suffix.

    Args:
        names: relative POSIX paths of all images.
        suffixes: whether annotations name images with a suffix (``a/x.jpg``) or without (``a/x``).
    """

    def __init__(self, names: Sequence[str], suffixes: bool) -> None:
        self._names = names
        self._keep = suffixes
        self._tables: dict[tuple[bool, int], dict[str, list[str]]] = {}

    @functools.cached_property
    def _paths(self) -> dict[str, list[str]]:
        """Images by path; made for the first annotation, because a pool without any needs none."""
        return _group((name if self._keep else _without_suffix(name), name) for name in self._names)

    @property
    def example(self) -> str:
        """The name of one image; empty without images."""
        return self._names[0] if self._names else ""

    def find(self, key: str) -> list[str]:
        """The images that ``key`` may refer to."""
        return list(self.match([key]).images)

    def match(self, keys: Sequence[str]) -> Match:
        """The images of the first of these names that any image has; the strictest comparison comes first."""
        for number, key in enumerate(keys):
            for spelling in (key, _with_slashes(key)):
                if spelling in self._paths:
                    return Match(tuple(self._paths[spelling]), (0, number))
        for rank, (suffixes, fold, spell, leniency) in enumerate(self._comparisons(), 1):
            table = self._table(suffixes, fold)
            for number, key in enumerate(keys):
                spelled = spell(_with_slashes(key))
                for prefix, tail in _tails(FOLDS[fold][0](spelled)) if spelled else ():
                    if images := table.get(tail):
                        dropped = f"after the prefix {prefix} was dropped" if prefix else ""
                        return Match(tuple(images), (rank, number), ", ".join(filter(None, (dropped, leniency))))
        return Match()

    def _comparisons(self) -> Iterator[tuple[bool, int, Callable[[str], str], str]]:
        """Yield (with suffixes, number of the fold, change of the key, leniency in words), strictest first."""
        other = "" if self._keep else "with a suffix"
        forms: list[tuple[bool, Callable[[str], str], str]] = [
            (self._keep, _same, ""),
            (not self._keep, _same, other or "without suffix"),
            (False, _without_picture_suffix, "without suffix"),
            (True, _without_query, "without the query of its address"),
            (True, _without_escapes, "without percent escapes"),
            (False, _uploaded_stem, "without what the annotation tool added to the name"),
            (False, _unranked_stem, "without the rank before its name"),
        ]
        for suffixes, spell, words in forms:
            for number, (_, fold_words) in enumerate(FOLDS):
                yield suffixes, number, spell, ", ".join(filter(None, (words, fold_words)))

    def _table(self, suffixes: bool, fold: int) -> dict[str, list[str]]:
        """Every end of every image's path → the images that have it; built when it is first needed."""
        if (suffixes, fold) not in self._tables:
            keys = ((FOLDS[fold][0](name if suffixes else _without_suffix(name)), name) for name in self._names)
            self._tables[suffixes, fold] = _group((tail, name) for key, name in keys for _, tail in _tails(key))
        return self._tables[suffixes, fold]


@dataclass(frozen=True)
class Claim(Generic[Source]):
    """An annotation, and the names by which it claims an image.

    Attributes:
        id: unique among the annotations, for the list of refusals.
        name: what people know the annotation by: its file, or the image name in it.
        keys: names of the image, the most likely first.
        source: what the format needs to read it.
        version: changes with the annotation; empty if it cannot be opened.
    """

    id: str
    name: str
    keys: Sequence[str]
    source: Source
    version: str


@dataclass
class Matched(Generic[Source]):
    """Which annotation belongs to which image.

    Attributes:
        versions: version of the annotation of each labeled image.
        refusals: annotations that belong to no image, or to one of several.
        notes: leniency in matching, and an example of what matches no image, one sentence for each kind.
    """

    versions: dict[str, str] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _claims: dict[str, list[Claim[Source]]] = field(default_factory=dict)

    def claims(self, name: str) -> Sequence[Claim[Source]]:
        """The annotations that claim a labeled image equally well."""
        return self._claims[name]

    def source(self, name: str) -> Source:
        """The source of an image's annotation; raises DataError when several annotations claim the image."""
        claims = self._claims[name]
        if len(claims) > 1:
            names = [claim.name for claim in claims]
            shown = names if len(set(names)) == len(names) else [claim.id for claim in claims]
            raise DataError(f"claimed by {len(claims)} annotations: {_list_names(shown, 'and')}; keep one of them")
        return claims[0].source


def match_claims(
    images: ImageNames,
    claims: Iterable[Claim[Source]],
    orphan: str = ORPHAN,
    ambiguous: str = "",
) -> Matched[Source]:
    """Give every image the annotation whose name matches it best.

    Args:
        orphan: what to call an annotation that belongs to no image.
        ambiguous: what to do about one that could belong to several.
    """
    matched: Matched[Source] = Matched()
    ranked: dict[str, list[tuple[tuple[int, int], Claim[Source]]]] = {}
    leniency: Counter[str] = Counter()
    unmatched: list[str] = []
    everything = list(claims)
    for claim in everything:
        match = images.match(claim.keys)
        if claim.version and len(match.images) == 1:
            ranked.setdefault(match.images[0], []).append((match.rank, claim))
            leniency[match.leniency] += 1
        else:
            reason = refusal_reason(match, orphan, ambiguous) if claim.version else NOT_OPENED
            matched.refusals.append(Refusal(claim.id, claim.name, reason, claim.version))
            unmatched += [] if match.images or not claim.version else [claim.keys[0] if claim.keys else claim.name]
    for name, candidates in ranked.items():
        best = min(rank for rank, _ in candidates)
        winners = [claim for rank, claim in candidates if rank == best]
        matched._claims[name] = winners
        matched.versions[name] = "+".join(claim.version for claim in winners)
        for _, claim in (candidate for candidate in candidates if candidate[0] != best):
            reason = f"{name} already has {winners[0].name}"
            matched.refusals.append(Refusal(claim.id, claim.name, reason, claim.version))
    leniency.pop("", None)
    matched.notes = [*_say_leniency(leniency, len(everything)), *_say_unmatched(images, unmatched)]
    return matched


def _say_leniency(leniency: Counter[str], total: int) -> Iterator[str]:
    share = f"of {quantity(total, 'annotation')} matched"
    kinds = leniency.most_common()
    yield from (f"{count} {share} {words}." for words, count in kinds[:MOST_NAMED])
    if rest := kinds[MOST_NAMED:]:
        yield f"{sum(count for _, count in rest)} {share} in other ways, such as {rest[0][0]}."


def _say_unmatched(images: ImageNames, unmatched: Sequence[str]) -> Iterator[str]:
    if unmatched and images.example:
        count = "1 annotation belongs" if len(unmatched) == 1 else f"{len(unmatched)} annotations belong"
        yield f"{count} to no image: {unmatched[0]} is wanted; images are named like {images.example}."


def file_claims(
    kind: str, root: Path, paths: Iterable[Path], keys: Callable[[PurePosixPath], Sequence[str]], stamp: str = ""
) -> Iterator[Claim[Path]]:
    """Yield a claim for each annotation file.

    Args:
        kind: first part of the claims' ids.
        keys: image names for a path relative to the root.
        stamp: added to the version, for what the annotation depends on apart from its file.
    """
    for path in paths:
        relative = readable(relative_name(path, root))
        version = file_version(path)
        yield Claim(f"{kind}:{relative}", relative, keys(PurePosixPath(relative)), path, version and version + stamp)


def refusal_reason(match: Match, orphan: str = ORPHAN, ambiguous: str = "") -> str:
    """Why an annotation belongs to no image: none has its name, or several have."""
    if match.images:
        return f"could belong to {_list_names(match.images, 'or')}{ambiguous and '; ' + ambiguous}"
    return orphan


def _list_names(names: Sequence[str], word: str) -> str:
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED + 1 else []
    shown = [*names[: MOST_NAMED if more else len(names)], *more]
    return f" {word} ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def _with_slashes(key: str) -> str:
    return key.replace("\\", "/").removeprefix("./")


def _without_suffix(name: str) -> str:
    """What pathlib's ``with_suffix("")`` gives for a relative path, in a tenth of the time."""
    folder, slash, last = name.rpartition("/")
    stem, _, suffix = last.rpartition(".")
    return f"{folder}{slash}{stem}" if stem and suffix else name


def _without_picture_suffix(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in PICTURES else ""


def _without_query(name: str) -> str:
    """The path of a web address such as ``https://host/a%20b.jpg?token=1``; empty for anything else."""
    scheme, mark, rest = name.partition("://")
    path = rest.partition("#")[0].partition("?")[0]
    return f"{scheme}{mark}{unquote(path)}" if mark and path != rest else ""


def _without_escapes(name: str) -> str:
    return unquote(name) if "%" in name else ""


def without_upload_marks(name: str) -> str:
    """The name of the file that was uploaded to Label Studio or Roboflow; empty if neither added anything."""
    folder, slash, last = name.rpartition("/")
    bare = ROBOFLOW.sub("", UPLOAD.sub("", last))
    return f"{folder}{slash}{bare}" if bare and bare != last else ""


def _uploaded_stem(name: str) -> str:
    bare = without_upload_marks(name)
    return _without_picture_suffix(bare) or bare


def ranked_name(rank: int, name: str) -> str:
    """The name of an image in a folder that lists images by rank: ``0007_sub__x.jpg``."""
    return f"{rank:04d}_{name.replace('/', FOLDER)}"


def _unranked_stem(name: str) -> str:
    """What ``ranked_name`` made its name of, without suffix; empty for other names."""
    last = name.rpartition("/")[2]
    bare = RANK.sub("", last)
    return (_without_picture_suffix(bare) or bare).replace(FOLDER, "/") if bare and bare != last else ""


def _tails(path: str) -> Iterator[tuple[str, str]]:
    """Yield (what was dropped, what is left) of a path, the longest end first."""
    yield "", path
    start = path.find("/") + 1
    while start:
        if start < len(path):
            yield path[:start], path[start:]
        start = path.find("/", start) + 1


def _group(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, name in pairs:
        groups.setdefault(key, []).append(name)
    return groups
