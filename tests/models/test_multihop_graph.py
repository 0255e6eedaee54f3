"""The multi-hop graph against a dense adjacency matrix, and what keeps it the same in any tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from panloom.models.multihop_graph import MultiHopBranch, MultiHopGraph

from .literal_units import Array, conv_unit, correlate, inverted_residual, numbers, repeat, unsettle


def block_means(x: Array, block: int) -> Array:
    """Return the mean (C, H, W) of each block's existing pixels in x (C, h, w)."""
    channels, height, width = x.shape
    means = np.zeros((channels, -(-height // block), -(-width // block)))
    for row, col in np.ndindex(means.shape[1:]):
        pixels = x[:, row * block : (row + 1) * block, col * block : (col + 1) * block]
        means[:, row, col] = pixels.reshape(channels, -1).mean(axis=1)
    return means


def adjacency(nodes: Array, graph: MultiHopGraph) -> Array:
    """Return D⁻¹ W of all nodes, pair by pair."""
    edges = correlate(nodes, graph.embed)
    depth, height, width = edges.shape
    places = list(np.ndindex(height, width))
    weights = np.zeros((len(places), len(places)))
    for n, (row, col) in enumerate(places):
        for m, (other_row, other_col) in enumerate(places):
            if max(abs(row - other_row), abs(col - other_col)) <= graph.radius:
                apart = edges[:, row, col] - edges[:, other_row, other_col]
                weights[n, m] = np.exp(-(apart @ apart) / np.sqrt(depth))
    degrees = np.diag(weights.sum(axis=1))
    return np.asarray(np.linalg.inv(degrees) @ weights)


def multi_hop(nodes: Array, graph: MultiHopGraph) -> Array:
    """Return g (width, H, W) of nodes (C, H, W)."""
    a = adjacency(nodes, graph)
    size = nodes.shape[1:]
    flat = nodes.reshape(len(nodes), -1).T  # (nodes, C)
    hops, scores = [], []
    for k, transform in enumerate(graph.transforms, start=1):
        walked = (np.linalg.matrix_power(a, k) @ flat).T.reshape(-1, *size)
        hops.append(conv_unit(walked, transform))
        scores.append(correlate(np.maximum(correlate(hops[-1], graph.look), 0), graph.rank)[0])
    power = np.exp(np.stack(scores))
    shares = power / power.sum(axis=0)
    return np.asarray((shares[:, None] * np.stack(hops)).sum(axis=0))


def multi_hop_branch(x: Array, branch: MultiHopBranch) -> Array:
    """Return the branch's y (C, h, w) of x (C, h, w)."""
    found = multi_hop(block_means(x, branch.block_px), branch.graph)
    context = repeat(found, branch.block_px, x.shape[1:])
    mixed = conv_unit(np.concatenate([x, context]), branch.mix)
    return inverted_residual(mixed, branch.refine)


def graph_of(channels: int = 12, **options: int) -> MultiHopGraph:
    torch.manual_seed(0)
    graph = MultiHopGraph(channels, 16, **options)
    unsettle(graph)
    return graph.double().eval()


def branch_of(channels: int = 16, **options: int) -> MultiHopBranch:
    torch.manual_seed(0)
    branch = MultiHopBranch(channels, node_width=16, **options)
    unsettle(branch)
    return branch.eval()


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 6), (1, 1)])
@pytest.mark.parametrize(("radius", "hops"), [(1, 3), (2, 2), (7, 1), (7, 3)])
def test_it_is_the_formula_with_a_dense_matrix(
    size: tuple[int, int], radius: int, hops: int
) -> None:
    graph = graph_of(radius=radius, hops=hops)
    nodes = random(2, 12, *size)
    found = graph(nodes)
    for one, out in zip(nodes, found, strict=True):
        np.testing.assert_allclose(numbers(out), multi_hop(numbers(one), graph), atol=1e-12)


@pytest.mark.parametrize("size", [(16, 16), (9, 14), (3, 2)])
@pytest.mark.parametrize("block_px", [2, 4])
def test_the_branch_is_the_formula_from_pixels_to_pixels(
    size: tuple[int, int], block_px: int
) -> None:
    branch = branch_of(block_px=block_px, radius=1, hops=3).double()
    x = random(2, 16, *size)
    for one, out in zip(x, branch(x), strict=True):
        expected = multi_hop_branch(numbers(one), branch)
        np.testing.assert_allclose(numbers(out), expected, atol=1e-12)


def test_rows_of_the_matrix_sum_to_one_and_skip_what_is_not_there() -> None:
    graph = graph_of(radius=1)
    steps = graph.weigh_edges(random(1, 12, 3, 4))[0]  # (H, W, 9)
    torch.testing.assert_close(steps.sum(dim=-1), torch.ones(3, 4, dtype=torch.float64))
    corner = steps[0, 0].reshape(3, 3)
    assert not corner[0].any()
    assert not corner[:, 0].any()
    assert (corner[1:, 1:] > 0).all()


