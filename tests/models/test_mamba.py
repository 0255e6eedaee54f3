"""Mamba against its equations, written out in double precision, token by token."""

from __future__ import annotations

import copy
import importlib
import importlib.util
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from panloom.models import selective_scan as scans
from panloom.models.mamba import Mamba, parameter_groups
from panloom.models.selective_scan import choose_backend, selective_scan, selective_scan_ref

Array = NDArray[np.float64]

CPU = torch.device("cpu")
CUDA = torch.device("cuda")

GOLDEN = {  # names and shapes of mamba-ssm for d_model 32, d_state 16, d_conv 4, expand 2
    "A_log": (64, 16),
    "D": (64,),
    "in_proj.weight": (128, 32),
    "conv1d.weight": (64, 1, 4),
    "conv1d.bias": (64,),
    "x_proj.weight": (34, 64),
    "dt_proj.weight": (64, 2),
    "dt_proj.bias": (64,),
    "out_proj.weight": (32, 64),
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    probe = scans.fused_scan
    monkeypatch.delenv(scans.BACKEND_VARIABLE, raising=False)
    probe.cache_clear()
    yield
    probe.cache_clear()


def scan_inputs(batch: int, length: int, channels: int, states: int = 4) -> list[Tensor]:
    torch.manual_seed(0)
    x, b, c = (torch.randn(batch, length, n).double() for n in (channels, states, states))
    delta = torch.rand(batch, length, channels).double()
    a = -4 * torch.rand(channels, states).double()
    return [x, delta, a, b, c]


def scan(x: Array, delta: Array, a: Array, b: Array, c: Array) -> Array:
    """Return y (L, E) of h = exp(Δ A) h + Δ B x, y = ⟨h, C⟩, for one sequence, number by number."""
    y = np.zeros_like(x)
    for channel in range(x.shape[1]):
        h = np.zeros(a.shape[1])
        for t in range(len(x)):
            step = delta[t, channel]
            h = np.exp(step * a[channel]) * h + step * b[t] * x[t, channel]
            y[t, channel] = h @ c[t]
    return y


def silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-x)))


def formula(u: Array, block: Mamba) -> Array:
    """Return the Mamba-1 block for one sequence u (L, d_model)."""
    w = {name: p.detach().numpy() for name, p in block.named_parameters()}
    x, z = np.split(u @ w["in_proj.weight"].T, 2, axis=1)
    kernel = w["conv1d.weight"][:, 0]
    late = np.vstack([np.zeros((kernel.shape[1] - 1, x.shape[1])), x])
    rows = [(late[t : t + kernel.shape[1]] * kernel.T).sum(axis=0) for t in range(len(x))]
    x = silu(np.stack(rows) + w["conv1d.bias"])
    rank, states = block.dt_rank, block.d_state
    dt, b, c = np.split(x @ w["x_proj.weight"].T, [rank, rank + states], axis=1)
    delta = np.log1p(np.exp(dt @ w["dt_proj.weight"].T + w["dt_proj.bias"]))
    y = scan(x, delta, -np.exp(w["A_log"]), b, c) + w["D"] * x
    return np.asarray((y * silu(z)) @ w["out_proj.weight"].T)


def block_of(d_model: int = 32, **options: Any) -> Mamba:
    torch.manual_seed(0)
    return Mamba(d_model, **options)


@pytest.mark.parametrize("length", [1, 2, 5, 9])
@pytest.mark.parametrize("options", [{}, {"expand": 1, "out_features": 24, "d_state": 8}])
def test_block_is_the_formula(length: int, options: dict[str, int]) -> None:
    block = block_of(**options).double()
    tokens = torch.randn(3, length, 32).double()
    y = block(tokens).detach().numpy()
    for i in range(3):
        np.testing.assert_allclose(y[i], formula(tokens[i].numpy(), block), atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 1, 5), (7, 5, 6), (2, 33, 3), (1, 6, 4)])
