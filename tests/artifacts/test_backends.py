"""Which backend scores, when it is refused, and that no list mixes two."""

from __future__ import annotations

import json

import pytest
import torch

from alcli.artifacts import backends
from alcli.artifacts.backends import LONG_ENOUGH, choose_backend
from alcli.config import ScoreOptions
from alcli.engine import comparison, compilation, device
from alcli.errors import UsageError
from alcli.workspace import Workspace
from alcli.workspace.records import Scored

FAST = ("--set", "score.backend=openvino", "--set", "score.precision=float32")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(backends, "SAID", set())


def chosen(images: int, **options: str) -> str:
    return choose_backend(ScoreOptions(**options), images).name


def test_auto_converts_only_for_many_images_on_a_processor(monkeypatch):
    monkeypatch.setattr(compilation, "is_installed", lambda: True)
    assert (chosen(LONG_ENOUGH - 1), chosen(LONG_ENOUGH)) == ("torch", "openvino")
    assert chosen(1, backend="openvino") == "openvino"
    assert chosen(LONG_ENOUGH, backend="torch") == "torch"
    monkeypatch.setattr(device, "device", lambda: torch.device("cuda"))
    assert chosen(LONG_ENOUGH) == chosen(1, backend="openvino") == "torch"


def test_without_the_package_torch_computes_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(compilation, "is_installed", lambda: False)
    assert "alcli[fast]" in choose_backend(ScoreOptions(), LONG_ENOUGH).reason
    assert chosen(LONG_ENOUGH) == "torch"
    with pytest.raises(UsageError) as error:
        choose_backend(ScoreOptions(backend="openvino"), 1)
    assert "alcli[fast]" in error.value.do


def test_a_cycle_that_wants_a_missing_package_ends_before_the_training(alcli, workspace, monkeypatch):
    monkeypatch.setattr(compilation, "is_installed", lambda: False)
    code, _, err = alcli("cycle", "-w", workspace, *FAST)
    assert code == 2
    assert "pip install 'alcli[fast]'" in err
    assert not list(workspace.glob("cycles/*/model.safetensors"))
    code, out, _ = alcli("doctor", "-w", workspace, *FAST, "--json")
    (check,) = [row for row in json.loads(out)["checks"] if row["check"] == "scoring"]
    assert (code, check["level"]) == (2, "fault")


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ((), "in this process, 1 thread"),
        (("score.engine=shards",), "in 2 processes of this machine, 1 thread each"),
        (("score.engine=shards", "score.processes=1"), "in 1 process of this machine, 1 thread each"),
        (("score.engine=ray",), "by Ray on this machine or RAY_ADDRESS"),
        (("score.engine=ray", "score.ray_address=ray://10.0.0.1:1"), "by Ray on the cluster at ray://10.0.0.1:1"),
    ],
)
def test_the_doctor_says_who_computes_and_why(alcli, workspace, monkeypatch, settings, where):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    flags = [part for setting in ("score.precision=float32", *settings) for part in ("--set", setting)]
    _, out, _ = alcli("doctor", "-w", workspace, *flags, "--json")
    (check,) = [row for row in json.loads(out)["checks"] if row["check"] == "scoring"]
    assert check["found"].startswith("torch (")
    assert check["found"].endswith(f"float32, {where}")


def computed_by(workspace) -> str:
    opened = Workspace.open(workspace, read_only=True)
    record = opened.step(1, Scored)
    opened.close()
    return record.summary.computed_by


@pytest.fixture
def openvino():
    return pytest.importorskip("openvino")


@pytest.fixture
def trained(alcli, workspace, openvino):
    """A workspace whose list torch has made, in float32."""
    assert alcli("cycle", "-w", workspace, "--set", "score.precision=float32")[0] == 0
    return workspace


def score(alcli, workspace, *settings: str) -> str:
    code, _, err = alcli("score", "-w", workspace, "-v", *FAST, *settings)
    assert code == 0, err
    return err


def parts(workspace) -> set[str]:
    return {path.name for path in workspace.glob("cycles/0001/signals/*.safetensors")}


def test_another_backend_computes_every_part_again_and_ranks_alike(alcli, trained):
    list_before, parts_before = (trained / "cycles/0001/scores.csv").read_text(), parts(trained)
    assert computed_by(trained) == "torch float32"
    score(alcli, trained)
    assert computed_by(trained) == f"{compilation.release()} float32"
    assert not parts(trained) & parts_before
    names = [[line.split(",")[1] for line in text.splitlines()]
             for text in (list_before, (trained / "cycles/0001/scores.csv").read_text())]  # fmt: skip
    assert names[0] == names[1]
    bytes_before = (trained / "cycles/0001/scores.csv").read_bytes()
    (trained / "cycles/0001/scores.csv").unlink()
    score(alcli, trained)
    assert (trained / "cycles/0001/scores.csv").read_bytes() == bytes_before


def test_a_network_that_cannot_be_converted_is_torchs_and_this_is_said_once(alcli, trained, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(compilation, "_convert", fail)
    said = score(alcli, trained)
    assert said.count("OpenVINO cannot compute ssd-tiny (RuntimeError: no such operator): torch does.") == 1
    assert computed_by(trained) == "torch float32"


def test_a_backend_that_ranks_otherwise_is_refused_with_the_numbers(alcli, trained, monkeypatch):
    answer = {"images": 32, "spearman": 0.97, "signal": "entropy", "differs": True}
    monkeypatch.setattr(comparison, "compare_signals", lambda *arguments: answer)
    said = score(alcli, trained)
    assert "OpenVINO is refused, torch computes" in said
    assert "Spearman 0.9700 of entropy on 32 images" in said
    assert computed_by(trained) == "torch float32"
    # The verdict is kept with the conversion.
    monkeypatch.setattr(comparison, "compare_signals", None)
    monkeypatch.setattr(backends, "SAID", set())
    assert "OpenVINO is refused" in score(alcli, trained, "--strategy", "entropy")


def test_the_nodes_of_a_cluster_compute_by_torch(monkeypatch):
    monkeypatch.setattr("alcli.engine.compilation.is_installed", lambda: True)
    assert chosen(LONG_ENOUGH, engine="ray") == "torch"
    with pytest.raises(UsageError, match=r"score\.engine"):
        chosen(LONG_ENOUGH, engine="ray", backend="openvino")


@pytest.mark.parametrize(("spearman", "precision"), [(0.9995, "bfloat16"), (0.99, "float32")])
def test_auto_takes_bfloat16_only_if_it_ranks_alike(alcli, trained, monkeypatch, spearman, precision):
    def compare(task, models, head, examples, options, advance):
        lowest = 1.0 if len(examples) == backends.COMPARED else spearman
        return {"images": 200, "spearman": lowest, "signal": "entropy", "differs": lowest < comparison.ALIKE}

    monkeypatch.setattr(comparison, "compare_signals", compare)
    monkeypatch.setattr(backends, "COMPARED", 3)
    monkeypatch.setattr(device, "has_bfloat16", lambda: True)
    said = score(alcli, trained, "--set", "score.precision=auto")
    assert f"OpenVINO computes in {precision}: bfloat16 against float32, Spearman {spearman:.4f}" in said
    assert computed_by(trained) == f"{compilation.release()} {precision}"
