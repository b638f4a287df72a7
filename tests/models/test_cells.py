"""The small head over memorized maps."""

from __future__ import annotations

import pytest
import torch

from alcli.models.cells import CellMaps, Cells


def test_finer_and_coarser_maps_come_to_one_grid():
    shapes = [(2, 10, 14), (3, 5, 7), (4, 3, 4)]
    cells = Cells(shapes, 1).eval()
    assert [lateral.in_channels for lateral in cells.laterals] == [8, 3, 4]
    assert cells([torch.randn(2, *shape) for shape in shapes]).shape == (2, 64, 5, 7)


def test_a_map_of_odd_size_keeps_every_position():
    cells = Cells([(1, 5, 5), (1, 3, 3)], 1)
    assert cells.laterals[0].in_channels == 4
    with torch.no_grad():
        for lateral in cells.laterals:
            lateral.weight.zero_()
            lateral.bias.zero_()
        cells.laterals[0].weight[0] = 1
    total = cells.laterals[0](torch.nn.functional.pixel_unshuffle(torch.ones(1, 1, 6, 6), 2))
    assert total[0, 0].tolist() == [[4.0] * 3] * 3
    corner = torch.zeros(1, 1, 5, 5)
    corner[0, 0, 4, 4] = 1
    before = cells([torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 3, 3)])
    assert not torch.equal(cells([corner, torch.zeros(1, 1, 3, 3)]), before)


def test_outputs_are_those_of_the_memorized_maps_whatever_the_pixels():
    head = CellMaps([(3, 4, 4)], 0, 2).eval()
    head.trunk.maps = [torch.randn(1, 3, 4, 4)]
    assert torch.equal(head(torch.zeros(1, 3, 16, 16)), head(torch.ones(1, 3, 16, 16)))
    assert head(torch.zeros(1, 3, 16, 16)).shape == (1, 2, 4, 4)


@pytest.mark.parametrize("training", [True, False])
def test_the_last_layer_alone_gives_the_same_outputs(training):
    head = CellMaps([(3, 4, 4)], 0, 2).train(training)
    head.trunk.maps = [torch.randn(2, 3, 4, 4)]
    deep = head.maps(torch.zeros(2, 3, 16, 16))[1]
    assert torch.equal(head.predict(deep), head.output(deep[0]))
