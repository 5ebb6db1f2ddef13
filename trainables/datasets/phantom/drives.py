"""The drives of the phantom's voxels: features of a clip's pixels and of its caption's words, never of its factors.

So the same brain can respond to the phantom's clips and to those of a user. Positions and speeds are in units of the
frame, colours in [0, 1]; all maps are pooled to fixed grids, whatever the resolution and number of frames.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import ClipSequence

Floats = NDArray[np.float32]

MOTION_DIRECTIONS = 8
MOTION_SPEEDS = (0.012, 0.024, 0.048)
"""Preferred speeds of the motion channels, in frame sides per frame of an eight-frame clip."""
WORD_SIZE = 96
CHANNEL_SHAPES = {
    "image": (16, 3),
    "contrast": (16, 4),
    "colour": (2, 3),
    "motion": (4, MOTION_DIRECTIONS * len(MOTION_SPEEDS)),
    "words": (1, WORD_SIZE),
}
"""Drive to the side of its map in cells, and its channels: D is side * side * channels."""
DRIVES = tuple(CHANNEL_SHAPES)
"""Names of the drives, in the order of the planted map's columns."""

_EARLY = 0.5  # decay in frames, of eight, of what an early visual area still sees of the past
_FINE = 32  # side in pixels at which motion is measured
_SATURATION = 0.2  # colour distance, in [0, 1], at which local contrast has half its full effect
_CHUNK = 64
_STOP_WORD = re.compile("a|an|and|are|as|at|by|for|from|has|in|is|it|its|of|on|or|over|that|the|then|there|to|with")


def drives(clips: ClipSequence, captions: Sequence[str], *, onset: float = 0.0) -> dict[str, Floats]:
    """Return the drives of the voxels: name to float32 [N, D].

    Args:
        clips: uint8 [N,F,H,W,3].
        captions: N of them.
        onset: When, in frames of eight, there is first something to see: what stands out is seen best just then.
    """
    parts = [_visual(clips[start : start + _CHUNK], onset=onset) for start in range(0, len(clips), _CHUNK)]
    visual = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {**visual, "words": words(captions)}


def words(captions: Sequence[str]) -> Floats:
    """Return codes of captions, float32 [N, WORD_SIZE]: each word, and each pair of neighbours, has a random code.

    Pairs bind what belongs together: "red disc" on "green stripes" is not "green disc" on "red stripes".
    """
    codes: dict[str, NDArray[np.float64]] = {}
    rows = np.zeros((len(captions), WORD_SIZE), np.float32)
    for row, caption in zip(rows, captions, strict=True):
        content = [word for word in re.findall(r"[a-z']+", caption.lower()) if not _STOP_WORD.fullmatch(word)]
        pairs = [f"{left} {right}" for left, right in pairwise(content)]
        for token in (*content, *pairs):
            if token not in codes:
                codes[token] = _code(token)
            row += codes[token] / math.sqrt(len(content))
    return rows


