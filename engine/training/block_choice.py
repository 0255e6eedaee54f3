"""The choice of blocks for validation: every class on both sides, with a distance between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..events import Message
from ..progress import Report
from .scenes import UNLABELLED
from .sides import Counts, Labelled, Sides

_TRIES = 32
_LOOKED_AT = 6
_LARGEST, _SMALLEST = 256, 8
_ACROSS = 6
_BUFFERS = 4
_LEAST_KEPT = 1 / 3
_MISSING = 10.0


@dataclass(frozen=True)
class _Blocks:
    """Blocks of all scenes: the block (h, w) that a label belongs to, −1: none; counts (B, K)."""

    of_label: list[NDArray[np.int32]]
    counts: Counts


@dataclass(frozen=True)
class _Found:
    """A split, how far it is from what is wanted, and the classes that one side lacks."""

    sides: Sides
    buffer_px: int
    score: float
    lacking: frozenset[int]
    thinned: bool


def block_sides(
    labels: Labelled, share: float, buffer_px: int, rng: np.random.Generator, report: Report
) -> Sides:
    """Return a split by blocks, with as much of the buffer as leaves enough to train on.

    Large blocks are tried first, then smaller ones, then half of the buffer.
    """
    totals = labels.totals()
    blocks: dict[int, _Blocks] = {}
    whole = _in_one_block(labels)
    best: _Found | None = None
    for buffer in dict.fromkeys([buffer_px, buffer_px // 2, buffer_px // 4, 0]):
        for size in _sizes(labels, buffer):
            if size not in blocks:
                blocks[size] = _blocks(labels, size)
            found = _best(labels, totals, blocks[size], share, buffer, rng)
            if best is None or _rank(found) < _rank(best):
                best = found
            if found.lacking <= whole and not found.thinned:
                break
        if best is not None and best.lacking <= whole and not best.thinned:
            break
    assert best is not None  # there is one size and one buffer at least
    _tell(labels, totals, best, buffer_px, report)
    return best.sides


def _rank(found: _Found) -> tuple[int, bool]:
    return len(found.lacking), found.thinned


def _sizes(labels: Labelled, buffer: int) -> list[int]:
    """Return the block sizes to try, in MS pixels, from large to small.

    Around blocks that are small beside the buffer it would take most of the scene.
    """
    side = max(max(scene.labels.shape) for scene in labels.scenes)
    largest = min(_LARGEST, max(side // _ACROSS, min(_BUFFERS * buffer, side // 3)))
    sizes = [max(_SMALLEST, largest)]
    while sizes[-1] > _SMALLEST:
        sizes.append(max(_SMALLEST, sizes[-1] // 2))
    return sizes


def _in_one_block(labels: Labelled) -> frozenset[int]:
    """Return the classes that even the smallest blocks do not divide."""
    counts = _blocks(labels, _SMALLEST).counts
    return frozenset(np.flatnonzero((counts > 0).sum(axis=0) == 1).tolist())


def _blocks(labels: Labelled, size: int) -> _Blocks:
    """Return the blocks of ``size`` × ``size`` MS pixels that hold labels.

    Scenes of the same ground have them in common.
    """
    stride = 1 + max(
        -(-h // size) * -(-w // size) for h, w in (s.labels.shape for s in labels.scenes)
    )
    where = [np.nonzero(scene.labels != UNLABELLED) for scene in labels.scenes]
    keys = []
    for scene, place, (row, col) in zip(labels.scenes, labels.places, where, strict=True):
        block = row // size * -(-scene.labels.shape[1] // size) + col // size
        if scene.features is not None:
            block = _home(block, scene.features[row, col])
        keys.append(block + place * stride)
    found, number = np.unique(np.concatenate(keys), return_inverse=True)
    classes = [scene.labels[at] for scene, at in zip(labels.scenes, where, strict=True)]
    counts = np.bincount(
        number * labels.classes + np.concatenate(classes), minlength=len(found) * labels.classes
    )
    maps = []
    parts = np.split(number, np.cumsum([len(key) for key in keys])[:-1])
    for scene, at, part in zip(labels.scenes, where, parts, strict=True):
        of_label = np.full(scene.labels.shape, -1, np.int32)
        of_label[at] = part
        maps.append(of_label)
    return _Blocks(maps, counts.reshape(len(found), labels.classes))


def _home(block: NDArray[np.int64], feature: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return for each label the block that most labels of its feature lie in."""
    blocks = int(block.max(initial=0)) + 1
    pairs, counts = np.unique(feature.astype(np.int64) * blocks + block, return_counts=True)
    owner, place = np.divmod(pairs, blocks)
    order = np.lexsort((-counts, owner))
    features, first = np.unique(owner[order], return_index=True)
    return np.asarray(place[order][first][np.searchsorted(features, feature)])


