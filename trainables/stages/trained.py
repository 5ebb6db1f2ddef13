"""Loads the decoders that other stage runs trained."""

from typing import TypeVar

from safetensors.torch import load_file
from torch import nn

from trainables.context import StageTask
from trainables.networks import motion
from trainables.networks.motion import MotionDecoder
from trainables.networks.semantic import SemanticDecoder
from trainables.networks.structure import StructureDecoder
from trainables.stages.decoding import SplitRows

Model = TypeVar("Model", bound=nn.Module)


def semantic_decoder(task: StageTask, rows: SplitRows) -> SemanticDecoder:
    """Return the trained semantic decoder. Its shapes are those of `clip_text` and `condition` in `rows`."""
    tokens, width = rows.features["condition"].shape[1:]
    model = SemanticDecoder(
        task.config.semantic,
        voxels=rows.fmri.shape[1],
        clip_dim=rows.features["clip_text"].shape[1],
        condition=(tokens - 1, width),
    )
    return _filled(model, task, "semantic", rows)


def structure_decoder(task: StageTask, rows: SplitRows) -> StructureDecoder:
    """Return the trained structure decoder. Its shapes are those of `latents` in `rows`."""
    config = task.config.structure
    model = StructureDecoder(
        rows.fmri.shape[1],
        rows.features["latents"].shape[2:],
        hidden=config.hidden,
        residual_layers=config.residual_layers,
        dropout=config.dropout,
    )
    return _filled(model, task, "structure", rows)


def trained_motion_decoder(task: StageTask, rows: SplitRows) -> MotionDecoder:
    """Return the trained motion decoder. Its shapes are those of `latents` in `rows`."""
    config, video = task.config.motion, rows.features["latents"].shape[1:]
    return _filled(motion.motion_decoder(config, voxels=rows.fmri.shape[1], video=video), task, "motion", rows)


def _filled(model: Model, task: StageTask, stage: str, rows: SplitRows) -> Model:
    model.load_state_dict(load_file(task.inputs[stage].path("model.safetensors")))
    model.to(rows.fmri.device).eval()
    return model.requires_grad_(False)
