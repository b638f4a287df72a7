import pytest
import torch

from alcli.engine import device
from alcli.errors import UsageError


def test_precision_is_what_was_asked_for():
    for wanted, expected in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        with device.precision(wanted):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


def test_a_processor_trains_in_float32_whatever_it_could(monkeypatch):
    monkeypatch.setattr(device, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(device, "has_bfloat16", lambda: True)
    for wanted in ("auto", "float32"):
        with device.training_precision(wanted):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    with pytest.raises(UsageError, match="needs a GPU"):
        device.training_precision("bfloat16")
