"""Half precision is taken where it was asked for, or where it is fast, and gives the same map."""

from __future__ import annotations

import pytest
import torch

from panloom.engine.device import Device
from panloom.engine.runtimes import precision
from panloom.engine.runtimes.choice import RuntimeStart, RuntimeWish, start_runtime
from panloom.engine.runtimes.precision import half_precision
from panloom.engine.runtimes.torch_runtime import TorchRuntime

from .random_networks import LOOK, card_of, halo_of, network_of, step_of, tile_of

CPU, GPU = (Device(torch.device(name), "") for name in ("cpu", "cuda:0"))


@pytest.mark.parametrize(
    ("name", "device", "capability", "wanted"),
    [
        ("auto", CPU, (9, 0), None),
        ("auto", GPU, (9, 0), torch.float16),
        ("auto", GPU, (6, 1), None),
        ("fp32", GPU, (9, 0), None),
        ("bf16", CPU, (9, 0), torch.bfloat16),
        ("fp16", GPU, (6, 1), torch.float16),
    ],
)
def test_auto_is_half_on_cuda_devices_made_for_it(
    name: str, device: Device, capability: tuple[int, int], wanted: torch.dtype | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(precision, "_capability", lambda device: capability)
    assert half_precision(name, device) is wanted


def start() -> RuntimeStart:
    network = network_of("adcdnet", "")
    step = step_of(network, halo_of(network))
    reference = TorchRuntime(step, LOOK, CPU.torch)
    return RuntimeStart(step, card_of("adcdnet", ""), LOOK, CPU, 1, reference, network.lattice_px)


def test_half_precision_is_compared_with_single() -> None:
    made = start()
    side = 2 * made.step.form.margin_px + 40
    tile = tile_of(side, side)
    single = made.reference.run([tile])[0]
    use = start_runtime(RuntimeWish(precision="fp16"), made, tile)
    assert use.agreement is not None
    assert use.agreement.pixels == single.size
    half = TorchRuntime(made.step, LOOK, CPU.torch, torch.float16).run([tile])[0]
    assert use.agreement.same == int((half == single).sum()) < single.size
    if use.agreement.share >= 0.999:
        assert use.note.text == (
            f"Runtime: torch in float16 {torch.__version__} gives the class of single precision "
            f"on {use.agreement}."
        )
    else:
        assert use.runtime is made.reference
        assert use.note.text == (
            f"torch in float16 {torch.__version__} gives the class of single precision on "
            f"{use.agreement}; 99.90 % are needed. torch {torch.__version__} computes the whole "
            "map instead."
        )
