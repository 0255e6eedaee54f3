"""The pyramid against its formula written out, and what keeps it the same in any tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from panloom.models.multiscale_pyramid import MultiKernelUnit, MultiScalePyramid

from .literal_units import Array, conv_unit, inverted_residual, numbers, repeat, unsettle


def multi_kernel(x: Array, unit: nn.Module) -> Array:
    """Return x + P[S_k(E x) for every k]."""
    assert isinstance(unit, MultiKernelUnit)
    inner = conv_unit(x, unit.expand)
    scales = [conv_unit(inner, spread) for spread in unit.spreads]
    return x + conv_unit(np.concatenate(scales), unit.project)


def pyramid(x: Array, module: MultiScalePyramid) -> Array:
    """Return y_0 (C, h, w) of x (C, h, w): down to the coarsest grid, then up again."""
    grids = [x]
    for down in module.downs:
        grids.append(inverted_residual(grids[-1], down))
    y = multi_kernel(grids[-1], module.looks[-1])
    for level in reversed(range(len(module.downs))):
        wide = repeat(y, 2, grids[level].shape[1:])
        joined = conv_unit(np.concatenate([grids[level], wide]), module.joins[level])
        y = multi_kernel(joined, module.looks[level])
    return y


def pyramid_of(grids: int = 3, **options: tuple[int, ...]) -> MultiScalePyramid:
    torch.manual_seed(0)
    module = MultiScalePyramid(16, deep_width=32, grids=grids, **options)  # type: ignore[arg-type]
    unsettle(module)
    return module.eval()


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("grids", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (9, 13), (1, 1)])
def test_it_is_the_formula(grids: int, size: tuple[int, int]) -> None:
    module = pyramid_of(grids).double()
    x = random(2, 16, *size).double()
    for one, out in zip(x, module(x), strict=True):
        np.testing.assert_allclose(numbers(out), pyramid(numbers(one), module), atol=1e-12)


@pytest.mark.parametrize("grids", [1, 2, 3])
@pytest.mark.parametrize("kernels", [(3, 5, 7), (3,)])
def test_nothing_beyond_the_reach_matters(grids: int, kernels: tuple[int, ...]) -> None:
    module = pyramid_of(grids, kernels=kernels).double()
    reach, step = module.reach_px, module.lattice_px
    middle = -(-(reach + 2) // step) * step
    x = random(1, 16, 2 * middle + step, 2 * middle + step).double().requires_grad_()
    y = module(x)
    farthest = 0
    for row, col in ((middle, middle + step - 1), (middle + step // 2, middle)):
        (seen,) = torch.autograd.grad(y[..., row, col].sum(), x, retain_graph=True)
        rows, cols = torch.nonzero(seen.abs().sum((0, 1)), as_tuple=True)
        farthest = max(farthest, int((rows - row).abs().max()), int((cols - col).abs().max()))
    assert reach - grids < farthest <= reach


@pytest.mark.parametrize("threads", [1, 2])
def test_a_pixel_has_the_same_bits_in_every_patch(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        _compare_patches(pyramid_of())
    finally:
        torch.set_num_threads(before)


def _compare_patches(module: MultiScalePyramid) -> None:
    reach = module.reach_px
    x = random(1, 16, 120, 104).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        whole = module(x)
        for top, left, height, width, batch in (
            (0, 0, 96, 96, 1),
            (8, 16, 2 * reach + 1, 2 * reach + 3, 2),
            (4, 20, 2 * reach + 10, 75, 3),
            (36, 0, 2 * reach + 17, 104, 1),
        ):
            patch = (..., slice(top, top + height), slice(left, left + width))
            part = module(x[patch].repeat(batch, 1, 1, 1))
            inner = (..., slice(reach, height - reach), slice(reach, width - reach))
            assert part[inner].numel() > 0
            assert all(torch.equal(one, whole[patch][inner][0]) for one in part[inner])


def test_every_parameter_gets_a_gradient() -> None:
    module = pyramid_of().train()
    module(random(2, 16, 24, 24)).square().sum().backward()
    silent = [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_a_pyramid_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no pyramid of 0 grids; it has at least 1"):
        pyramid_of(0)
