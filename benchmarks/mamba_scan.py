"""How fast the selective scan is on this CPU, beside the recurrence written down literally.

    python benchmarks/mamba_scan.py [--threads 2] [--pairs 9]

Both run in turn, pair by pair, so that a busy machine slows both; the table gives the median and
the best ratio of a pair. Depth sequences (one a pixel, L = stages + 1) are what DTM reads.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from panloom.models.selective_scan import selective_scan, selective_scan_ref

SHAPES = (  # sequences, length, channels; 16 states
    (65536, 5, 32),
    (65536, 5, 64),
    (32768, 5, 128),
    (16384, 16, 64),
    (4096, 64, 64),
)
STATES = 16


def main() -> None:
    """Print one row for each shape, without and with gradient."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"PyTorch {torch.__version__}, {options.threads} threads, {options.pairs} pairs")
    print("| sequences | L | channels | gradient | literal M/s | ours M/s | ratio | best | error |")
    print("|---|---|---|---|---|---|---|---|---|")
    for gradient in (False, True):
        for shape in SHAPES:
            sequences = shape[0] // 4 if gradient else shape[0]
            print(_row((sequences, *shape[1:]), gradient, options.pairs), flush=True)


def _row(shape: tuple[int, int, int], gradient: bool, pairs: int) -> str:
    inputs = _inputs(*shape, gradient)
    ratios, literal_s, ours_s = [], [], []
    with torch.set_grad_enabled(gradient):
        for _ in range(pairs):
            literal, expected = _timed(selective_scan_ref, inputs, gradient)
            ours, y = _timed(selective_scan, inputs, gradient)
            ratios.append(literal / ours)
            literal_s.append(literal)
            ours_s.append(ours)
    error = (y - expected).abs().max().item()
    elements = shape[0] * shape[1] * shape[2] / 1e6
    rates = (elements / statistics.median(times) for times in (literal_s, ours_s))
    return (
        f"| {shape[0]} | {shape[1]} | {shape[2]} | {'yes' if gradient else 'no'} | "
        + " | ".join(f"{rate:.1f}" for rate in rates)
        + f" | {statistics.median(ratios):.1f} | {max(ratios):.1f} | {error:.0e} |"
    )


def _inputs(batch: int, length: int, channels: int, gradient: bool) -> list[Tensor]:
    """Return x, Δ, A, B, C of usual size: Δ in 0.001…0.1, A in −16…0."""
    torch.manual_seed(0)
    x = torch.randn(batch, length, channels)
    delta = torch.empty(batch, length, channels).uniform_(1e-3, 0.1)
    a = -16 * torch.rand(channels, STATES)
    b, c = torch.randn(2, batch, length, STATES)
    return [t.requires_grad_(gradient) for t in (x, delta, a, b, c)]


def _timed(
    scan: Callable[..., Tensor], inputs: list[Tensor], gradient: bool
) -> tuple[float, Tensor]:
    """Return the seconds of one scan, with its gradients if wanted, and its result."""
    start = time.perf_counter()
    y = scan(*inputs)
    if gradient:
        torch.autograd.grad(y.sum(), inputs)
    return time.perf_counter() - start, y.detach()


if __name__ == "__main__":
    main()
