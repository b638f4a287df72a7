import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "torchvision",
    "pandas",
    "superannotate",
    "numpy",
    "timm",
    "sklearn",
    "scipy",
    "pydantic",
    "rich",
    "PIL",
)


@pytest.mark.parametrize("arguments", [[], ["cycle"], ["score"], ["export-csv"], ["quickstart"], ["doctor"]], ids=str)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys; from alcli.cli import run;"
        f"code = run([*{arguments!r}, '--help']);"
        f"sys.exit(', '.join(set({HEAVY!r}) & set(sys.modules)) or code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: alcli")


@pytest.mark.parametrize("command", [["status"], ["pull", "--dry-run"], ["list", "quarantine"]], ids=str)
def test_looking_needs_no_torch(workspace, command):
    arguments = [*command, "-w", str(workspace)]
    code = f"import sys; from alcli.cli import run; run({arguments!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.fixture
def cold(alcli, workspace, photos) -> Path:
    """A workspace after its first cycle, without any annotation."""
    for path in photos.annotations.iterdir():
        path.unlink()
    code, _, err = alcli("cycle", "--allow-cold-start", "--set", "strategy.cold_start=random", "-w", workspace)
    assert code == 0, err
    return workspace


@pytest.mark.parametrize("budget", [2, 3], ids=["done", "new"])
def test_a_list_drawn_by_lot_needs_no_torch(cold, budget):
    arguments = ["score", "--budget", str(budget), "--set", "strategy.cold_start=random", "-w", str(cold)]
    code = (
        f"import sys; from alcli.cli import run; code = run({arguments!r});"
        "sys.exit(', '.join({'torch', 'torchvision', 'scipy', 'sklearn', 'pandas'} & set(sys.modules)) or code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "The first 10 of 12 images, ranked by random, cycle 1" in done.stdout


@pytest.mark.parametrize(
    ("task", "setting"),
    [("classification", "multi_label=true"), ("pose", "subject=dog"), ("segmentation", "ignore_index=0")],
)
def test_reading_a_setting_of_one_task_needs_no_torch(task, setting, tmp_path):
    code = (
        "import sys; from alcli import config; from pathlib import Path;"
        f"config.load(Path({str(tmp_path)!r}), ['task.name={task}', 'task.{setting}']);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(("name", "heavy"), [("__version__", HEAVY), ("rank", ("torch", "superannotate", "rich"))])
def test_importing_alcli_is_light(name, heavy):
    code = f"import sys, alcli; alcli.{name}; sys.exit(', '.join(set({heavy!r}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_workspace_is_read_without_torch(workspace):
    code = (
        f"import sys, alcli; print(len(alcli.open_workspace({str(workspace)!r}).items()), alcli.nothing)"
        " if '--' in sys.argv else alcli.open_workspace; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
