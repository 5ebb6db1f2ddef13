"""The public functions for decoders of plug-ins. Importing this module loads torch.

`network_of` takes the training rows and returns an untrained network; with `solved=True`, one with its final weights.
A decoder that is solved declares it: `Decoder(..., solved=True)`.
"""

import torch
from torch import Tensor

from trainables.context import StageResult, StageTask
from trainables.graph import is_solved
from trainables.ridge import RidgeSolver
from trainables.stages import motion, semantic, structure
from trainables.stages.decoding import NetworkFactory, SplitRows, read_rows

__all__ = [
    "NetworkFactory",
    "SplitRows",
    "ridge_weights",
    "split_rows",
    "train_motion",
    "train_semantic",
    "train_structure",
]


def train_motion(task: StageTask, network_of: NetworkFactory, *, solved: bool = False) -> StageResult:
    """Train a motion decoder as `motion.train` says, and write the files of the stage `motion`.

    The network takes the first latent [B,c,h,w] and fMRI [B,voxels], and returns the video's latents [B,F,c,h,w].
    """
    _check_declared(task, "motion", solved=solved)
    return motion.train_motion_learner(
        task,
        lambda config, rows, job: motion.FirstFrameLearner(config, rows, job, network_of=network_of),
        solved=solved,
    )


def train_structure(task: StageTask, network_of: NetworkFactory, *, solved: bool = False) -> StageResult:
    """Train a structure decoder as `structure.train` says, and write the files of the stage `structure`.

    The network takes fMRI [B,voxels] and returns the first latent [B,c,h,w].
    """
    _check_declared(task, "structure", solved=solved)
    return structure.train_structure_network(task, network_of, solved=solved)


def train_semantic(task: StageTask, network_of: NetworkFactory, *, solved: bool = False) -> StageResult:
    """Train a semantic decoder as `semantic.train` says, and write the files of the stage `semantic`.

    The network takes fMRI [B,voxels] and returns a CLIP embedding [B,D] and a text condition [B,L-1,C].
    """
    _check_declared(task, "semantic", solved=solved)
    return semantic.train_semantic_network(task, network_of, solved=solved)


def _check_declared(task: StageTask, stage: str, *, solved: bool) -> None:
    """Raise `ValueError` if the plug-in declares something else than it does: plans rest on what is declared."""
    if solved != is_solved(task.config, stage):
        kind = getattr(task.config, stage).kind
        raise ValueError(
            f"{stage}.kind: {kind} passes solved={solved}; its declaration must say the same: Decoder(stage={stage!r}, "
            f"name={kind!r}, ..., solved={solved})"
        )


def split_rows(task: StageTask, *features: str) -> dict[str, SplitRows]:
    """Return the rows of the splits `train`, `validation` and `test`, with these features, on the CPU.

    Raises:
        ValueError: A split has no clips, features and voxels differ in their number of clips, or several subjects are
            to be trained on.
    """
    if task.config.voxels.others:
        raise ValueError(
            "split_rows reads the rows of one subject: leave voxels.subjects out, or train with train_motion, "
            "train_structure or train_semantic"
        )
    return read_rows(task, features, device=torch.device("cpu"))


def ridge_weights(fmri: Tensor, target: Tensor, *, penalty: float) -> tuple[Tensor, Tensor]:
    """Return weight [voxels,K] and bias [K] that minimise |target - fmri W - b|^2 + penalty |W|^2.

    Args:
        fmri: [rows,voxels].
        target: [rows,K].
        penalty: Greater than 0. The bias is not penalised.
    """
    solution = RidgeSolver.of(fmri).weights(target, penalty=penalty)
    return solution.weight.T, solution.bias