def _code(token: str) -> NDArray[np.float64]:
    """Return the token's fixed code: the same on every machine, in every process."""
    seed = int.from_bytes(hashlib.sha256(token.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(WORD_SIZE)


def _visual(clips: NDArray[np.uint8], *, onset: float) -> dict[str, Floats]:
    """Return the drives that come from pixels, for a chunk of clips."""
    count = len(clips)
    fine = _resize(clips, _FINE) / np.float32(255)
    early = _seen_from(0.0, fine)
    outstanding = early if onset == 0.0 else _seen_from(onset, fine)
    ground = np.median(early.reshape(count, -1, 3), axis=1).astype(np.float32)[:, None, None]
    return {
        name: _resize(maps, CHANNEL_SHAPES[name][0]).reshape(count, -1)
        for name, maps in (
            ("image", early),
            ("contrast", _with_size(_saturate(outstanding - ground))),
            ("colour", _saturate(fine.mean(axis=1) - ground)),
            ("motion", _motion(fine)),
        )
    }


def _seen_from(onset: float, clips: Floats) -> Floats:
    """Return what early areas see of clips [N,F,h,w,3]: the frame at `onset`, and less and less after, [N,h,w,3]."""
    time = np.arange(clips.shape[1]) * (8 / clips.shape[1]) - onset
    weights = np.where(time >= 0.0, np.exp(-np.abs(time) / _EARLY), 0.0).astype(np.float32)
    return np.asarray(np.tensordot(weights / weights.sum(), clips, axes=(0, 1)))


def _saturate(difference: Floats) -> Floats:
    """Scale colour differences [...,3] by a Naka-Rushton curve of their size: faint textures vanish, objects stay."""
    power = (difference * difference).sum(axis=-1, keepdims=True)
    gain: Floats = power / (power + np.float32(_SATURATION**2))
    return difference * gain


def _with_size(difference: Floats) -> Floats:
    """Append the size of colour differences [...,3] as a fourth channel, which has the location but not the colour."""
    return np.concatenate([difference, np.sqrt((difference * difference).sum(axis=-1, keepdims=True))], axis=-1)


def _motion(fine: Floats) -> Floats:
    """Return the mean responses of direction- and speed-tuned channels, [N, h, w, DIRECTIONS * len(SPEEDS)].

    Local flow comes from the structure tensor of spatial and temporal gradients (Lucas and Kanade), summed over the
    colours, so that equally bright colours move too.
    """
    blurred = _separable(fine, _blur(_FINE, 0.8))
    before, after = blurred[:, :-1], blurred[:, 1:]
    middle = (before + after) / 2
    step = after - before
    # Gradients along y and x from central differences, in units of the fine grid.
    gy, gx = np.gradient(middle, axis=(2, 3))
    products = np.stack([(p * q).sum(axis=-1) for p, q in ((gx, gx), (gy, gy), (gx, gy), (gx, step), (gy, step))], -1)
    # Every second pixel is enough after this blur.
    xx, yy, xy, xt, yt = np.moveaxis(_separable(products, _blur(_FINE, 1.6)[::2]), -1, 0)
    xx, yy = xx + np.float32(1e-4), yy + np.float32(1e-4)
    determinant = xx * yy - xy * xy
    per_frame = np.float32(fine.shape[1] / 8 / _FINE)
    u = (xy * yt - yy * xt) / determinant * per_frame
    v = (xy * xt - xx * yt) / determinant * per_frame
    return np.asarray(_tuned(u, -v).mean(axis=1))


def _tuned(right: Floats, up: Floats) -> Floats:
    """Return the channels' responses to velocities [...], as [..., DIRECTIONS * len(SPEEDS)]."""
    speed = np.hypot(right, up)
    log_speed = np.log(np.maximum(speed, np.float32(1e-4)))
    by_speed = np.stack([np.exp(-0.5 * ((log_speed - math.log(s)) / 0.5) ** 2) for s in MOTION_SPEEDS], axis=-1)
    angle = np.arctan2(up, right)
    by_angle = np.stack(
        [np.exp(2.0 * (np.cos(angle - k * math.tau / MOTION_DIRECTIONS) - 1.0)) for k in range(MOTION_DIRECTIONS)], -1
    )
    both: Floats = by_angle[..., :, None] * by_speed[..., None, :]
    return both.reshape(*speed.shape, -1)


def _separable(maps: Floats, matrix: Floats) -> Floats:
    """Apply `matrix` [m,n] along height and width of maps [..., n, n, C]."""
    return _apply(matrix, matrix, maps)


def _apply(vertical: Floats, horizontal: Floats, maps: Floats) -> Floats:
    *lead, height, width, channels = maps.shape
    rows = vertical @ maps.reshape(-1, height, width * channels)
    done = horizontal @ rows.reshape(-1, width, channels)
    return done.reshape(*lead, len(vertical), len(horizontal), channels)


def _resize(maps: NDArray[np.uint8] | Floats, side: int) -> Floats:
    """Average maps [..., H, W, C] over the areas of a coarser grid (or spread over a finer), [..., side, side, C]."""
    return _apply(_pool(maps.shape[-3], side), _pool(maps.shape[-2], side), maps.astype(np.float32))


def _pool(source: int, target: int) -> Floats:
    """Return the [target, source] matrix that averages `source` pixels over `target` equal cells."""
    edges = np.arange(target + 1) * (source / target)
    pixel = np.arange(source)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(overlap, 0.0) * (target / source), np.float32)


def _blur(side: int, sigma: float) -> Floats:
    """Return the [side, side] matrix of a Gaussian blur whose weights sum to one also at the border."""
    distance = np.subtract.outer(np.arange(side), np.arange(side))
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
