"""Training clips as answers: the clip that fMRI points to, the clip that is nearest in truth, and the mean of all.

A system that only finds the nearest training clip reconstructs nothing, and yet scores well on metrics of meaning where
training and test clips overlap (Shirakawa et al. 2024, arXiv 2405.10078).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainables.config.decoders import RidgeConfig
from trainables.datasets.base import ClipSequence, blocks_of
from trainables.metrics.clip import Clip
from trainables.ridge import RidgeSolver

OVERLAP_FACT = "overlap with training clips"
"""A fact of the stage `library` that pages show."""


@dataclass(frozen=True)
class Nearest:
    """The nearest of some clips for each of m others."""

    clip: Tensor
    """The number in the data set of each nearest clip, int64 [m]."""
    similarity: Tensor
    """Cosine of the two embeddings, [m]."""


def library_of(split: Sequence[str], digests: Sequence[str]) -> Tensor:
    """Return the numbers of the training clips whose frames are not those of a validation or test clip.

    Raises:
        ValueError: There is no such training clip.
    """
    held_out = {digest for digest, member in zip(digests, split, strict=True) if member in ("validation", "test")}
    clips = [
        clip
        for clip, (digest, member) in enumerate(zip(digests, split, strict=True))
        if member == "train" and digest not in held_out
    ]
    if not clips:
        raise ValueError("every training clip is also a validation or test clip; the training split needs other clips")
    return torch.tensor(clips, dtype=torch.int64)


def nearest_of(queries: Tensor, embeddings: Tensor, clips: Tensor) -> Nearest:
    """Return the nearest of `clips`, by cosine of embeddings [n,D], for each of `queries` [m,D]."""
    cosines = F.normalize(queries.double(), dim=-1) @ F.normalize(embeddings.double(), dim=-1).T
    best, where = cosines.max(dim=1)
    return Nearest(clips[where], best)


def decoded_embeddings(fmri: Mapping[str, Tensor], embeddings: Mapping[str, Tensor], asked: Tensor) -> Tensor:
    """Return the CLIP embedding [m,D] that ridge regression decodes from each fMRI row of `asked` [m,V].

    Args:
        fmri: Rows of the splits `train` and `validation`, [n,V]. The penalty is chosen on validation rows.
        embeddings: The CLIP image embeddings of the same clips, [n,D].
        asked: Rows to decode.
    """
    solution = RidgeSolver.of(fmri["train"]).chosen(
        embeddings["train"],
        validation=(fmri["validation"], embeddings["validation"]),
        penalties=RidgeConfig().alphas,
        per="all",
    )
    return asked @ solution.weight.T + solution.bias


def mean_clip(clips: ClipSequence, members: Tensor) -> Clip:
    """Return the mean of the clips `members`, uint8 [F,H,W,3], read some at a time."""
    wanted = np.zeros(len(clips), dtype=bool)
    wanted[members.numpy()] = True
    total: NDArray[np.float64] = np.zeros(clips.shape[1:], dtype=np.float64)
    for rows in blocks_of(clips):
        if wanted[rows].any():
            total += np.asarray(clips[rows])[wanted[rows]].sum(axis=0, dtype=np.float64)
    mean: Clip = (total / len(members)).round().astype(np.uint8)
    return mean


@dataclass(frozen=True)
class Overlap:
    """How near the held-out clips of a split are to training clips."""

    clips: int
    same_frames: int
    """Clips whose frames are those of a training clip."""
    quantiles: Mapping[str, float]
    """Minimum, quartiles and maximum of the similarity to the nearest training clip."""
    any_training_clip: float
    """Median similarity to a training clip, whichever."""

    def __str__(self) -> str:
        low, middle, high = (self.quantiles[name] for name in ("25%", "50%", "75%"))
        return (
            f"the nearest training clip of a clip has a CLIP similarity of {middle:.3f} (middle half {low:.3f} to "
            f"{high:.3f}; any training clip: {self.any_training_clip:.3f}); {self.same_frames} of {self.clips} clips "
            "are training clips"
        )


QUANTILES = {"0%": 0.0, "25%": 0.25, "50%": 0.5, "75%": 0.75, "100%": 1.0}


def overlap_of(similarities: Tensor, *, same_frames: int) -> Overlap:
    """Return the overlap, from the similarities [m,n] of m held-out clips to n training clips."""
    nearest = similarities.max(dim=1).values.double()
    quantiles = {name: float(nearest.quantile(share)) for name, share in QUANTILES.items()}
    return Overlap(len(nearest), same_frames, quantiles, float(similarities.flatten().double().median()))