def test_alike_neighbors_weigh_more() -> None:
    graph = graph_of(radius=1)
    x = torch.zeros(1, 12, 1, 3, dtype=torch.float64)
    x[..., 2] = 3
    left, own, right = graph.weigh_edges(x)[0, 0, 1].reshape(3, 3)[1]
    assert left == own
    assert right < 0.5 * left


def test_a_hop_reaches_one_radius_more() -> None:
    for hops in (1, 2, 3):
        graph = graph_of(radius=1, hops=hops)
        nodes = random(1, 12, 9, 9).requires_grad_()
        (seen,) = torch.autograd.grad(graph(nodes)[..., 4, 4].sum(), nodes)
        rows, cols = torch.nonzero(seen.abs().sum((0, 1)), as_tuple=True)
        assert int((rows - 4).abs().max()) == int((cols - 4).abs().max()) == hops


def test_every_hop_gets_attention_of_its_own() -> None:
    graph = graph_of(radius=1, hops=3)
    nodes = random(1, 12, 6, 6)
    before = graph(nodes)
    for transform in graph.transforms:
        (weight,) = (p for n, p in transform.named_parameters() if n == "conv.weight")
        kept = weight.data.clone()
        weight.data.mul_(1.5)
        assert (graph(nodes) - before).abs().max() > 1e-3
        weight.data.copy_(kept)
    torch.testing.assert_close(graph(nodes), before, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("block_px", "radius", "hops"), [(4, 1, 3), (2, 1, 2), (2, 2, 2), (3, 1, 2)]
)
def test_nothing_beyond_the_reach_matters(block_px: int, radius: int, hops: int) -> None:
    branch = branch_of(block_px=block_px, radius=radius, hops=hops).double()
    reach, middle = branch.reach_px, 2 * branch.reach_px // block_px * block_px
    x = random(1, 16, 2 * middle, 2 * middle).requires_grad_()
    y = branch(x)
    farthest = 0
    for row, col in ((middle, middle), (middle + block_px - 1, middle), (middle + 1, middle - 1)):
        (seen,) = torch.autograd.grad(y[..., row, col].sum(), x, retain_graph=True)
        rows, cols = torch.nonzero(seen.abs().sum((0, 1)), as_tuple=True)
        farthest = max(farthest, int((rows - row).abs().max()), int((cols - col).abs().max()))
    assert reach - 1 <= farthest <= reach


@pytest.mark.parametrize(("threads", "block_px", "radius"), [(1, 4, 1), (2, 4, 1), (1, 2, 2)])
def test_a_pixel_has_the_same_bits_in_every_patch(threads: int, block_px: int, radius: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        _compare_patches(branch_of(block_px=block_px, radius=radius))
    finally:
        torch.set_num_threads(before)


def _compare_patches(branch: MultiHopBranch) -> None:
    reach = branch.reach_px
    x = random(1, 16, 96, 104).float().contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        whole = branch(x)
        for top, left, height, width, batch in (
            (0, 0, 96, 96, 1),
            (8, 16, 2 * reach + 1, 2 * reach + 3, 2),
            (4, 20, 61, 75, 3),
            (36, 0, 2 * reach + 17, 104, 1),
            (12, 52, 47, 2 * reach + 2, 5),
        ):
            patch = (..., slice(top, top + height), slice(left, left + width))
            part = branch(x[patch].repeat(batch, 1, 1, 1))
            inner = (..., slice(reach, height - reach), slice(reach, width - reach))
            assert part[inner].numel() > 0
            assert all(torch.equal(one, whole[patch][inner][0]) for one in part[inner])


def test_every_parameter_gets_a_gradient() -> None:
    branch = branch_of().train()
    branch(torch.randn(2, 16, 24, 24)).square().sum().backward()
    silent = [n for n, p in branch.named_parameters() if p.grad is None or p.grad.norm() < 1e-6]
    assert silent == []


def test_low_precision_stays_finite() -> None:
    branch = branch_of()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.isfinite(branch(50 * torch.randn(1, 16, 20, 20))).all()


@pytest.mark.parametrize(("block_px", "hops"), [(0, 2), (4, 1)])
def test_a_graph_of_nothing_is_refused(block_px: int, hops: int) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        branch_of(block_px=block_px, hops=hops)
    assert str(caught.value) == (
        f"no graph of blocks of {block_px} px, radius 1 and {hops} hops; it needs blocks and a "
        "radius of at least 1 and, to choose between, at least 2 hops"
    )
