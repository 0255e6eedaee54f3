"""A Mamba-1 block of our own, whose parameters are those of mamba-ssm by name and shape.

Gu and Dao, Mamba: Linear-Time Sequence Modeling with Selective State Spaces (arXiv:2312.00752).
One checkpoint runs everywhere: what differs between devices is the scan alone.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu, softplus

from .selective_scan import Backend, selective_scan

DT_RANGE = (1e-3, 0.1)
"""Step widths at the start, log-uniform in between."""

DT_FLOOR = 1e-4
"""The smallest step width at the start."""


class Mamba(nn.Module):
    """Selective state space block from tokens (B, L, d_model) to (B, L, out_features).

    [x, z] = in_proj(u); x = SiLU(causal depthwise convolution of x); (dt, B, C) = x_proj(x);
    Δ = softplus(dt_proj(dt)); A = −exp(A_log); y = scan(x, Δ, A, B, C) + D·x;
    out = out_proj(y · SiLU(z)). Output t depends on tokens 0…t only.

    ``out_features`` (default ``d_model``) sets the width of the result; ``backend`` is that of
    ``selective_scan``. A_log, D and the step widths are initialized by rule: they are marked
    ``_no_reinit`` and, for ``parameter_groups``, ``_no_weight_decay``.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        out_features: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        inner = expand * d_model
        self.dt_rank = math.ceil(d_model / 16)
        self.d_state, self.backend = d_state, backend
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, inner)
        self.A_log = nn.Parameter(torch.empty(inner, d_state))
        self.D = nn.Parameter(torch.empty(inner))
        self.out_proj = nn.Linear(inner, out_features or d_model, bias=False)
        self.reset_state_parameters()
        for parameter in (self.A_log, self.D, self.dt_proj.weight, self.dt_proj.bias):
            parameter._no_reinit = True  # type: ignore[attr-defined]
        for parameter in self.undecayed():
            parameter._no_weight_decay = True  # type: ignore[attr-defined]

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (B, L, out_features) for tokens (B, L, d_model); raises ValueError for L = 0."""
        if tokens.shape[1] == 0:
            raise ValueError("Mamba got sequences of no token; it needs at least one")
        x, z = self.in_proj(tokens).chunk(2, dim=-1)  # (B, L, E) each
        x = silu(self._convolve(x))
        dt, b, c = self.x_proj(x).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        delta = softplus(self.dt_proj(dt))  # (B, L, E)
        y = selective_scan(x, delta, -torch.exp(self.A_log), b, c, backend=self.backend)
        out: Tensor = self.out_proj((y + self.D * x) * silu(z))
        return out

    def undecayed(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters that weight decay would pull away from their meaning."""
        return self.A_log, self.D, self.dt_proj.bias

    @torch.no_grad()
    def reset_state_parameters(self) -> None:
        """Set A_log = log(1…n), D = 1 and step widths Δ as in mamba-ssm.

        Call it after any initialization of the whole network that does not heed ``_no_reinit``.
        """
        states = torch.arange(1, self.d_state + 1, dtype=torch.float32)
        self.A_log.copy_(states.log().expand_as(self.A_log))
        self.D.fill_(1)
        bound = self.dt_rank**-0.5
        self.dt_proj.weight.uniform_(-bound, bound)
        low, high = (math.log(limit) for limit in DT_RANGE)
        dt = torch.exp(torch.empty_like(self.D).uniform_(low, high)).clamp(min=DT_FLOOR)
        # softplus⁻¹(dt) = dt + log(1 − e^(−dt))
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def _convolve(self, x: Tensor) -> Tensor:
        """Return the causal depthwise convolution of x (B, L, E), tap by tap.

        Sequences are short and many: that is faster than a convolution of (B, E, L).
        """
        taps = self.conv1d.weight.squeeze(1)  # (E, d_conv)
        length, reach = x.shape[1], taps.shape[1]
        earlier = pad(x, (0, 0, reach - 1, 0))  # (B, d_conv − 1 + L, E)
        y = earlier[:, :length] * taps[:, 0]
        for tap in range(1, reach):
            y = y + earlier[:, tap : tap + length] * taps[:, tap]
        bias = self.conv1d.bias
        return y if bias is None else y + bias


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trainable parameters for an optimizer: those that decay, then those that must not.

    Exempt are A_log, D and the step bias of every ``Mamba`` in ``module``, and whatever parameter
    is marked ``_no_weight_decay`` (copies of a module lose such marks, so blocks are asked too).
    """
    exempt = {
        id(p) for block in module.modules() if isinstance(block, Mamba) for p in block.undecayed()
    }
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for parameter in module.parameters():
        if not parameter.requires_grad:
            continue
        marked = getattr(parameter, "_no_weight_decay", False)
        (kept if marked or id(parameter) in exempt else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
