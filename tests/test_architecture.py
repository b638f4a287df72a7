"""Who may import whom, and how large a piece may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "alcli"
FILES = sorted(ROOT.rglob("*.py"))
MODULES = {
    path: ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__") for path in FILES
}
TORCH = {"torch", "torchvision", "timm", "safetensors.torch"}
MAY_IMPORT_TORCH_AT_THE_TOP = (
    "training",
    "inference",
    "loading",
    "loss_head",
    "images",
    "models.",
    "tasks",
    "steps.measure",
    "steps.train",
    "steps.trained",
    "simulation.features",
    "simulation.frozen",
)
LIGHT = ("cli.", "errors", "items", "plugins", "progress", "files", "__main__")
FORBIDDEN_NAMES = {"utils", "helpers", "helper", "manager", "common", "heuristic", "sampler", "round"}
LONGEST_FILE, LONGEST_BODY = 400, 50

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: MODULES[path])


def imports(tree: ast.AST, top_only: bool) -> set[str]:
    nodes = tree.body if top_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def inner(path: Path) -> str:
    return MODULES[path].removeprefix("alcli").removeprefix(".")


@every_file
def test_torch_stays_where_it_belongs(path):
    top = {
        name
        for name in imports(ast.parse(path.read_text()), top_only=True)
        if within(name, "torch", "torchvision", "timm")
    }
    allowed = any(inner(path) == place or inner(path).startswith(place) for place in MAY_IMPORT_TORCH_AT_THE_TOP)
    assert allowed or not top, f"{MODULES[path]} imports {top} at the top"


RULES = {
    "strategies": (
        *("alcli.signals", "alcli.strategies", "alcli.errors", "alcli.items", "alcli.selection", "numpy"),
        *("alcli.vectors", "alcli.ranking", "alcli.kcenter", "alcli.kmeans", "alcli.neighbors"),
    ),
    "platforms": None,
    "tasks": None,
}


@every_file
def test_the_directions_of_imports(path):
    found = imports(ast.parse(path.read_text()), top_only=False)
    ours = {name for name in found if within(name, "alcli")}
    place = inner(path).split(".")[0]
    if place == "strategies":
        assert all(within(name, *RULES["strategies"]) for name in ours)
        assert not {name for name in found if within(name, *TORCH)}
    if place == "platforms":
        assert not {name for name in found if within(name, *TORCH, "alcli.training", "alcli.inference", "alcli.tasks")}
    if place == "tasks":
        assert not {name for name in ours if within(name, "alcli.strategies", "alcli.platforms", "alcli.steps")}
    if place in ("models", "formats", "items", "signals", "errors", "files"):
        assert not {name for name in ours if within(name, "alcli.tasks", "alcli.platforms", "alcli.steps", "alcli.cli")}
    if place != "cli" and inner(path) != "__main__":
        assert not {name for name in found if within(name, "alcli.cli", "click", "rich")}


@every_file
def test_only_the_store_and_the_database_speak_sql(path):
    if inner(path) not in ("store", "database"):
        assert "sqlite3" not in imports(ast.parse(path.read_text()), top_only=False)


@every_file
def test_files_and_bodies_stay_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = node.end_lineno - first.lineno + 1
            assert length <= LONGEST_BODY, f"{MODULES[path]}.{node.name} has {length} lines"


@every_file
def test_names_follow_the_glossary(path):
    tree = ast.parse(path.read_text())
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for name in {*defined, path.stem}:
        assert not set(name.lower().split("_")) & FORBIDDEN_NAMES, f"{MODULES[path]}: {name}"


@every_file
def test_public_pieces_say_what_they_do_in_one_sentence(path):
    tree = ast.parse(path.read_text())
    nodes = [tree, *(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef))]
    private_parents = {
        id(child)
        for node in ast.walk(tree)
        if (isinstance(node, ast.ClassDef) and node.name.startswith("_")) or isinstance(node, ast.FunctionDef)
        for child in ast.walk(node)
        if child is not node
    }
    for node in nodes:
        name = getattr(node, "name", MODULES[path])
        if id(node) in private_parents or (name.startswith("_") and node is not tree) or not path.read_text():
            continue
        text = ast.get_docstring(node)
        assert text, f"{MODULES[path]}.{name} has no docstring"
        first = text.split("\n\n")[0].strip()
        assert first[-1] in ".:?", f"{MODULES[path]}.{name}: the first paragraph is no sentence: {first}"
