"""The units of the networks written out in double precision, for references of larger modules."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from panloom.models.units import ConvUnit, InvertedResidual

Array = NDArray[np.float64]


def unsettle(module: nn.Module) -> None:
    """Take every batch normalization in ``module`` away from its start values."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.uniform_(part.weight, 0.7, 1.3)
            nn.init.normal_(part.bias, 0, 0.2)


def settle(network: nn.Module, *inputs: torch.Tensor) -> nn.Module:
    """Return ``network`` in eval mode, its statistics those of ``inputs``.

    With other statistics a signal fades from layer to layer, and what is deep changes nothing.
    """
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        network.train()(*inputs)
    return network.eval()


def numbers(x: torch.Tensor) -> Array:
    return np.asarray(x.detach().numpy(), dtype=np.float64)


def correlate(x: Array, layer: nn.Conv2d) -> Array:
    """Return what ``layer`` gives for x (I, h, w), tap by tap, zeros around x."""
    weight, step, edge = numbers(layer.weight), layer.stride[0], int(layer.padding[0])
    kernel = weight.shape[-1]
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    height, width = ((n - kernel) // step + 1 for n in padded.shape[1:])
    out = np.zeros((len(weight), height, width))
    for dy, dx in np.ndindex(kernel, kernel):
        tap = padded[:, dy : dy + step * height : step, dx : dx + step * width : step]
        if layer.groups == 1:
            out += np.einsum("oi,ihw->ohw", weight[:, :, dy, dx], tap)
        else:
            out += weight[:, 0, dy, dx][:, None, None] * tap
    return out if layer.bias is None else out + numbers(layer.bias)[:, None, None]


def hard_swish(x: Array) -> Array:
    return np.asarray(x * np.clip(x + 3, 0, 6) / 6)


def conv_unit(x: Array, unit: nn.Module) -> Array:
    """Return convolution, normalization with the running statistics, hard swish."""
    assert isinstance(unit, ConvUnit)
    norm = unit.norm
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    y = correlate(x, unit.conv) - numbers(norm.running_mean)[:, None, None]
    y /= np.sqrt(numbers(norm.running_var) + norm.eps)[:, None, None]
    y = y * numbers(norm.weight)[:, None, None] + numbers(norm.bias)[:, None, None]
    return y if unit.linear else hard_swish(y)


def inverted_residual(x: Array, unit: nn.Module) -> Array:
    """Return expansion, depthwise convolution, projection, plus x without stride or new width."""
    assert isinstance(unit, InvertedResidual)
    assert isinstance(unit.spread.conv, nn.Conv2d)
    y = conv_unit(conv_unit(conv_unit(x, unit.expand), unit.spread), unit.project)
    return x + y if unit.spread.conv.stride[0] == 1 and len(x) == len(y) else y


def repeat(x: Array, factor: int, size: tuple[int, int]) -> Array:
    """Return x (C, h, w) with every pixel ``factor`` times both ways, cropped to ``size``."""
    return x.repeat(factor, 1).repeat(factor, 2)[:, : size[0], : size[1]]
