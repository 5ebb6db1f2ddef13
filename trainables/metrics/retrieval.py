"""Retrieval of held-out clips by their decoded embeddings (mind-animator.md C.2)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def ranks(query: Tensor, gallery: Tensor, *, ties: Literal["average", "order"] = "average") -> Tensor:
    """Return the rank (from 1) of row i of `gallery` [N, D] for row i of `query` [n, D], n <= N, by cosine: [n].

    Ties, such as clips with the same caption, get the average of their ranks. Cosines are computed with the distinct
    rows of the gallery, so that identical rows tie exactly. A query with NaN ranks last. With `ties: order`, the last
    of tied rows has the best rank, as a stable sort in ascending order puts them (mind-animator.md B42).

    Example:
        >>> gallery = torch.eye(3)
        >>> ranks(gallery[[0, 2]], gallery).tolist()  # the second query is closest to another row; 2 rows tie
        [1.0, 2.5]
    """
    distinct, which = torch.unique(gallery, dim=0, return_inverse=True)
    cosines = F.normalize(query, dim=-1) @ F.normalize(distinct, dim=-1).T
    similarity = cosines[:, which]
    own = similarity.gather(1, torch.arange(len(query), device=query.device)[:, None])
    better = (similarity > own).sum(1)
    tied = similarity == own
    if ties == "order":
        place = torch.arange(len(gallery), device=query.device)
        among = 1.0 + (tied & (place > place[: len(query), None])).sum(1)
    else:
        among = (tied.sum(1) + 1) / 2
    return torch.where(own[:, 0].isnan(), float(len(gallery)), better + among)
