"""Nothing in the package turns data into code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent.parent / "alcli").rglob("*.py"))
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
OWN_PIPES = {"engine/loading.py", "system/workers.py"}
"""What travels through a pipe between a process and the children that it forked is pickled; no file is."""
FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "torch.load",
    "torch.jit.load",
    "torch.hub.load",
    "pandas.read_pickle",
    "pd.read_pickle",
    "yaml.unsafe_load",
    "yaml.full_load",
}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_true(call: ast.Call, keyword: str) -> bool:
    return any(
        k.arg == keyword and not (isinstance(k.value, ast.Constant) and not k.value.value) for k in call.keywords
    )


def loads_safely(call: ast.Call, tree: ast.Module) -> bool:
    """Whether ``yaml.load`` is given a loader that is SafeLoader, or made of it."""
    safe = {"yaml.SafeLoader", "SafeLoader"}
    safe |= {n.name for n in tree.body if isinstance(n, ast.ClassDef) and {dotted(base) for base in n.bases} & safe}
    given = [*call.args[1:], *(k.value for k in call.keywords if k.arg == "Loader")]
    return bool(given) and all(dotted(loader) in safe for loader in given)


def complaints(text: str) -> list[str]:
    tree = ast.parse(text)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLING]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLING:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            found += [name] if name in FORBIDDEN else []
            found += [f"{name}(allow_pickle)"] if is_true(node, "allow_pickle") else []
            found += [f"{name}(shell)"] if is_true(node, "shell") else []
            found += [name] if name == "yaml.load" and not loads_safely(node, tree) else []
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_turns_data_into_code(path):
    between_own_processes = ["pickle"] if path.relative_to(FILES[0].parent).as_posix() in OWN_PIPES else []
    assert complaints(path.read_text()) == between_own_processes
    if between_own_processes:
        assert "pickle.load(" not in path.read_text() and "open(" not in path.read_text()


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from joblib import load", "torch.load(p)", "np.load(p, allow_pickle=True)", "eval(x)", "exec(x)",
     "os.system(x)", "subprocess.run(x, shell=True)", "yaml.load(x)", "yaml.load(x, yaml.Loader)",
     "yaml.load(x, Loader=yaml.UnsafeLoader)", "subprocess.run(x, shell=given)"],
)  # fmt: skip
def test_what_would_do_so_is_found(text):
    assert len(complaints(text)) == 1
