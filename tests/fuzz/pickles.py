"""Files that run code when they are unpickled, in every place where alcli reads a file."""

from __future__ import annotations

import builtins
import gzip
import io
import os
import pathlib
import pickle
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

from alcli import config, images
from alcli.artifacts import signal_parts
from alcli.engine import training_state
from alcli.errors import AlcliError
from alcli.formats.coco import Coco
from alcli.formats.csv_labels import CsvLabels
from alcli.formats.masks import Masks
from alcli.formats.superannotate import Superannotate
from alcli.formats.voc import Voc
from alcli.formats.yolo import Yolo
from alcli.items import Item
from alcli.models import storage, weights
from alcli.platforms.oracle import Oracle
from alcli.system import tables
from alcli.system.arrays import is_intact
from alcli.workspace import Workspace, backup

REFUSED = (2, 4, 5, 12)
"""What a file that is no file of its place may end in."""


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


def payloads(canary: Path) -> Iterator[tuple[str, bytes]]:
    """(what it is, the file): each makes ``canary`` when somebody runs it."""
    objects = {
        "system": Payload(os.system, f"touch '{canary}'"),
        "open": Payload(builtins.open, str(canary), "w"),
        "exec": Payload(builtins.exec, f"open({str(canary)!r}, 'w').close()"),
        "eval": Payload(builtins.eval, f"open({str(canary)!r}, 'w').close()"),
        "touch": Payload(pathlib.Path.touch, canary),
        "mkdir": Payload(os.mkdir, str(canary)),
    }
    for name, thing in objects.items():
        for protocol in range(6):
            yield f"pickle {protocol} {name}", pickle.dumps({"model.weight": thing}, protocol)
        yield f"torch zip {name}", _torch(thing, True)
        yield f"torch legacy {name}", _torch(thing, False)
        yield f"npy {name}", _saved(lambda stream, thing=thing: np.save(stream, np.array([thing], dtype=object)))
        yield f"npz {name}", _saved(lambda stream, thing=thing: np.savez(stream, a=np.array([thing], dtype=object)))
        yield f"joblib {name}", _saved(lambda stream, thing=thing: joblib.dump(thing, stream))
    plain = pickle.dumps(objects["system"])
    yield "joblib zlib", _saved(lambda stream: joblib.dump(objects["open"], stream, compress=3))
    yield "gzip", gzip.compress(plain)
    yield "zlib", zlib.compress(plain)
    yield "in a zip", _zipped(plain)
    yield "in a tar", _tarred(plain)
    yield "behind a safetensors length", len(plain).to_bytes(8, "little") + plain


def slots(folder: Path) -> dict[str, tuple[str, Callable[[Path], Any]]]:
    """What reads a file → (the file's name, the reader, which raises an AlcliError or says False)."""
    answers = Oracle.Options(annotations=folder / "answers.jsonl", queue=folder / "oracle/queue.csv")
    (folder / "oracle").mkdir(parents=True, exist_ok=True)
    return {
        "weights": ("w.pt", weights.read),
        "weights renamed": ("w.safetensors", weights.read),
        "model": ("model.safetensors", storage.read),
        "checkpoint": ("checkpoint-a.safetensors", training_state.read),
        "signal part": ("part.safetensors", lambda path: signal_parts.read(path, [Item("a", "a", "u")])),
        "signal part, looked at": ("part2.safetensors", is_intact),
        "simulation's features": ("features.safetensors", is_intact),
        "settings": ("settings/alcli.toml", lambda path: config.load(path.parent, (), {})),
        "coco": ("c.json", lambda path: _read(Coco(path))),
        "voc": ("voc/x.xml", lambda path: _read(Voc(path.parent))),
        "superannotate": ("sa/x.jpg.json", lambda path: _read(Superannotate(path.parent))),
        "yolo": ("yolo/data.yaml", lambda path: _read(Yolo(path))),
        "csv labels": ("l.csv", lambda path: _read(CsvLabels(path))),
        "mask": ("masks/x.png", lambda path: _read(_masks(path.parent))),
        "image": ("x.jpg", images.inspect),
        # The oldest pickles are texts, and any text is a list with other columns than alcli's.
        "list": ("list/p.csv", lambda path: any("name" in row for row in tables.read(path))),
        "queue": ("oracle/queue.csv", lambda path: bool(Oracle(answers, folder).queue())),
        "oracle": ("answers.jsonl", lambda path: list(Oracle(answers, folder).items())),
        "database": ("W/alcli.db", lambda path: _open(path)),
        "backup's database": ("B/alcli.db", lambda path: _restore(path, folder / "restored")),
    }


def tried(scratch: Path) -> tuple[int, int, list[str]]:
    """(files tried, codes executed, files that nobody refused)."""
    canary = scratch / "canary"
    folder = scratch / "slots"
    count, executed, silent = 0, 0, []
    for slot, (name, read) in slots(folder).items():
        for kind, content in payloads(canary):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            count += 1
            try:
                if read(path) is not False:
                    silent.append(f"{kind} as {slot}")
            except AlcliError as error:
                if error.exit_code not in REFUSED or not error.what:
                    silent.append(f"{kind} as {slot}: exit {error.exit_code}")
            if canary.exists():
                executed += 1
                canary.rmdir() if canary.is_dir() else canary.unlink()
    return count, executed, silent


def _torch(thing: Payload, new: bool) -> bytes:
    return _saved(lambda stream: torch.save({"a": thing}, stream, _use_new_zipfile_serialization=new))


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def _zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("../../data.pkl", content)
    return stream.getvalue()


def _tarred(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _read(labels: Any) -> None:
    versions, _ = labels.labeled(["x.jpg"])
    for name in versions:
        labels.read(name)


def _masks(folder: Path) -> Masks:
    (folder / "classes.txt").write_text("a\nb\n")
    return Masks(folder)


def _settings(path: Path) -> None:
    (path.parent / "alcli.toml").write_text('[platform]\nimages = "i"\n')


def _open(path: Path) -> None:
    _settings(path)
    Workspace.open(path.parent)


def _restore(path: Path, to: Path) -> None:
    _settings(path)
    shutil.rmtree(to, ignore_errors=True)
    backup.restore(path.parent, to)
