"""Plain float64 computations of the equations in docs/mind-animator.md, in numpy alone and without our networks."""

import itertools
from collections.abc import Mapping
from math import erf

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
State = Mapping[str, Doubles]
_ERF = np.vectorize(erf)


def linear(state: State, name: str, x: Doubles) -> Doubles:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def norm(state: State, name: str, x: Doubles, *, unbiased: bool = False) -> Doubles:
    """LayerNorm, or the released code's form of it (mind-animator.md B58)."""
    centred = x - x.mean(-1, keepdims=True)
    if unbiased:
        scaled = centred / (x.std(-1, ddof=1, keepdims=True) + 1e-6)
    else:
        scaled = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return np.asarray(scaled * state[f"{name}.weight"] + state[f"{name}.bias"])


def gelu(x: Doubles) -> Doubles:
    return np.asarray(0.5 * x * (1 + _ERF(x / np.sqrt(2))))


def block(state: State, name: str, x: Doubles) -> Doubles:
    """Linear, LayerNorm, GELU."""
    return gelu(norm(state, f"{name}.1", linear(state, f"{name}.0", x)))


def semantic(state: State, fmri: Doubles, *, trunk_blocks: int, head_layers: int) -> tuple[Doubles, Doubles]:
    """A.1: the embedding f and the condition, flat."""
    f = block(state, "trunk.0", fmri)
    for number in range(1, trunk_blocks + 1):
        f = f + block(state, f"trunk.{number}.layers.0", f)
    c = f
    for number in range(head_layers):
        c = linear(state, f"head.{3 * number + 2}", gelu(norm(state, f"head.{3 * number}", c)))
    return f, c


def structure(state: State, fmri: Doubles) -> Doubles:
    """A.2."""
    x = linear(state, "layers.0", fmri)
    for number in (2, 3):
        x = x + linear(state, f"layers.{number}.layers.0", x)
    return linear(state, "layers.6", np.maximum(norm(state, "layers.4", x), 0))


class Motion:
    """A.3 at the patch size of a whole frame, with one fMRI token."""

    def __init__(self, state: State, *, heads: int, unbiased: bool) -> None:
        self.state, self.heads, self.unbiased = state, heads, unbiased

    def step(self, frames: Doubles, fmri: Doubles, mask: NDArray[np.bool_]) -> Doubles:
        """Return the next of each of `frames` [B, T, W]."""
        state = self.state
        hidden = block(state, "encoder.layers.0", fmri)
        token = linear(state, "encoder.out", hidden + block(state, "encoder.layers.1.layers.0", hidden))
        z = frames + codes(frames.shape[1], frames.shape[2])
        for number in range(1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))):
            z = self._block(f"blocks.{number}", z, token, mask)
        return norm(state, "norm", z, unbiased=self.unbiased)

    def roll_out(self, first: Doubles, fmri: Doubles, frames: int, first_only: bool) -> Doubles:
        """Return the video [B, F, W]."""
        video = first[:, None]
        while video.shape[1] < frames:
            mask = inference_mask(video.shape[1], first_only=first_only)
            video = np.concatenate((video, self.step(video, fmri, mask)[:, -1:]), axis=1)
        return video

    def _block(self, name: str, z: Doubles, token: Doubles, mask: NDArray[np.bool_]) -> Doubles:
        z = z + self._norm(f"{name}.temporal_add", self._attention(f"{name}.temporal", z, z, mask))
        # One key: whatever the query, the value of the token (eq. 7).
        value = linear(self.state, f"{name}.spatial.out", linear(self.state, f"{name}.spatial.value", token))
        z = z + self._norm(f"{name}.spatial_add", np.broadcast_to(value[:, None], z.shape))
        hidden = np.maximum(linear(self.state, f"{name}.ffn.0", z), 0)
        last = max(int(key.split(".")[3]) for key in self.state if key.startswith(f"{name}.ffn."))
        return z + self._norm(f"{name}.ffn_add", linear(self.state, f"{name}.ffn.{last}", hidden))

    def _norm(self, name: str, x: Doubles) -> Doubles:
        return norm(self.state, f"{name}.norm", x, unbiased=self.unbiased)

    def _attention(self, name: str, x: Doubles, over: Doubles, mask: NDArray[np.bool_]) -> Doubles:
        query = linear(self.state, f"{name}.query", x)
        key, value = (linear(self.state, f"{name}.{part}", over) for part in ("key", "value"))
        width = query.shape[-1] // self.heads
        parts = []
        for head in range(self.heads):
            own = slice(head * width, (head + 1) * width)
            logits = query[..., own] @ key[..., own].swapaxes(-1, -2) / np.sqrt(width)
            logits = np.where(mask, logits, -np.inf)
            weights = np.exp(logits - logits.max(-1, keepdims=True))
            parts.append(weights / weights.sum(-1, keepdims=True) @ value[..., own])
        return linear(self.state, f"{name}.out", np.concatenate(parts, axis=-1))


