"""The running mean of a network's weights over the last part of a training."""

from __future__ import annotations

from copy import deepcopy

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...models.contract import FusionNetwork

_LEAST_STEPS = 4.0


class WeightMean:
    """The exponential mean of all weights and buffers over about the last ``share`` of the steps.

    The decay d is 1 − 2 / (``share`` of the steps), 0.98 for a tenth of 1,000, and at least 0.5:
    half of the span, since the learning rate falls to nothing within it. The mean is m₀ = w₀ after
    the first step and mₛ = d · mₛ₋₁ + (1 − d) · wₛ after the ones that follow. With ``warm`` d is
    at most (1 + s) / (10 + s) at step s, from 0, so that the mean soon forgets the beginning.

    Statistics of batch normalization are averaged as the weights are.
    """

    def __init__(self, network: FusionNetwork, share: float, *, warm: bool = False) -> None:
        self.share, self.warm = share, warm
        self._averaged = AveragedModel(network, use_buffers=True)

    def take(self, network: FusionNetwork, step: int, steps: float) -> None:
        """Take the weights of ``network`` after ``step``, from 0, of ``steps`` into the mean."""
        decay = self.decay(step, steps)
        self._averaged.multi_avg_fn = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._averaged.update_parameters(network)

    def decay(self, step: int, steps: float) -> float:
        """Return what the mean before keeps of its weight at ``step``, from 0, of ``steps``."""
        decay = 1 - 2 / max(_LEAST_STEPS, steps * self.share)
        return min(decay, (1 + step) / (10 + step)) if self.warm else decay

    def finished(self) -> FusionNetwork:
        """Return a copy of the mean, in eval mode, ready to predict."""
        network = deepcopy(self._averaged.module)
        assert isinstance(network, FusionNetwork)
        network.finish()
        return network.eval()
