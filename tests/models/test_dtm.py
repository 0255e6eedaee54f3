"""The depth sequence is its formula, and leaves no trace in a network that predicts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from panloom.models import dtm
from panloom.models.dtm import AuxiliaryHeads, DepthHead, drop_auxiliary

CHANNELS = (3, 5, 6, 4)
PRIOR = 7


def head_of(**options: int) -> DepthHead:
    torch.manual_seed(0)
    head = DepthHead(CHANNELS, PRIOR, 5, **({"token_width": 16, "out_width": 8} | options))
    for module in head.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return head.double()


def maps(batch: int = 2, height: int = 4, width: int = 3) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(1)
    depths = [torch.randn(batch, c, height, width).double() for c in CHANNELS]
    return depths, torch.randn(batch, PRIOR, height, width).double()


def layer_norm(x: Tensor, norm: nn.Module) -> Tensor:
    assert isinstance(norm, nn.LayerNorm)
    spread = (x - x.mean()).square().mean() + norm.eps
    return (x - x.mean()) / spread.sqrt() * norm.weight + norm.bias


def formula(head: DepthHead, features: list[Tensor]) -> Tensor:
    """Return the logits (classes) of one pixel from the vectors of its depths and its prior."""
    tokens = []
    for tokenize, vector in zip(head.tokenizers, features, strict=True):
        linear, norm, _ = tokenize  # type: ignore[misc]
        tokens.append(layer_norm(linear.weight @ vector + linear.bias, norm).clamp(min=0))
    sequence = torch.stack([layer_norm(token, head.norm) for token in tokens])
    z = head.mamba(sequence[None])[0, -1]  # Mamba has its own test
    norm, _, linear = head.classify
    return linear.weight @ layer_norm(z, norm).clamp(min=0) + linear.bias


def test_every_pixel_is_the_formula() -> None:
    head, (depths, prior) = head_of(), maps()
    logits = head(depths, prior)
    assert logits.shape == (2, 5, 4, 3)
    for i in range(2):
        for row in range(4):
            for col in range(3):
                expected = formula(head, [m[i, :, row, col] for m in (*depths, prior)])
                torch.testing.assert_close(logits[i, :, row, col], expected)


def test_sequences_hold_every_stage_and_the_prior() -> None:
    head, (depths, prior) = head_of(), maps()
    seen: list[torch.Size] = []
    head.mamba.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    head(depths, prior)
    assert seen == [(2 * 4 * 3, len(CHANNELS) + 1, 16)]


def test_chosen_pixels_are_those_of_the_map() -> None:
    head, (depths, prior) = head_of(), maps()
    where = torch.rand(2, 4, 3) < 0.4
    expected = head(depths, prior).permute(0, 2, 3, 1)[where]
    torch.testing.assert_close(head(depths, prior, where), expected)
    assert head(depths, prior, torch.zeros_like(where)).shape == (0, 5)


def test_coarser_depths_are_repeated() -> None:
    head, (depths, prior) = head_of(), maps(1, 4, 6)
    depths[2] = depths[2][..., ::2, ::2]
    repeated = depths[2].repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = head([*depths[:2], repeated, depths[3]], prior)
    torch.testing.assert_close(head(depths, prior), expected)


def test_memory_bounds_change_neither_result_nor_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for at_once in (1 << 14, 5):
        monkeypatch.setattr(dtm, "PIXELS_AT_ONCE", at_once)
        head, (depths, prior) = head_of(), maps()
        depths[0].requires_grad_()
        logits = head(depths, prior)
        logits.square().sum().backward()
        with torch.no_grad():
            torch.testing.assert_close(head(depths, prior), logits)
        results.append([logits, depths[0].grad, *(p.grad for p in head.parameters())])
    for whole, pieces in zip(*results, strict=True):
        torch.testing.assert_close(whole, pieces)


def test_gradients_stop_at_the_prior_and_reach_everything_else() -> None:
    head, (depths, prior) = head_of(), maps()
    for x in (*depths, prior):
        x.requires_grad_()
    head(depths, prior).square().sum().backward()
    assert prior.grad is None
    assert all(x.grad is not None and x.grad.any() for x in depths)
    assert [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()] == []


class Tiny(nn.Module):
    """A network that calls its auxiliary heads to train only."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Conv2d(3, 5, 1)
        self.auxiliary: AuxiliaryHeads | None = AuxiliaryHeads((3,), (3,), 3, 5, token_width=16)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.main(x)
        return y


def test_modalities_share_nothing() -> None:
    heads = AuxiliaryHeads((3,), (3,), 3, 5, token_width=16)
    own = {id(p) for p in heads.ms.parameters()}
    assert own.isdisjoint(id(p) for p in heads.pan.parameters())
    x, y = torch.randn(2, 1, 3, 4, 4)
    ms, pan = heads([x], [y], x, y)
    assert ms.shape == pan.shape == (1, 5, 4, 4)
    ms.sum().backward()
    assert all(p.grad is None for p in heads.pan.parameters())


def test_a_network_predicts_the_same_without_them() -> None:
    torch.manual_seed(0)
    network, x = Tiny().eval(), torch.randn(1, 3, 6, 6)
    before = network(x)
    assert any("auxiliary" in name for name in network.state_dict())
    assert drop_auxiliary(network) == 1
    assert torch.equal(network(x), before)
    assert set(network.state_dict()) == {"main.weight", "main.bias"}
    assert drop_auxiliary(network) == 0


def test_another_number_of_depths_is_said() -> None:
    depths, prior = maps()
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        head_of()(depths[:3], prior)
    assert str(caught.value) == (
        "the depth sequence got 3 maps; it was made for 4, from shallow to deep"
    )
