"""Loads the decoders that other stage runs trained."""

from collections.abc import Callable
from typing import TypeVar

from safetensors.torch import load_file
from torch import Tensor, nn

from trainables.context import StageTask
from trainables.graph import decoder_kind, resolve_reference
from trainables.networks import motion
from trainables.networks.decoders import AnySemanticDecoder, AnyStructureDecoder, semantic_decoder, structure_decoder
from trainables.networks.motion import MotionDecoder
from trainables.stages.decoding import SplitRows

Model = TypeVar("Model", bound=nn.Module)


def trained_semantic_decoder(task: StageTask, rows: SplitRows) -> AnySemanticDecoder:
    """Return our trained semantic decoder. Its shapes are those of `clip_text` and `condition` in `rows`."""
    tokens, width = rows.features["condition"].shape[1:]
    model = semantic_decoder(
        task.config.semantic,
        voxels=rows.fmri.shape[1],
        clip_dim=rows.features["clip_text"].shape[1],
        condition=(tokens - 1, width),
    )
    return _filled(model, task, "semantic", rows)


def trained_structure_decoder(task: StageTask, rows: SplitRows) -> AnyStructureDecoder:
    """Return our trained structure decoder. Its shapes are those of `latents` in `rows`."""
    latent = rows.features["latents"].shape[2:]
    model = structure_decoder(task.config.structure, voxels=rows.fmri.shape[1], latent=latent)
    return _filled(model, task, "structure", rows)


def motion_roll_out(task: StageTask, rows: SplitRows) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the roll-out of the trained motion decoder of any kind, from first latent and fMRI to the video.

    Raises:
        ValueError: The decoder comes from a plug-in that brings no function for its network.
    """
    kind = decoder_kind(task.config, "motion")
    if kind is None:
        return trained_motion_decoder(task, rows).roll_out
    if kind.builder is None:
        raise ValueError(
            f"motion.kind: {kind.name} has no `network`, so its weights cannot be loaded again (docs/api.md)"
        )
    settings = None if kind.section is None else getattr(task.config, kind.section)
    shapes = {"latents": rows.features["latents"].shape[1:]}
    network: nn.Module = resolve_reference(kind.builder)(settings, rows.fmri.shape[1], shapes)
    return _filled(network, task, "motion", rows)


def trained_motion_decoder(task: StageTask, rows: SplitRows) -> MotionDecoder:
    """Return our trained motion decoder. Its shapes are those of `latents` in `rows`."""
    config, video = task.config.motion, rows.features["latents"].shape[1:]
    return _filled(motion.motion_decoder(config, voxels=rows.fmri.shape[1], video=video), task, "motion", rows)


def _filled(model: Model, task: StageTask, stage: str, rows: SplitRows) -> Model:
    model.load_state_dict(load_file(task.inputs[stage].path("model.safetensors")))
    model.to(rows.fmri.device).eval()
    return model.requires_grad_(False)
