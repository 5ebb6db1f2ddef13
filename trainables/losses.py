"""The losses, eq. 1-6 and 9 of the paper.

Squared errors are means over elements, as in the released code. The paper prints sums of squared norms, but its loss
weights are plausible only for means (mind-animator.md A.1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.config.decoders import SemanticConfig


def info_nce(a: Tensor, b: Tensor, logit_scale: Tensor, *, clips: Tensor | None = None) -> Tensor:
    """Return the bidirectional InfoNCE of paired rows `a` and `b`, both [B, D] (eq. 1): a scalar.

    Logits are cosines times exp(`logit_scale`), in full precision also where a network is trained in half of it.
    `clips` [B] are the numbers of the rows' clips: two rows of one clip, seen by two subjects, are not each other's
    negatives. Without it all rows are of different clips.
    """
    with torch.autocast(a.device.type, enabled=False):
        logits = logit_scale.exp() * F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T
    if clips is not None:
        same = clips[:, None] == clips[None, :]
        logits = logits.masked_fill(same.fill_diagonal_(False), -torch.inf)
    pairs = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def tri_modal(
    fmri: Tensor, text: Tensor, image: Tensor, logit_scale: Tensor, *, alpha: float, clips: Tensor | None = None
) -> Tensor:
    """Return L_Semantic (eq. 2): `alpha` * InfoNCE(fMRI, text) + (1 - `alpha`) * InfoNCE(fMRI, image), all [B, D]."""
    to_text, to_image = (info_nce(fmri, target, logit_scale, clips=clips) for target in (text, image))
    return alpha * to_text + (1 - alpha) * to_image


def semantic_loss(
    config: SemanticConfig,
    prediction: tuple[Tensor, Tensor],
    target: tuple[Tensor, Tensor, Tensor],
    scale: Tensor,
    *,
    clips: Tensor | None = None,
) -> Tensor:
    """Return L_Combined (eq. 5): alignment (eq. 3) + lambda1 contrast (eq. 2) + lambda2 projection (eq. 4).

    With loss "mse" (the baselines of the paper's Table 17, which does not give a formula), alignment and contrast are
    replaced by alpha MSE(f, text) + (1 - alpha) MSE(f, image).

    Args:
        config: Kind and weights of the loss.
        prediction: Embedding f [B, D] and condition [B, L-1, C].
        target: CLIP text [B, D], CLIP image [B, D], condition without the begin token [B, L-1, C].
        scale: The learned logarithm of the inverse temperature, a scalar.
        clips: As of `info_nce`, where several rows may be of one clip.

    Raises:
        ValueError: The prediction has another shape than the target.
    """
    embedding, condition = (x.float() for x in prediction)
    text, image, true_condition = target
    check_shape("embedding", embedding, text)
    check_shape("condition", condition, true_condition)
    projection = config.lambda_projection * F.mse_loss(condition, true_condition)
    if config.loss == "mse":
        to_text, to_image = F.mse_loss(embedding, text), F.mse_loss(embedding, image)
        return config.alpha * to_text + (1 - config.alpha) * to_image + projection
    contrast = tri_modal(embedding, text, image, scale, alpha=config.alpha, clips=clips)
    return F.mse_loss(embedding, text) + config.lambda_contrast * contrast + projection


def latent_mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of latents: eq. 6 on first frames, eq. 9 on frames 2 to F.

    Raises:
        ValueError: The prediction has another shape than the target.
    """
    check_shape("latents", prediction, target)
    return F.mse_loss(prediction.float(), target)


def check_shape(name: str, prediction: Tensor, target: Tensor) -> None:
    """Raise `ValueError` unless the prediction has the shape of its target; torch would broadcast it."""
    if prediction.shape != target.shape:
        raise ValueError(f"the decoder returned {name} {[*prediction.shape]}; the targets are {[*target.shape]}")
