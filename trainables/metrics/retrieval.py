"""Retrieval of held-out clips by what was decoded from fMRI (mind-animator.md C.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def ranks(query: Tensor, gallery: Tensor) -> Tensor:
    """Return the rank (from 1) of row i of `gallery` [N, D] for row i of `query` [n, D], n <= N, by cosine: [n].

    Entries that tie, such as clips with the same caption, share the average of their ranks. Cosines are taken to the
    distinct rows of the gallery, so that identical rows tie exactly.
    """
    distinct, which = torch.unique(gallery, dim=0, return_inverse=True)
    cosines = F.normalize(query, dim=-1) @ F.normalize(distinct, dim=-1).T
    similarity = cosines[:, which]
    own = similarity.gather(1, torch.arange(len(query), device=query.device)[:, None])
    better = (similarity > own).sum(1)
    tied = (similarity == own).sum(1)
    return better + (tied + 1) / 2
