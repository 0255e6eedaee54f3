"""Batch normalization folded into the convolutions before it, for faster inference."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from .units import ConvUnit


def fold_batch_norm(network: nn.Module) -> None:
    """Fold, in place, every batch normalization of ``network`` into its convolution.

    The network has to be in evaluation mode, and cannot be trained further; logits stay the same
    but for rounding. Folding a second time changes nothing. Raises ValueError in training mode.
    """
    for unit in network.modules():
        if isinstance(unit, ConvUnit) and isinstance(unit.norm, nn.BatchNorm2d):
            _fold(unit, unit.norm)


def _fold(unit: ConvUnit, norm: nn.BatchNorm2d) -> None:
    if unit.training:
        raise ValueError("a network in training mode cannot be folded; call eval() first")
    assert norm.running_mean is not None
    assert norm.running_var is not None
    unit.conv.weight, unit.conv.bias = fuse_conv_bn_weights(
        unit.conv.weight,
        unit.conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    unit.norm = nn.Identity()
