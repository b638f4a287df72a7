"""The small head over memorized maps."""

from __future__ import annotations

import pytest
import torch

from alcli.models.cells import CellMaps, Cells


def test_finer_and_coarser_maps_come_to_one_grid():
    shapes = [(2, 10, 14), (3, 5, 7), (4, 3, 4)]
    cells = Cells(shapes, 1).eval()
    assert [lateral.kernel_size for lateral in cells.laterals] == [(2, 2), (1, 1), (1, 1)]
    assert cells([torch.randn(2, *shape) for shape in shapes]).shape == (2, 64, 5, 7)


def test_a_map_of_odd_size_keeps_every_position():
    cells = Cells([(1, 5, 5), (1, 3, 3)], 1).eval()
    maps = torch.randn(1, 1, 5, 5), torch.randn(1, 1, 3, 3)
    before = cells(maps)
    for position in range(25):
        changed = maps[0].clone()
        changed.view(-1)[position] += 1
        cell = position // 5 // 2, position % 5 // 2
        assert not torch.equal(cells([changed, maps[1]])[(0, slice(None), *cell)], before[(0, slice(None), *cell)])


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
