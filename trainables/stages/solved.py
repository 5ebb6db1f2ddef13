"""The decoders that are solved and not trained: ridge regression, with penalties chosen on validation clips."""

from collections.abc import Callable, Mapping

from torch import Tensor

from trainables.config.decoders import MotionConfig, RidgeConfig, SemanticConfig, StructureConfig
from trainables.networks.ridge import LinearMap, RidgeMotion, RidgeSemantic, RidgeStructure
from trainables.ridge import RidgeSolver
from trainables.stage_definition import SOLVED_KIND as RIDGE
from trainables.stages.decoding import SplitRows

__all__ = ["RIDGE", "solved_motion", "solved_semantic", "solved_structure"]


def solved_semantic(config: SemanticConfig, rows: Mapping[str, SplitRows]) -> RidgeSemantic:
    """Return the map to the weighted mean of CLIP text and image, and to the condition without the begin token."""

    def embedding(split: SplitRows) -> Tensor:
        text, image = split.features["clip_text"], split.features["clip_image"]
        return config.alpha * text + (1 - config.alpha) * image

    def condition(split: SplitRows) -> Tensor:
        return split.features["condition"][:, 1:]

    train = rows["train"]
    network = RidgeSemantic(
        train.fmri.shape[1], clip_dim=embedding(train).shape[1], condition=tuple(condition(train).shape[1:])
    )
    solver = RidgeSolver.of(train.fmri)
    _solve(solver, network.embedding, rows, embedding, config.ridge)
    _solve(solver, network.condition, rows, condition, config.ridge)
    return network


def solved_structure(config: StructureConfig, rows: Mapping[str, SplitRows]) -> RidgeStructure:
    """Return the map to the latent of the first frame."""
    train = rows["train"]
    network = RidgeStructure(train.fmri.shape[1], train.features["latents"].shape[2:])
    solver = RidgeSolver.of(train.fmri)
    _solve(solver, network.first, rows, lambda split: split.features["latents"][:, 0], config.ridge)
    return network


def solved_motion(config: MotionConfig, rows: Mapping[str, SplitRows]) -> RidgeMotion:
    """Return the map to the latents of frames 2 to F."""
    train = rows["train"]
    network = RidgeMotion(config, voxels=train.fmri.shape[1], video=train.features["latents"].shape[1:])
    solver = RidgeSolver.of(train.fmri)
    _solve(solver, network.later, rows, lambda split: split.features["latents"][:, 1:], config.ridge)
    return network


def _solve(
    solver: RidgeSolver,
    part: LinearMap,
    rows: Mapping[str, SplitRows],
    target: Callable[[SplitRows], Tensor],
    config: RidgeConfig,
) -> None:
    train, validation = (target(rows[name]).flatten(1) for name in ("train", "validation"))
    part.fill(
        solver.chosen(
            train,
            validation=(rows["validation"].fmri, validation),
            penalties=config.alphas,
            per=config.alpha_per,
        )
    )
