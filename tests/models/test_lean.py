"""A leaner training step computes the same gradients and keeps less for them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet18

from alcli.models.lean import lean


def network(make, still):
    torch.manual_seed(0)
    model = make(weights=None).double().train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.train(not still)
        if isinstance(module, nn.Dropout):
            module.eval()
    return model


def kept_bytes(model, images):
    """What autograd keeps of one forward pass, each memory block once."""
    blocks = {}

    def note(tensor):
        blocks[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = model(images)
    del output
    return sum(blocks.values())


def gradients(model, images):
    output = model(images)
    output.square().sum().backward()
    return output.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("make", [mobilenet_v2, resnet18])
@pytest.mark.parametrize("still", [True, False])
def test_outputs_gradients_and_statistics_are_the_same(make, still):
    plain = network(make, still)
    other = copy.deepcopy(plain)
    images = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    expected, wanted = gradients(plain, images)
    with lean(other):
        output, got = gradients(other, images)
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-9)
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-7, atol=1e-9 * float(gradient.abs().max() + 1))
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(other.get_buffer(name), buffer)


def test_moving_norms_and_relu6_give_the_same_bits():
    plain = network(mobilenet_v2, still=False).float()
    other = copy.deepcopy(plain)
    images = 3 * torch.randn(2, 3, 64, 64)
    expected, wanted = gradients(plain, images)
    with lean(other):
        output, got = gradients(other, images)
    assert torch.equal(output, expected)
    assert all(torch.equal(got[name], gradient) for name, gradient in wanted.items())


@pytest.mark.parametrize(("still", "share"), [(False, 0.75), (True, 0.55)])
def test_less_is_kept_for_the_gradients(still, share):
    model, images = network(mobilenet_v2, still).float(), torch.randn(4, 3, 128, 128)
    before = kept_bytes(model, images)
    with lean(model):
        after = kept_bytes(model, images)
    assert after < share * before
    assert kept_bytes(model, images) == before


def test_nothing_of_it_is_left_behind_even_by_an_error():
    model = network(mobilenet_v2, still=True)
    before = [set(vars(module)) for module in model.modules()]
    with pytest.raises(RuntimeError), lean(model):
        model(torch.zeros(1, 4, 64, 64, dtype=torch.float64))
    assert [set(vars(module)) for module in model.modules()] == before


def test_a_sequence_that_runs_in_its_own_order_is_left_alone():
    class Backwards(nn.Sequential):
        def forward(self, maps):
            for module in reversed(list(self)):
                maps = module(maps)
            return maps

    model = Backwards(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)).eval()
    nn.init.uniform_(model[1].weight, 0.5, 1.5)
    nn.init.normal_(model[1].bias)
    maps = torch.randn(1, 4, 3, 3)
    expected = model(maps)
    with lean(model):
        assert torch.equal(model(maps), expected)
