"""The selective scan of Mamba-1: a linear recurrence whose coefficients depend on the input.

Gu and Dao, Mamba: Linear-Time Sequence Modeling with Selective State Spaces (arXiv:2312.00752),
discretized as in their code: exp(ΔA) for the state (zero-order hold), ΔB for the input (Euler).

Three forms give the same numbers: ``selective_scan_ref`` writes the recurrence down,
``_BlockedScan`` runs it over so few sequences at a time that their states stay in the processor's
cache, and on CUDA the kernel of mamba-ssm is used where it can be loaded.
"""

from __future__ import annotations

import functools
import importlib
import math
import os
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Backend = Literal["auto", "torch", "fused"]
BACKEND_VARIABLE = "PANLOOM_SCAN"
"""Environment variable that sets the backend of scans that ask for ``auto``."""

STATES_AT_ONCE = 1 << 17
"""Elements of one block's state: 512 KB in single precision, a few such tensors fit the cache."""

LOG2_E = math.log2(math.e)
"""exp(x) = 2^(x · log₂ e): PyTorch computes powers of 2 three times as fast on CPUs."""


def selective_scan(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, *, backend: Backend = "auto"
) -> Tensor:
    """Return y (B, L, E) of h_t = exp(Δ_t A) h_{t−1} + Δ_t B_t x_t, y_t = ⟨h_t, C_t⟩, with h_0 = 0.

    ``x`` and the step widths ``delta`` (after softplus, ≥ 0) are (B, L, E), ``a`` (E, n) negative,
    ``b`` and ``c`` (B, L, n). The state is in single precision at least. ``backend`` is ``torch``,
    ``fused`` (mamba-ssm's CUDA kernel) or ``auto``: fused where it can be, unless the environment
    variable PANLOOM_SCAN says otherwise. Raises RuntimeError where ``fused`` cannot be had.
    """
    if torch.compiler.is_compiling():
        return selective_scan_ref(x, delta, a, b, c)  # the one form a compiler can see through
    if choose_backend(backend, x.device) == "fused":
        return _run_fused(x, delta, a, b, c)
    work = torch.promote_types(x.dtype, torch.float32)
    wide = [t.to(work) for t in (x, delta, a, b, c)]
    with torch.autocast(x.device.type, enabled=False):
        y: Tensor = _BlockedScan.apply(*wide)  # type: ignore[no-untyped-call]
    return y.to(x.dtype)