def _best(
    labels: Labelled,
    totals: Counts,
    blocks: _Blocks,
    share: float,
    buffer: int,
    rng: np.random.Generator,
) -> _Found:
    """Return the best of some random choices of blocks, judged with the buffer."""
    choices = [_choice(blocks.counts, totals, share, rng) for _ in range(_TRIES)]
    known = np.maximum(totals, 1)

    def unevenness(choice: NDArray[np.bool_]) -> float:
        taken = blocks.counts[choice].sum(axis=0)
        return float(np.abs(taken / known - share)[totals > 0].sum()) + _MISSING * float(
            ((taken == 0) & (totals > 0)).sum()
        )

    choices.sort(key=unevenness)
    found = [
        _judge(labels, totals, _sides(labels, blocks, choice, buffer), share, buffer)
        for choice in choices[:_LOOKED_AT]
    ]
    return min(found, key=lambda f: f.score)


def _choice(
    counts: Counts, totals: Counts, share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return the blocks (B,) for validation: class by class, rarest first, until there is enough.

    No class loses its last block to validation.
    """
    taken = np.zeros(len(counts), bool)
    have = np.zeros_like(totals)
    order = np.argsort((counts > 0).sum(axis=0), kind="stable")
    for k in order[totals[order] > 0]:
        for block in rng.permutation(np.flatnonzero((counts[:, k] > 0) & ~taken)):
            after = have + counts[block]
            if ((after >= totals) & (counts[block] > 0)).any():
                continue
            over, under = after[k] - share * totals[k], share * totals[k] - have[k]
            if under <= 0 or (have[k] > 0 and over > under):
                continue
            taken[block] = True
            have = after
    return taken


def _sides(labels: Labelled, blocks: _Blocks, choice: NDArray[np.bool_], buffer: int) -> Sides:
    chosen = np.append(choice, False)  # the last one is for −1, no block
    validation = [chosen[of_label] for of_label in blocks.of_label]
    ground: dict[int, NDArray[np.bool_]] = {}
    for place, mask in zip(labels.places, validation, strict=True):
        ground[place] = ground[place] | mask if place in ground else mask
    near = {place: _grown(mask, buffer) for place, mask in ground.items()}
    training = [
        (scene.labels != UNLABELLED) & ~near[place] & ~mask
        for scene, place, mask in zip(labels.scenes, labels.places, validation, strict=True)
    ]
    return Sides(training, validation)


def _judge(labels: Labelled, totals: Counts, sides: Sides, share: float, buffer: int) -> _Found:
    training, validation = labels.count(sides.training), labels.count(sides.validation)
    there = totals > 0
    known = np.maximum(totals, 1)
    lacking = there & ((training == 0) | (validation == 0))
    lost = (totals - training - validation) / known
    score = np.abs(validation / known - share) + lost
    score = score + _MISSING * (validation == 0) + 2 * _MISSING * (training == 0)
    return _Found(
        sides,
        buffer,
        float(score[there].sum()),
        frozenset(np.flatnonzero(lacking).tolist()),
        bool((training[there] < _LEAST_KEPT * totals[there]).any()),
    )


def _tell(labels: Labelled, totals: Counts, found: _Found, buffer_px: int, report: Report) -> None:
    """Report what a person needs to know to judge the validation."""
    if found.buffer_px < buffer_px:
        text = (
            f"Validation labels lie more than {found.buffer_px} MS pixels from training labels, "
            f"not {buffer_px}: the samples are too close together for more."
        )
        report(Message(text, "warning"))
    for name, other in labels.overlaps():
        text = (
            f"`{name}` and `{other}` show the same ground on different grids: what is validated "
            "in one can be trained on in the other."
        )
        report(Message(text, "warning"))
    training = labels.count(found.sides.training)
    for k in sorted(found.lacking):
        what = "validated" if training[k] else "trained"
        text = f"`{labels.name(k)}` is not {what}: its labels lie too close together."
        report(Message(text, "warning"))
    unused = int((totals - training - labels.count(found.sides.validation)).sum())
    if unused:
        share = 100 * unused / int(totals.sum())
        text = (
            f"{unused:,} labelled pixels ({share:.0f} %) lie between training and validation and "
            "are used by neither."
        )
        report(Message(text))


def _grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Return (h, w) True where a True lies within so many rows and columns."""
    for axis in (0, 1):
        length = mask.shape[axis]
        sums = np.insert(np.cumsum(mask, axis=axis, dtype=np.int32), 0, 0, axis=axis)
        start = np.clip(np.arange(length) - pixels, 0, length)
        end = np.clip(np.arange(length) + pixels + 1, 0, length)
        mask = np.take(sums, end, axis) > np.take(sums, start, axis)
    return mask
