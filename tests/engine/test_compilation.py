"""Networks that OpenVINO computes: equal to torch's, kept on disk, bounded, silent."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from alcli import plugins
from alcli.config import ModelOptions, ScoreOptions
from alcli.engine import compilation, inference
from alcli.engine.comparison import comparable_signals, compare_signals
from alcli.engine.compilation import NotCompiled, Plan, compile_network
from alcli.engine.training import feature_channels, seed_everything
from alcli.items import Item
from alcli.models.loss_head import LossHead
from alcli.tasks import Example
from tests.support.scenes import scene

pytest.importorskip("openvino")

NETWORKS = {"detection": "ssd-tiny", "classification": "mobilenet-v2", "pose": "mobilenet-v2",
            "segmentation": "mobilenet-v2"}  # fmt: skip
OPTIONS = ScoreOptions(batch_size=4, workers=0, precision="float32")
COUNT = 11


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number in range(COUNT):
        scene(number)[0].save(folder / f"{number}.png")
    return [Example(Item(path.name, path.name, "u"), path) for path in sorted(folder.iterdir())]


def build(name: str):
    seed_everything(0)
    kind = plugins.load("tasks", name)
    task = kind(kind.Options(), ModelOptions(name=NETWORKS[name], input_size=64), ("blue", "green", "red"))
    model = task.build_model().eval()
    # The last layers start near zero; a trained network's are not.
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "head" in key or "output" in key:
                parameter.mul_(10)
    return task, model, LossHead(feature_channels(task, model))


def compiled(task, model, folder, names=frozenset(), precision="float32"):
    return compile_network(model, Plan.of(model, task.input_shape, OPTIONS.batch_size, precision, names), folder)


def all_signals(task, model, head, images):
    names = task.signal_names - {"output_discrepancy"}
    seed_everything(1)
    parts = [part for part, _ in inference.signals(task, model, head, images, names, OPTIONS)]
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in names}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_signal_and_the_ranking_are_torchs(name, images, tmp_path):
    task, model, head = build(name)
    ours = all_signals(task, compiled(task, model, tmp_path, task.signal_names), head, images)
    for signal, theirs in all_signals(task, model, head, images).items():
        tolerance = 2e-3 if signal == "embedding" else 1e-4  # embeddings are half precision
        assert np.abs(ours[signal] - theirs).max() <= tolerance, signal
        if theirs.ndim == 1 and np.ptp(theirs) > 1e-3:
            assert spearmanr(ours[signal], theirs).statistic > 0.9999, signal


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_are_torchs(name, images, tmp_path):
    task, model, _ = build(name)
    theirs = list(inference.predictions(task, model, images, OPTIONS))
    ours = list(inference.predictions(task, compiled(task, model, tmp_path), images, OPTIONS))
    for one, other in zip(ours, theirs, strict=True):
        assert (one.item_id, one.labels, one.size) == (other.item_id, other.labels, other.size)
        assert np.allclose([box.score for box in one.boxes], [box.score for box in other.boxes], atol=1e-4)
        # Boxes whose scores are equal but for the last digits may swap.
        corners = np.array([[box.x1, box.y1, box.x2, box.y2] for box in other.boxes]).reshape(-1, 4)
        for box in one.boxes[:50]:
            near = np.abs(corners - [box.x1, box.y1, box.x2, box.y2]).max(axis=1) < 1e-2
            assert any(other.boxes[index].label == box.label for index in np.flatnonzero(near))
        assert np.allclose(one.label_scores or (), other.label_scores or (), atol=1e-4)
        joints, expected = ([(j.x, j.y) for pose in part.poses for j in pose.keypoints] for part in (one, other))
        assert np.allclose(joints, expected, atol=1e-2)
        assert [mask.label for mask in one.masks] == [mask.label for mask in other.masks]


def test_a_batch_of_any_size_gives_the_same_rows(tmp_path):
    task, model, _ = build("detection")
    network = compiled(task, model, tmp_path)
    pictures = torch.randn(9, 3, 64, 64)
    together = [part.clone() for part in network.run(pictures)]
    for row in range(9):
        for whole, alone in zip(together, network.run(pictures[row : row + 1]), strict=True):
            assert torch.equal(whole[row], alone[0])


def test_bfloat16_is_only_taken_where_it_is_named(tmp_path):
    task, model, _ = build("classification")
    pictures = torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        expected = model(pictures)
        assert (compiled(task, model, tmp_path)(pictures) - expected).abs().max() < 1e-4


def test_a_conversion_is_kept_and_the_oldest_go(tmp_path, monkeypatch):
    task, model, _ = build("detection")
    compiled(task, model, tmp_path)
    (first,) = tmp_path.iterdir()
    monkeypatch.setattr(compilation, "_convert", None)
    compiled(task, model, tmp_path)
    monkeypatch.undo()
    for value in range(compilation.KEPT):
        with torch.no_grad():
            next(model.parameters()).flatten()[0] = value
        compiled(task, model, tmp_path)
    assert len(list(tmp_path.iterdir())) == compilation.KEPT
    assert not first.exists()


def test_a_damaged_conversion_is_made_again(tmp_path):
    task, model, _ = build("detection")
    compiled(task, model, tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    pictures = torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        ours, theirs = (
            compiled(task, model, tmp_path).run(pictures)[-1],
            model.head(list(model.backbone(pictures).values()))["bbox_regression"],
        )
    assert (ours - theirs).abs().max() < 1e-4


def test_another_packages_network_is_refused(tmp_path):
    with pytest.raises(NotCompiled, match="Linear"):
        compile_network(torch.nn.Linear(2, 2), Plan((8, 8), 4), tmp_path)


def test_a_comparison_names_the_signal_that_parts(images):
    task, model, head = build("classification")
    same = compare_signals(task, (model, model), head, images, OPTIONS)
    assert same == {"images": COUNT, "spearman": 1.0, "signal": min(comparable_signals(task)), "differs": False}
    seed_everything(5)
    other = task.build_model()
    different = compare_signals(task, (model, other), head, images, OPTIONS)
    assert different["differs"]
    assert different["spearman"] < 0.999


def test_the_library_reports_nothing_to_its_maker():
    """Its telemetry would open a connection at the first import."""
    program = (
        "import sys, socket\n"
        "def refuse(*arguments): raise SystemExit('a connection')\n"
        "socket.socket.connect = refuse\n"
        "from alcli.engine import compilation\n"
        "compilation._openvino()\n"
        "assert 'openvino' in sys.modules\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
        "import openvino.tools.ovc as tools\n"
        "assert type(tools.telemetry).__module__.endswith('telemetry_stub')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