def selective_scan_ref(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Return what ``selective_scan`` returns: all coefficients at once, then step by step.

    It needs memory for L · n numbers per channel and sequence; it is here to compare with.
    """
    decay = torch.exp(delta.unsqueeze(-1) * a)  # (B, L, E, n)
    drive = (delta * x).unsqueeze(-1) * b.unsqueeze(2)  # (B, L, E, n)
    state = torch.zeros_like(decay[:, 0])
    ys = []
    for t in range(x.shape[1]):
        state = decay[:, t] * state + drive[:, t]
        ys.append((state * c[:, t].unsqueeze(1)).sum(dim=-1))
    return torch.stack(ys, dim=1)


def choose_backend(backend: Backend, device: torch.device) -> Literal["torch", "fused"]:
    """Return what a scan on ``device`` runs on.

    Raises RuntimeError for ``fused`` without its kernel, ValueError for an unknown backend.
    """
    wanted = os.environ.get(BACKEND_VARIABLE, "auto") if backend == "auto" else backend
    if wanted not in ("auto", "torch", "fused"):
        raise ValueError(f"unknown scan backend {wanted!r}; known: auto, torch, fused")
    if wanted == "torch" or (wanted == "auto" and device.type != "cuda"):
        return "torch"
    if device.type == "cuda" and fused_scan() is not None:
        return "fused"
    if wanted == "fused":
        raise RuntimeError(
            f"the fused scan was asked for on {device.type}; it needs a CUDA device and mamba-ssm "
            "with its selective_scan_cuda extension (pip install '.[mamba]'). Use the backend "
            "'torch' instead"
        )
    return "torch"


@functools.cache
def fused_scan() -> Callable[..., Any] | None:
    """Return mamba-ssm's ``selective_scan_fn``, or None where it cannot be loaded.

    Looked for at first use, never at import. Any exception counts as absent: a kernel built for
    another torch fails with undefined symbols, and without its extension some releases import well
    and fail when called, so the extension itself is loaded first.
    """
    try:
        importlib.import_module("selective_scan_cuda")
        interface = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
        function: Callable[..., Any] = interface.selective_scan_fn
    except Exception:
        return None
    return function


def _run_fused(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Call the kernel, which wants (B, E, L), (E, n) and (B, n, L), all contiguous."""
    function = fused_scan()
    assert function is not None
    u, step, b, c = (t.to(x.dtype).transpose(1, 2).contiguous() for t in (x, delta, b, c))
    y: Tensor = function(u, step, a.float().contiguous(), b, c)
    return y.transpose(1, 2)


class _BlockedScan(torch.autograd.Function):
    """The recurrence over a few sequences at a time, states (sequences, n, E) in the cache.

    Nothing but the inputs is kept for the gradient: the states of a block are computed again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        ctx.save_for_backward(x, delta, a, b, c)
        y = torch.empty_like(x)
        rates = (a.t() * LOG2_E).contiguous()  # (n, E)
        for block in _blocks(x, a.shape[1]):
            _scan_block(x[block], delta[block], rates, b[block], c[block], y[block])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        x, delta, a, b, c = ctx.saved_tensors
        rates = (a.t() * LOG2_E).contiguous()
        grads = tuple(torch.empty_like(t) for t in (x, delta, b, c))
        grad_a = torch.zeros_like(rates)
        for block in _blocks(x, a.shape[1] * x.shape[1]):
            inputs = (x[block], delta[block], rates, b[block], c[block])
            grad_a += _scan_block_back(inputs, grad_y[block], tuple(grad[block] for grad in grads))
        grad_x, grad_delta, grad_b, grad_c = grads
        return grad_x, grad_delta, grad_a.t(), grad_b, grad_c


def _blocks(x: Tensor, states: int) -> list[slice]:
    """Return the sequences of x (B, L, E) in slices whose E · ``states`` numbers fit the cache."""
    count, _, channels = x.shape
    if x.device.type != "cpu":
        size = max(1, 64 * STATES_AT_ONCE // (channels * states))
    else:
        size = max(1, STATES_AT_ONCE // (channels * states))
    return [slice(n, min(n + size, count)) for n in range(0, count, size)]


def _scan_block(x: Tensor, delta: Tensor, rates: Tensor, b: Tensor, c: Tensor, y: Tensor) -> None:
    """Write y (m, L, E) for x, delta (m, L, E), rates (n, E) and b, c (m, L, n)."""
    drive = delta * x  # (m, L, E)
    state = b[:, 0].unsqueeze(2) * drive[:, 0].unsqueeze(1)  # (m, n, E)
    decay = torch.empty_like(state)
    for t in range(x.shape[1]):
        if t:
            torch.mul(delta[:, t].unsqueeze(1), rates, out=decay).exp2_()
            state.mul_(decay)
            state.addcmul_(b[:, t].unsqueeze(2), drive[:, t].unsqueeze(1))
        torch.bmm(c[:, t].unsqueeze(1), state, out=y[:, t].unsqueeze(1))


def _scan_block_back(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    grad_y: Tensor,
    grads: tuple[Tensor, ...],
) -> Tensor:
    """Write the gradients of x, delta, b, c of one block; return that of Aᵀ (n, E)."""
    x, delta, rates, b, c = inputs
    grad_x, grad_delta, grad_b, grad_c = grads
    drive = delta * x
    decays = torch.exp2(delta.unsqueeze(2) * rates)  # (m, L, n, E)
    states = torch.empty_like(decays)
    state = torch.zeros_like(decays[:, 0])
    for t in range(x.shape[1]):
        state = decays[:, t] * state + b[:, t].unsqueeze(2) * drive[:, t].unsqueeze(1)
        states[:, t] = state
    grad_a = torch.zeros_like(rates)
    carried = torch.zeros_like(state)  # what later steps want of this state
    for t in range(x.shape[1] - 1, -1, -1):
        grad_c[:, t] = (states[:, t] @ grad_y[:, t].unsqueeze(2)).squeeze(2)
        carried.addcmul_(c[:, t].unsqueeze(2), grad_y[:, t].unsqueeze(1))
        grad_b[:, t] = (carried @ drive[:, t].unsqueeze(2)).squeeze(2)
        grad_drive = (b[:, t].unsqueeze(1) @ carried).squeeze(1)  # (m, E)
        grad_x[:, t] = grad_drive * delta[:, t]
        grad_delta[:, t] = grad_drive * x[:, t]
        carried.mul_(decays[:, t])
        if t:
            grad_power = carried * states[:, t - 1]  # (m, n, E): gradient of Δ_t A
            grad_delta[:, t] += (grad_power * rates).sum(dim=1) / LOG2_E
            grad_a += (grad_power * delta[:, t].unsqueeze(1)).sum(dim=0)
    return grad_a
