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
TORCH = ("torch", "torchvision", "timm", "safetensors.torch")
TORCH_AT_THE_TOP = (
    *("engine", "models", "tasks", "artifacts.trained", "artifacts.frozen_features"),
    *("learners.builtin", "learners._given", "simulation.features", "simulation.linear_head"),
    *("simulation.dense_maps", "simulation.dense_head"),
)
"""Whoever imports one of these has decided to pay for torch."""

GROUND = {"system", "errors", "items", "annotations", "signals", "config", "plugins"}
"""What every room may import, as far as it lies below."""
ABOVE_NOTHING = {
    "system": {"errors"},
    "errors": set(),
    "plugins": {"errors", "system"},
    "config": {"errors", "plugins", "system"},
    "items": {"errors", "system"},
    "annotations": {"errors", "items", "system"},
    "signals": {"errors"},
    "vectors": set(),
    "images": {"errors", "items", "system"},
}
ROOMS = {
    **ABOVE_NOTHING,
    "priorities": GROUND,
    "workspace": GROUND,
    "formats": GROUND,
    "platforms": GROUND | {"formats", "images", "priorities"},
    "strategies": (GROUND | {"vectors"}) - {"config", "system"},
    "selection": GROUND | {"strategies", "vectors"},
    "models": GROUND,
    "predictions": GROUND | {"formats"},
    "tasks": GROUND | {"models", "images", "predictions"},
    "engine": GROUND | {"tasks", "models", "images"},
    "curves": GROUND | {"workspace"},
    "context": GROUND | {"platforms", "workspace"},
    "artifacts": GROUND
    | {"context", "engine", "models", "predictions", "tasks", "images", "selection", "strategies", "workspace"},
}
ROOMS["learners"] = ROOMS["artifacts"] | {"artifacts", "predictions"}
ROOMS["engines"] = ROOMS["artifacts"] | {"artifacts"}
ROOMS["review"] = ROOMS["artifacts"] | {"artifacts", "vectors"}
ROOMS["report"] = ROOMS["review"] | {"review", "curves"}
ROOMS["cycle"] = ROOMS["review"] | {
    "learners",
    "review",
    "report",
    "curves",
    "vectors",
    "platforms",
    "formats",
    "priorities",
}
ROOMS["simulation"] = ROOMS["cycle"] | {"cycle"}
ROOMS["cli"] = set(ROOMS) | {"cli"}
"""Room → the rooms that it may import. One way: there are no circles."""

SPOKEN = {"system.redaction", "system.text"}
FORBIDDEN_NAMES = {"utils", "helpers", "helper", "manager", "common", "heuristic", "sampler", "round"}
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_BODY = 400, 60, 50

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: MODULES[path])


def imports(tree: ast.AST, top_only: bool) -> set[str]:
    """Dotted names of all that is imported, ``a.b`` for ``from a import b`` as well as ``a``."""
    nodes = tree.body if top_only else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def inner(path: Path) -> str:
    return MODULES[path].removeprefix("alcli").removeprefix(".")


def room(name: str) -> str:
    """``engine`` of ``alcli.engine.loading``."""
    return name.split(".")[1]


@every_file
def test_rooms_import_one_way(path):
    here = inner(path).split(".")[0]
    if here in ("", "__main__"):
        return
    ours = {name for name in imports(ast.parse(path.read_text()), top_only=False) if name.startswith("alcli.")}
    there = {room(name) for name in ours} - {here, "__version__"}
    assert here in ROOMS, f"{here} is not in the plan"
    assert there <= ROOMS[here], f"{MODULES[path]} imports {sorted(there - ROOMS[here])}"


def test_the_plan_names_rooms_that_exist_and_has_no_circle():
    assert set(ROOMS) == {inner(path).split(".")[0] for path in FILES} - {"", "__main__"}
    order: list[str] = []
    while len(order) < len(ROOMS):
        free = [name for name in ROOMS if name not in order and ROOMS[name] - {name} <= set(order)]
        assert free, f"a circle among {sorted(set(ROOMS) - set(order))}"
        order += free


@every_file
def test_private_modules_stay_in_their_room(path):
    for name in imports(ast.parse(path.read_text()), top_only=False):
        parts = name.split(".")
        if parts[0] == "alcli" and any(part.startswith("_") and not part.startswith("__") for part in parts[1:]):
            assert room(name) == inner(path).split(".")[0], f"{MODULES[path]} imports {name}"


@every_file
def test_torch_stays_where_it_belongs(path):
    tree = ast.parse(path.read_text())
    top = {name for name in imports(tree, top_only=True) if within(name, *TORCH)}
    assert within(inner(path), *TORCH_AT_THE_TOP) or not top, f"{MODULES[path]} imports {top} at the top"
    if within(inner(path), "strategies", "vectors", "platforms", "formats", "workspace", "system"):
        assert not {name for name in imports(tree, top_only=False) if within(name, *TORCH)}


@every_file
def test_only_the_command_line_knows_click_and_rich(path):
    if not within(inner(path), "cli", "__main__"):
        assert not {n for n in imports(ast.parse(path.read_text()), top_only=False) if within(n, "click", "rich")}


@every_file
def test_only_the_store_and_the_database_speak_sql(path):
    if inner(path) not in ("workspace.store", "workspace.pool_rows", "workspace.database"):
        assert "sqlite3" not in imports(ast.parse(path.read_text()), top_only=False)


@every_file
def test_files_and_functions_stay_small(path):
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
