"""VIFI-score and CLIP-pcc from embeddings of frames: is it the same thing, and does it stay so?

Definitions: mind-animator.md C.1. Both take `[F, D]` embeddings of the frames of one clip, so they know nothing of the
encoder; `trainables.metrics.networks` loads one. The paper's VIFI-score uses ViFi-CLIP (ViT-B/16 tuned on
Kinetics-400); any image encoder gives a score of this form, on a scale of its own.
"""

from itertools import pairwise

import numpy as np

from trainables.metrics.clip import Floats, UndefinedError

VIFI_GATE = 0.6


def vifi(truth: Floats, prediction: Floats) -> float:
    """Return the cosine of two clips' frame embeddings `[F, D]`, each averaged over frames; -1 to 1, higher is better.

    Chance is high and depends on the encoder: read it off the control shuffled_fmri.
    """
    return _cosine(truth.mean(axis=0, dtype=np.float64), prediction.mean(axis=0, dtype=np.float64))


def clip_pcc(prediction: Floats, *, vifi_score: float, gate: float = VIFI_GATE) -> float:
    """Return the mean cosine of neighbouring frames `[F, D]` of the reconstruction, 0 if `vifi_score` is up to `gate`.

    The truth enters through the gate only, which makes this mostly the share of clips that pass it
    (mind-animator.md B37); a still video scores 1 where it passes. The gate is fixed at 0.6 in the
    released code, on the scale of ViFi-CLIP; the paper's text has the average level (mind-animator.md B60).
    """
    if vifi_score <= gate:
        return 0.0
    return consistency(prediction)


def consistency(prediction: Floats) -> float:
    """Return the mean cosine of neighbouring frames `[F, D]`: CLIP-pcc without its gate; 1 for a still video."""
    if len(prediction) < 2:
        raise UndefinedError("one frame has no neighbour")
    return float(np.mean([_cosine(one, other) for one, other in pairwise(prediction)]))


def transition_similarities(prediction: Floats) -> Floats:
    """Return `[F-1, F, F]`: the cosine of frames i and j, at any place t; for `shuffle.reorder`."""
    wide = np.asarray(prediction, np.float64)
    unit = wide / _lengths(wide)[:, None]
    return np.broadcast_to(unit @ unit.T, (len(unit) - 1, len(unit), len(unit)))


def _cosine(one: Floats, other: Floats) -> float:
    # Half precision, in which the released code leaves them, overflows at a squared length of 65504.
    pair = np.stack([one, other]).astype(np.float64)
    return float(pair[0] @ pair[1] / _lengths(pair).prod())


def _lengths(embeddings: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(embeddings, axis=-1)
    if not ((lengths > 0) & np.isfinite(lengths)).all():
        raise UndefinedError("an embedding is zero or not finite")
    return lengths
