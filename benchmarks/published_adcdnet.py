"""ADCD-Net as it was published, layer by layer, to measure what its evaluation costs.

Written anew from the formulas and layer sizes of the paper and its public code; weights are random,
which costs the same. Two networks, one for each stage, run for every MS pixel, on an MS
patch of 16 × 16 and a PAN patch of 64 × 64 pixels: 256.4 million parameters, 482 million
multiplications. As published, both compute more than the answer needs: stage I its perceptual
features, stage II the depth tokens and their Mamba, which feed auxiliary losses only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from panloom.models.dia import MS_SCALES, PAN_SCALES, CrossGate
from panloom.models.mamba import Mamba

RATIO = 4
PATCH_PX = 16
BANDS = 4
MS_TOKEN, PAN_TOKEN, HIDDEN = 256, 512, 64


class PublishedAdcdNet(nn.Module):
    """Stage I's network gives the prior, stage II's the class of the pixel [7, 7] of a patch."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.prior = PriorNet()
        self.main = ClassNet(classes)

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return logits (B, classes) for ms (B, 4, 16, 16) and pan (B, 1, 64, 64)."""
        logits: Tensor = self.main(ms, pan, *self.prior(ms, pan))
        return logits


class PriorNet(nn.Module):
    """SS_Net, stage I: attended features R and semantic tokens T of each modality.

    Its token layers for the three shallower depths exist and are never called.
    """

    def __init__(self) -> None:
        super().__init__()
        self.branches = Branches()
        self.perceptual = nn.ModuleList(
            nn.Conv2d(into, out, 3, stride, 1, bias=False)
            for into, out, stride in ((128, 128, 1), (128, 256, 1), (256, 256, 2))
        )
        self.loss = torch.zeros(())

    def forward(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return R of MS and PAN (B, 128, 8, 8), T of MS (B, 256) and PAN (B, 512)."""
        ms_depths, pan_depths = self.branches(ms, pan)
        self.loss = self._similarity(ms_depths[-1], pan_depths[-1])
        ms_token = self.branches.ms_tokens[-1](ms_depths[-1])
        return ms_depths[-1], pan_depths[-1], ms_token, self.branches.pan_tokens[-1](pan_depths[-1])

    def _similarity(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return L_SPS = Σ_l mean Σ_c (n(φ_l(F_p)) − n(φ_l(F_m)))², n to unit length over c."""
        ms, pan = 2 * ms - 1, 2 * pan - 1
        total = torch.zeros((), device=ms.device)
        for layer in self.perceptual:
            ms, pan = torch.relu(layer(ms)), torch.relu(layer(pan))
            units = [x / (x.norm(dim=1, keepdim=True) + 1e-10) for x in (ms, pan)]
            total = total + (units[1] - units[0]).square().sum(dim=1).mean()
        return total


class ClassNet(nn.Module):
    """S_Net, stage II: branches masked by the prior, their sum, and a head; tokens through DTM."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.branches = Branches()
        self.ms_norm, self.pan_norm = TokenNorm(MS_TOKEN), TokenNorm(PAN_TOKEN)
        self.ms_dtm = Mamba(MS_TOKEN, expand=1, out_features=HIDDEN)
        self.pan_dtm = Mamba(PAN_TOKEN, expand=1, out_features=HIDDEN)
        self.narrow = nn.Linear(128 * 8 * 8, HIDDEN)
        self.norm = TokenNorm(HIDDEN)
        self.classify = nn.Sequential(nn.Dropout(0.5), nn.Linear(HIDDEN, classes))
        self.auxiliary: list[Tensor] = []

    def forward(
        self, ms: Tensor, pan: Tensor, ms_prior: Tensor, pan_prior: Tensor, *tokens: Tensor
    ) -> Tensor:
        """Return logits (B, classes); what the auxiliary heads say is kept in ``auxiliary``."""
        ms_depths, pan_depths = self.branches(ms, pan)
        sequences = (
            [layer(f) for layer, f in zip(layers, depths, strict=True)] + [token]
            for layers, depths, token in (
                (self.branches.ms_tokens, ms_depths, tokens[0]),
                (self.branches.pan_tokens, pan_depths, tokens[1]),
            )
        )
        ms_sequence, pan_sequence = (torch.stack(sequence, dim=1) for sequence in sequences)
        last = (
            self.ms_dtm(self.ms_norm(ms_sequence))[:, -1],  # (B, 64): the prior's position
            self.pan_dtm(self.pan_norm(pan_sequence))[:, -1],
        )
        self.auxiliary = [self.classify(torch.relu(self.norm(z))) for z in last]
        ms_gated = torch.relu(ms_prior.sigmoid() * ms_depths[-1] + ms_depths[-1])
        pan_gated = torch.relu(pan_prior.sigmoid() * pan_depths[-1] + pan_depths[-1])
        hidden = torch.relu(self.norm(self.narrow(ms_gated.flatten(1) + pan_gated.flatten(1))))
        logits: Tensor = self.classify(hidden)
        return logits


class Branches(nn.Module):
    """What both stages have, with weights of their own: two trunks, DIA and the token layers."""

    def __init__(self) -> None:
        super().__init__()
        self.ms_trunk, self.pan_trunk = trunk(BANDS, (1, 2, 1)), trunk(1, (2, 2, 2))
        self.ms_attention = CrossGate(*MS_SCALES, rectify=True)
        self.pan_attention = CrossGate(*PAN_SCALES, rectify=True)
        self.ms_tokens = tokens((128 * 16 * 16, 256 * 8 * 8, 128 * 8 * 8), MS_TOKEN)
        self.pan_tokens = tokens((128 * 32 * 32, 256 * 16 * 16, 128 * 8 * 8), PAN_TOKEN)

    def forward(self, ms: Tensor, pan: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return F1, F2, F3 and the attended F3 of each modality, the latter (B, 128, 8, 8)."""
        found = []
        for x, units, attend in (
            (ms, self.ms_trunk, self.ms_attention), (pan, self.pan_trunk, self.pan_attention)
        ):  # fmt: skip
            depths = []
            for unit in units:
                x = unit(x)
                depths.append(x)
            found.append([*depths, attend(x)])
        return found[0], found[1]


class TokenNorm(nn.Module):
    """a · (x − mean) / (unbiased standard deviation + 10⁻⁶) + b over the last axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (…, width), normalized."""
        std, mean = torch.std_mean(x, dim=-1, keepdim=True)
        return self.a * (x - mean) / (std + 1e-6) + self.b


def trunk(bands: int, strides: tuple[int, int, int]) -> nn.ModuleList:
    """Return three padded 3×3 convolutions to 128, 256 and 128 channels, each with BN and ReLU."""
    channels = (bands, 128, 256, 128)
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv2d(channels[i], channels[i + 1], 3, stride, 1),
            nn.BatchNorm2d(channels[i + 1]),
            nn.ReLU(),
        )
        for i, stride in enumerate(strides)
    )


def tokens(sizes: tuple[int, int, int], width: int) -> nn.ModuleList:
    """Return the layers from the flattened F1, F2, F3 and attended F3 to a token each."""
    return nn.ModuleList(
        nn.Sequential(nn.Flatten(), nn.Linear(size, width), TokenNorm(width), nn.ReLU())
        for size in (*sizes, sizes[-1])
    )
