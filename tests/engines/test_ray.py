"""Parts of a scoring pass on a Ray cluster: the same list byte for byte, whatever is lost on the way."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from alcli import __version__
from alcli.artifacts.kit import Kit
from alcli.artifacts.scoring_pass import Computed, PlannedPart
from alcli.engines import _node
from alcli.engines import ray as engine
from alcli.errors import PlatformError, UsageError
from alcli.items import Item, Refusal
from alcli.signals import Signals
from tests.support.trained import SCORES

ON_RAY = ("--set", "score.engine=ray")


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes with one core each, on this machine."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # every port on 127.0.0.1
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    nodes = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    nodes.second = nodes.add_node(**node)
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def own_workers():
    """The processes that compute a task, or could, of the nodes that this process has started."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue

    def is_own(pid):
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    return [pid for pid, name in names.items() if name.startswith((b"ray::look", b"ray::IDLE")) and is_own(pid)]


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["nothing", "workers", "node"])
def test_the_list_of_a_plain_run_whatever_is_lost(alcli, trained, cluster, monkeypatch, loss):
    root, expected, _ = trained
    real, events = engine.keep, []

    def keep(part, computed):
        if not events:
            if loss == "workers":
                events.extend(own_workers())
                for pid in events:
                    os.kill(pid, signal.SIGKILL)
                assert events
            elif loss == "node":
                events.append(cluster.second)
                cluster.remove_node(cluster.second, allow_graceful=False)
        return real(part, computed)

    monkeypatch.setattr(engine, "keep", keep)
    code, _, err = alcli("score", "-w", root, *ON_RAY)
    assert code == 0, err
    assert (root / SCORES).read_bytes() == expected
    assert bool(events) == (loss != "nothing")


@pytest.mark.slow
def test_a_node_that_does_not_see_the_images_says_so_once(alcli, trained, cluster):
    root, _, images = trained
    images.rename(images.with_name("away"))
    code, _, err = alcli("score", "-w", root, *ON_RAY)
    assert code == 6
    assert "can read only 0 of 2 images of a part" in err
    assert err.count("Every node must see the images") == 1
    assert "Traceback" not in err


def test_a_kit_gives_the_same_signals_without_the_workspace(alcli, trained, monkeypatch):
    """The engine with a cluster that is this process: what is sent and what comes back, without Ray."""
    root, expected, _ = trained
    names = []

    def answer(ray, context, kit, parts):
        assert isinstance(kit, Kit)
        for part in reversed(parts):
            names.append(part.file.name)
            yield part, ("here", _node.compute("kit", lambda: kit, replace(part, file=Path("/elsewhere"))))

    monkeypatch.setattr(engine, "_answers", answer)
    monkeypatch.setattr(engine, "_cluster", nothing)
    _node.forget()
    code, _, err = alcli("score", "-w", root, *ON_RAY, "--strategy", "entropy")
    assert code == 0, err
    assert len(names) == 10
    entropy = (root / SCORES).read_bytes()
    for file in (root / "cycles/0001/signals").iterdir():
        file.unlink()
    (root / SCORES).unlink()
    assert alcli("score", "-w", root, "--strategy", "entropy")[0] == 0
    assert (root / SCORES).read_bytes() == entropy != expected
    _node.forget()


class nothing:  # noqa: N801
    """A cluster that is not there."""

    def __init__(self, address, processes):
        pass

    def __enter__(self):
        return None

    def __exit__(self, *error):
        pass


class FakeRay:
    """Runs a task at once, as a node would."""

    exceptions = SimpleNamespace(WorkerCrashedError=OSError, NodeDiedError=OSError, ObjectLostError=OSError,
                                 OutOfMemoryError=OSError)  # fmt: skip

    def cluster_resources(self):
        return {"CPU": 1}

    def remote(self, **options):
        return lambda function: function

    def get(self, value):
        if isinstance(value, Exception):
            raise value
        return value


def test_a_node_without_alcli_or_with_another_one(monkeypatch):
    task = engine._make_task(FakeRay())
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    answer = task("9.9", "kit", [None], [None])
    assert answer[1:] == ("lacks", f"alcli {__version__}")
    with pytest.raises(UsageError, match=f"has alcli {__version__}, this machine") as error:
        engine._read(FakeRay(), answer)
    assert "pip install 'alcli[ray]==" in error.value.do
    monkeypatch.setitem(sys.modules, "alcli.engines._node", None)
    monkeypatch.delattr("alcli.engines._node")
    answer = task(__version__, "kit", [None], [None])
    assert answer[1] == "lacks"
    assert answer[2].startswith("no alcli (")


def test_what_a_node_refuses_and_what_is_lost():
    with pytest.raises(UsageError, match="On the node n7: no such task"):
        engine._read(FakeRay(), ("n7", "refused", UsageError("no such task")))
    assert engine._read(FakeRay(), OSError()) is None


def test_most_images_of_a_part_away_is_an_error_and_few_are_not():
    items = [Item(str(number), str(number), "file:///nowhere") for number in range(4)]
    part = PlannedPart(Path("x"), frozenset(), items)
    away = [Refusal(item.id, item.name, "cannot be read", transient=True) for item in items]
    engine._check_images(part, "n7", Computed(Signals([], {}), away[:2], []))
    with pytest.raises(PlatformError, match="The node n7 can read only 1 of 4 images"):
        engine._check_images(part, "n7", Computed(Signals([], {}), away[:2], away[2:3]))


def test_without_ray(alcli, trained, monkeypatch):
    root, _, _ = trained
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = alcli("score", "-w", root, *ON_RAY)
    assert code == 2
    assert "pip install 'alcli[ray]'" in err


def test_a_cluster_that_only_the_workspace_names_is_not_trusted(alcli, trained):
    root, _, _ = trained
    settings = root / "alcli.toml"
    lines = '[score]\nengine = "ray"\nray_address = "ray://example.org:10001"'
    assert "[score]" in settings.read_text()
    settings.write_text(settings.read_text().replace("[score]", lines, 1))
    code, _, err = alcli("score", "-w", root)
    assert code == 4
    assert "ray://example.org:10001" in err
    assert "alcli trust" in err