def codes(length: int, width: int) -> Doubles:
    """Sine at even, cosine at odd places, wavelengths from 2 pi to 10,000 times 2 pi."""
    place = np.arange(length)[:, None] / 10000 ** (np.arange(0, width, 2) / width)
    return np.stack((np.sin(place), np.cos(place)), axis=-1).reshape(length, width)


def can_be_hidden(frames: int, *, released: bool) -> Doubles:
    """mind-animator.md B06: past entries.

    In the released code the diagonal too, but neither the first two rows nor the first column.
    """
    entries = np.tril(np.ones((frames, frames)), 0 if released else -1)
    if released:
        entries[:2] = 0
        entries[:, 0] = 0
    return entries


def inference_mask(frames: int, *, first_only: bool) -> NDArray[np.bool_]:
    """mind-animator.md B05: the whole past, or what the released code cannot hide."""
    causal = np.tril(np.ones((frames, frames), dtype=bool))
    return causal & (can_be_hidden(frames, released=True) == 0) if first_only else causal


def cosine(a: Doubles, b: Doubles) -> float:
    return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


def info_nce(a: Doubles, b: Doubles, scale: float) -> float:
    """Eq. 1."""
    similarity = np.array([[np.exp(np.exp(scale) * cosine(x, y)) for y in b] for x in a])
    pairs = np.diag(similarity)
    return float(-np.mean(np.log(pairs / similarity.sum(1)) + np.log(pairs / similarity.sum(0))) / 2)


def combined(
    prediction: tuple[Doubles, Doubles], target: tuple[Doubles, Doubles, Doubles], *, scale: float, alpha: float
) -> float:
    """Eq. 2 to 5, from f and condition, and text, image and condition."""
    (f, condition), (text, image, true_condition) = prediction, target
    contrast = alpha * info_nce(f, text, scale) + (1 - alpha) * info_nce(f, image, scale)
    align, projection = ((f - text) ** 2).mean(), ((condition - true_condition) ** 2).mean()
    return float(align + 0.01 * contrast + 0.5 * projection)


def psnr(truth: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    values = []
    for pair in zip(truth.astype(float), other.astype(float), strict=True):
        error = ((pair[0] - pair[1]) ** 2).mean()
        values.append(100.0 if error < 1e-10 else 20 * np.log10(255 / np.sqrt(error)))
    return float(np.mean(values))


def ssim(truth: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Uniform 7 x 7 windows that lie in the frame, sample covariances, mean over colours and frames."""
    c1, c2, n = (0.01 * 255) ** 2, (0.03 * 255) ** 2, 49
    values = []
    for frame, made in zip(truth.astype(float), other.astype(float), strict=True):
        x, y = (np.lib.stride_tricks.sliding_window_view(image, (7, 7), axis=(0, 1)) for image in (frame, made))
        mx, my = x.mean((-1, -2)), y.mean((-1, -2))
        dx, dy = x - mx[..., None, None], y - my[..., None, None]
        vx, vy, vxy = ((a * b).sum((-1, -2)) / (n - 1) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
        values.append(((2 * mx * my + c1) * (2 * vxy + c2) / (mx**2 + my**2 + c1) / (vx + vy + c2)).mean())
    return float(np.mean(values))


def hue_cosine(truth: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """mind-animator.md B31: the cosine of hue maps in units of two degrees, red and blue swapped."""
    pairs = zip(_hue(truth[..., ::-1]), _hue(other[..., ::-1]), strict=True)
    return float(np.mean([cosine(a.ravel(), b.ravel()) for a, b in pairs]))


def _hue(frames: NDArray[np.uint8]) -> Doubles:
    r, g, b = (frames[..., channel].astype(float) for channel in range(3))
    high, low = frames.max(-1).astype(float), frames.min(-1).astype(float)
    chroma = np.where(high > low, high - low, 1)
    sector = np.select([high == r, high == g], [(g - b) / chroma, 2 + (b - r) / chroma], 4 + (r - g) / chroma)
    return np.where(high > low, np.round(60 * sector % 360 / 2) % 180, 0)


def n_way(truth: Doubles, prediction: Doubles, *, n: int) -> float:
    """A.9 over all draws of n - 1 wrong classes."""
    right = np.argsort(truth)[-3:]
    wrong = [place for place in range(len(truth)) if place not in right]
    best = prediction[right].max()
    draws = list(itertools.combinations(wrong, n - 1))
    return float(np.mean([best > prediction[list(draw)].max() for draw in draws]))
