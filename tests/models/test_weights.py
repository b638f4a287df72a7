import pickle
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from alcli.errors import DataError, PlatformError
from alcli.models import weights


def test_none_is_no_trunk():
    assert weights.load_trunk(nn.Linear, None, "none") is None


def test_imagenet_is_the_librarys_own_loading():
    asked = []
    assert weights.load_trunk(lambda weights: asked.append(weights) or "trunk", "V1", "imagenet") == "trunk"
    assert asked == ["V1"]


def test_imagenet_without_a_network_says_what_to_do():
    def offline(weights):
        raise URLError("no route")

    with pytest.raises(PlatformError) as error:
        weights.load_trunk(offline, "V1", "imagenet")
    assert "safetensors" in error.value.do


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"weight": torch.zeros(2, 3)}, "bias is missing"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "extra": torch.zeros(1)}, "extra is not known"),
        ({"weight": torch.zeros(3, 3), "bias": torch.zeros(2)}, r"weight has shape \(3, 3\), expected \(2, 3\)"),
    ],
)
def test_every_difference_is_named(tmp_path, state, why):
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=why):
        weights.load_trunk(lambda weights: nn.Linear(3, 2), None, str(tmp_path / "w.safetensors"))


def test_half_precision_is_cast(tmp_path):
    save_file({"weight": torch.full((2, 3), 0.5).half(), "bias": torch.ones(2).half()}, tmp_path / "w")
    layer = weights.load_trunk(lambda weights: nn.Linear(3, 2), None, str(tmp_path / "w"))
    assert layer.weight.dtype == torch.float32
    assert layer.weight.detach().unique().tolist() == [0.5]


class Payload:
    def __reduce__(self):
        return (open, ("/nonexistent/canary", "w"))


def test_a_pickle_is_refused_and_never_run(tmp_path):
    (tmp_path / "w.pt").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(DataError, match="not a safetensors file"):
        weights.read(tmp_path / "w.pt")
    with pytest.raises(DataError, match="There is no weights file"):
        weights.read(tmp_path / "missing")
