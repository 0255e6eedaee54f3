"""The precision that torch computes a network in."""

from __future__ import annotations

import torch

from ..device import Device

PRECISIONS = ("fp32", "bf16", "fp16")
_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_FIRST_CAPABILITY = (7, 0)
"""CUDA devices from here on multiply half precision faster than single."""


def half_precision(name: str, device: Device) -> torch.dtype | None:
    """Return the half precision called ``name``, None for single precision.

    ``auto`` is float16 on a CUDA device made for it, single elsewhere. Not bfloat16: it has three
    bits less, and changes ten times as many classes; network input is small, nothing overflows.
    """
    if name != "auto":
        return _HALVES.get(name)
    if device.torch.type != "cuda":
        return None
    return torch.float16 if _capability(device.torch) >= _FIRST_CAPABILITY else None


def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)
