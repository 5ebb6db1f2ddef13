"""VIFI-score and CLIP-pcc: semantic similarity and temporal consistency, from embeddings of frames.

Definitions: mind-animator.md C.1. Both take the embeddings `[F, D]` of a clip's frames, independent of the encoder;
`trainables.metrics.networks` loads encoders. The paper's VIFI-score uses ViFi-CLIP (ViT-B/16, fine-tuned on
Kinetics-400). Any image encoder can be used, but each has its own scale.
"""

from itertools import combinations, pairwise

import numpy as np

from trainables.metrics.clip import Floats, UndefinedError

VIFI_GATE = 0.6


def vifi(truth: Floats, prediction: Floats) -> float:
    """Return the cosine of two clips' frame embeddings `[F, D]`, each averaged over frames; -1 to 1, higher is better.

    The chance level is high and depends on the encoder: see the control `shuffled_fmri`.
    """
    return _cosine(truth.mean(axis=0, dtype=np.float64), prediction.mean(axis=0, dtype=np.float64))


def clip_pcc(prediction: Floats, *, vifi_score: float, gate: float = VIFI_GATE) -> float:
    """Return the mean cosine of neighbouring frames `[F, D]` of the reconstruction, 0 if `vifi_score` <= `gate`.

    The truth enters through the gate only. So this metric is mostly the fraction of clips that pass the gate
    (mind-animator.md B37); a static video that passes scores 1. The released code sets the gate to 0.6, on the scale of
    ViFi-CLIP; the paper's text gives the average level (mind-animator.md B60).
    """
    if vifi_score <= gate:
        return 0.0
    return consistency(prediction)


def consistency(prediction: Floats) -> float:
    """Return the mean cosine of neighbouring frames `[F, D]`: CLIP-pcc without its gate. A static video scores 1."""
    if len(prediction) < 2:
        raise UndefinedError("one frame has no neighbour")
    return float(np.mean([_cosine(first, second) for first, second in pairwise(prediction)]))


def consistency_of_pairs(prediction: Floats) -> float:
    """Return the mean cosine of all pairs of frames `[F, D]`, adjacent or not. A static video scores 1."""
    if len(prediction) < 2:
        raise UndefinedError("one frame has no other")
    return float(np.mean([_cosine(first, second) for first, second in combinations(prediction, 2)]))


def transition_similarities(prediction: Floats) -> Floats:
    """Return `[F-1, F, F]`: the cosine of frames i and j, the same matrix for every t. Input of `shuffle.reorder`."""
    wide = np.asarray(prediction, np.float64)
    unit = wide / _lengths(wide)[:, None]
    return np.broadcast_to(unit @ unit.T, (len(unit) - 1, len(unit), len(unit)))


def _cosine(first: Floats, second: Floats) -> float:
    # The released code uses half precision, which overflows at a squared length of 65504.
    pair = np.stack([first, second]).astype(np.float64)
    return float(pair[0] @ pair[1] / _lengths(pair).prod())


def _lengths(embeddings: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(embeddings, axis=-1)
    if not ((lengths > 0) & np.isfinite(lengths)).all():
        raise UndefinedError("an embedding is zero or not finite")
    return lengths