@pytest.mark.parametrize("at_once", [1, 64, 1 << 17])
def test_scan_is_the_recurrence(
    shape: tuple[int, int, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "STATES_AT_ONCE", at_once)
    inputs = scan_inputs(*shape)
    ys = [selective_scan(*inputs).numpy(), selective_scan_ref(*inputs).numpy()]
    x, delta, a, b, c = (t.numpy() for t in inputs)
    for i in range(shape[0]):
        expected = scan(x[i], delta[i], a, b[i], c[i])
        for y in ys:
            np.testing.assert_allclose(y[i], expected, atol=1e-12)


def test_single_precision_agrees_to_a_hundred_thousandth() -> None:
    inputs = [t.float() for t in scan_inputs(300, 5, 64, 16)]
    torch.testing.assert_close(
        selective_scan(*inputs), selective_scan_ref(*inputs), atol=1e-5, rtol=1e-5
    )


def test_half_precision_keeps_a_single_precision_state() -> None:
    inputs = [t.half() for t in scan_inputs(4, 64, 8)]
    expected = selective_scan_ref(*(t.double() for t in inputs))
    y = selective_scan(*inputs)
    assert y.dtype == torch.float16
    torch.testing.assert_close(y.double(), expected, atol=1e-3, rtol=1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(block_of()(torch.randn(2, 5, 32))).all()


@pytest.mark.parametrize("at_once", [8, 1 << 17])
def test_scan_gradients(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "STATES_AT_ONCE", at_once)
    inputs = [t.requires_grad_() for t in scan_inputs(3, 4, 3, 2)]
    assert torch.autograd.gradcheck(selective_scan, inputs)


def test_gradients_reach_every_parameter() -> None:
    block = block_of()
    block(torch.randn(2, 5, 32)).square().sum().backward()
    assert [n for n, p in block.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_token_changes_nothing_before_it() -> None:
    block, tokens = block_of(), torch.randn(2, 7, 32)
    changed = tokens.clone()
    changed[:, 4] += 1
    before, after = block(tokens), block(changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).any(dim=-1).all()


def test_no_token_is_said() -> None:
    with pytest.raises(ValueError, match="Mamba got sequences of no token; it needs at least one"):
        block_of()(torch.zeros(2, 0, 32))


def test_parameters_are_named_and_shaped_as_in_mamba_ssm() -> None:
    state = block_of().state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == GOLDEN


def test_start_values() -> None:
    block = block_of(64)
    expected = torch.arange(1, 17).float().log().expand(128, 16)
    torch.testing.assert_close(block.A_log.detach(), expected)
    assert (block.D == 1).all()
    steps = nn.functional.softplus(block.dt_proj.bias)
    assert steps.min() * (1 + 1e-4) >= 1e-3
    assert steps.max() <= 0.1 * (1 + 1e-4)
    assert steps.log().std() > 1  # log-uniform over two decades: 1.33
    assert block.dt_proj.weight.abs().max() <= 4**-0.5


def test_marks_keep_initialization_and_decay_away() -> None:
    block = block_of()
    kept = {n: p.detach().clone() for n, p in block.named_parameters()}
    for parameter in block.parameters():
        if parameter.dim() > 1 and not getattr(parameter, "_no_reinit", False):
            nn.init.xavier_uniform_(parameter)
    same = {n for n, p in block.named_parameters() if torch.equal(p, kept[n])}
    assert {"A_log", "D", "dt_proj.weight", "dt_proj.bias"} <= same
    assert "in_proj.weight" not in same


def test_decay_spares_the_state_even_of_a_copy() -> None:
    network = nn.Sequential(nn.Linear(32, 32), block_of(), nn.Linear(32, 3))
    network[0].bias._no_weight_decay = True
    network[2].weight.requires_grad_(False)
    for module, spared in ((network, {"0.bias"}), (copy.deepcopy(network), set())):
        decayed, kept = parameter_groups(module, 0.1)
        names = {id(p): n for n, p in module.named_parameters()}
        assert decayed["weight_decay"] == 0.1
        assert kept["weight_decay"] == 0
        state = {"1.A_log", "1.D", "1.dt_proj.bias"}
        assert {names[id(p)] for p in kept["params"]} - {"0.bias"} == state
        assert {names[id(p)] for p in kept["params"]} >= state | spared
        everyone = {names[id(p)] for p in (*kept["params"], *decayed["params"])}
        assert everyone == set(names.values()) - {"2.weight"}


def test_decay_would_move_the_state() -> None:
    network = nn.Sequential(block_of())
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    optimizer = torch.optim.AdamW(parameter_groups(network, 0.5), lr=0.1)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    same = {n for n, p in network.named_parameters() if torch.equal(p, before[n])}
    assert same == {"0.A_log", "0.D", "0.dt_proj.bias"}


def fake_kernel(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """mamba-ssm's interface: u, delta (B, E, L), a (E, n), b, c (B, n, L), all contiguous."""
    assert all(t.is_contiguous() for t in (u, delta, a, b, c))
    return selective_scan_ref(u.mT, delta.mT, a.to(u.dtype), b.mT, c.mT).mT


def test_fused_scan_gets_what_its_interface_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [t.float() for t in scan_inputs(3, 5, 6)]
    expected = selective_scan(*inputs)
    monkeypatch.setattr(scans, "fused_scan", lambda: fake_kernel)
    monkeypatch.setattr(scans, "choose_backend", lambda *_: "fused")
    torch.testing.assert_close(selective_scan(*inputs), expected)


@pytest.mark.parametrize("failure", [ImportError("undefined symbol"), OSError(), RuntimeError()])
def test_a_kernel_that_cannot_be_loaded_is_absent(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise failure

    monkeypatch.setattr(importlib, "import_module", refuse)
    assert scans.fused_scan() is None
    assert choose_backend("auto", CUDA) == "torch"


def test_the_kernel_itself_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some releases of mamba-ssm import without their extension and fail when called."""
    asked: list[str] = []

    def load(name: str) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace(selective_scan_fn=fake_kernel)

    monkeypatch.setattr(importlib, "import_module", load)
    spec = importlib.util.spec_from_file_location("panloom.models.scan_again", scans.__file__)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert asked == []  # an import looks for nothing
    assert choose_backend("auto", CPU) == "torch"
    assert asked == []
    assert choose_backend("auto", CUDA) == "fused"
    assert asked == ["selective_scan_cuda", "mamba_ssm.ops.selective_scan_interface"]
    assert choose_backend("torch", CUDA) == "torch"
    monkeypatch.setenv(scans.BACKEND_VARIABLE, "torch")
    assert choose_backend("auto", CUDA) == "torch"


def test_a_backend_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError) as caught:
        block_of(backend="fused")(torch.zeros(1, 2, 32))
    assert str(caught.value) == (
        "the fused scan was asked for on cpu; it needs a CUDA device and mamba-ssm with its "
        "selective_scan_cuda extension (pip install '.[mamba]'). Use the backend 'torch' instead"
    )
    monkeypatch.setenv(scans.BACKEND_VARIABLE, "jax")
    with pytest.raises(ValueError, match="unknown scan backend 'jax'; known: auto, torch, fused"):
        choose_backend("auto", CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["torch", "fused"])
def test_gpu_agrees_with_the_cpu(backend: str) -> None:
    if backend == "fused" and scans.fused_scan() is None:
        pytest.skip("needs mamba-ssm with its selective_scan_cuda extension")
    block = block_of(64, expand=1)
    tokens = torch.randn(1000, 5, 64, requires_grad=True)
    expected = block(tokens)
    (gradient,) = torch.autograd.grad(expected.square().sum(), tokens)
    block.backend = backend  # type: ignore[assignment]
    there = tokens.detach().cuda().requires_grad_()
    y = block.cuda()(there)
    y.square().sum().backward()
    torch.testing.assert_close(y.cpu(), expected, rtol=6e-4, atol=2e-3)
    assert there.grad is not None
    torch.testing.assert_close(there.grad.cpu(), gradient, rtol=6e-3, atol=5e-3)
