import pytest
import torch
from torch import nn

from alcli.errors import DataError
from alcli.models import storage
from alcli.models.loss_head import LossHead
from tests.support.hashes import hashes

MANIFEST = storage.Manifest("detection", "ssd-tiny", ("a", "b"), (64, 64), (3, 4))


def test_a_model_comes_back_with_its_manifest_and_the_same_bytes(tmp_path):
    model, head = nn.Conv2d(1, 2, 3), LossHead([3, 4])
    storage.save(tmp_path / "a", model, head, MANIFEST)
    (tmp_path / "again").mkdir()
    storage.save(tmp_path / "again/a", model, head, MANIFEST)
    assert hashes([tmp_path / "a"]) == hashes([tmp_path / "again/a"])
    state, head_state, manifest = storage.read(tmp_path / "a")
    assert manifest == MANIFEST
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    assert set(head_state) == set(head.state_dict())


def test_differences_are_sentences():
    other = storage.Manifest("detection", "ssd300-vgg16", ("a",), (64, 64), (3, 4))
    assert storage.differences(MANIFEST, other, ("model", "channels")) == [
        "model is 'ssd-tiny', expected 'ssd300-vgg16'"
    ]


def test_foreign_and_broken_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "foreign")
    (tmp_path / "broken").write_bytes(b"\x80\x04nonsense")
    with pytest.raises(DataError, match="not written by alcli"):
        storage.read(tmp_path / "foreign")
    with pytest.raises(DataError, match="not a model file"):
        storage.read(tmp_path / "broken")
