"""Configs of reconstruction, generator and evaluation (mind-animator.md A.4, C.1)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from trainables.config.base import Config, Count, Fraction, Natural, NonNegative, Weights, absolute_folder
from trainables.identity import BY_CONTENT, SINCE, SPARES

ProtocolName = Literal["mindsweep-1", "mind_animator-1", "mind_video-1", "neurons-1"]
"""Ids of `trainables.judging.protocols.PROTOCOLS`."""
DEFAULT_PROTOCOL: ProtocolName = "mindsweep-1"

NEGATIVE_PROMPT = "Not like the real scene, Distorted and blurred body, blurry,bad proportions,out of frame,disfigured"
"""The negative prompt of the released code (mind-animator.md A.4)."""


SAMPLING = SPARES("cotrain")
"""Decides how videos are drawn, and not the network that draws them."""


class ReconstructConfig(Config):
    """Input of the generator for each of the three features: the decoded one, or a replacement."""

    semantic: Literal["decoded", "noise", "null", "shuffled", "true"] = "decoded"
    """Text condition. `noise`: standard normal, as in the paper's Table 6. `null`: the empty prompt. `shuffled`:
    decoded from another clip's fMRI. `true`: the clip's own caption."""
    structure: Literal["decoded", "noise", "shuffled", "true"] = "decoded"
    """Latent of the first frame, from which the motion decoder rolls out."""
    motion: Literal["decoded", "static", "noise", "shuffled", "true"] = "decoded"
    """Latents of frames 2 to F. `static`: the first frame's latent. `noise`: standard normal. `shuffled`: rolled out
    with another clip's fMRI. `true`: the clip's own."""


class GeneratorConfig(Config):
    """The inflated diffusion model (eq. 10). The defaults are the paper's; `generation` selects a set of settings."""

    procedure: Annotated[Literal["inversion", "img2img", "scratch"], SAMPLING] = "inversion"
    """`inversion`: DDIM inversion with the empty prompt, noise, then denoising through all steps, as in the paper.
    `img2img`: noise, then denoising from `noise_timestep` on. `scratch`: denoising of noise through all steps, as in
    Mind-Video; no latents are decoded."""
    inversion_steps: Annotated[Count, SAMPLING] = 50
    """DDIM steps of the inversion; only with `inversion`."""
    noise_timestep: Annotated[int, Field(ge=0, le=999), SAMPLING] = 200
    """Time step of the diffusion up to which noise is added."""
    steps: Annotated[Count, SAMPLING] = 50
    """DDIM steps over all 1000 times. `img2img` uses those up to `noise_timestep`."""
    eta: Annotated[Fraction, SAMPLING] = 0.0
    """Fraction of new noise per step: 0 is DDIM, 1 is DDPM."""
    guidance: Annotated[NonNegative, SAMPLING] = 12.5
    """Scale of classifier-free guidance."""
    negative_prompt: Annotated[str, SAMPLING] = NEGATIVE_PROMPT
    """Prompt of the unconditional part of guidance."""
    noise: Annotated[Literal["independent", "shared", "mixed"], SAMPLING] = "independent"
    """Noise of the frames of a clip: independent, the same for all, or a mix of both (as NeuroCine's)."""
    noise_share: Annotated[Fraction, SINCE(0.5), SAMPLING] = 0.5
    """Part of the noise's variance that the frames of a clip share; only with `noise: mixed`."""
    attention: Literal["first_and_previous", "own_frame", "two_previous"] = "first_and_previous"
    """Frames that each frame attends to: eq. 10, only itself, as in the image model, or the two previous ones, as in
    Mind-Video."""
    norm: Annotated[Literal["per_frame", "all_frames"], SINCE("per_frame")] = "per_frame"
    """Group norms of the residual blocks and of the output: over each frame, or over all frames of a clip as in the
    released code (mind-animator.md B55)."""
    temporal_bias: Annotated[Natural | None, SINCE(None), SAMPLING] = None
    """Seed of the random biases that the untrained temporal attention of the released code adds to every transformer
    block (mind-animator.md B16). None: there is no such module."""
    rounding: Annotated[Literal["nearest", "down"], SINCE("nearest"), SAMPLING] = "nearest"
    """How values of frames become 8 bits; the released code cuts them off (mind-animator.md B61)."""
    saved_as: Annotated[Literal["frames", "gif"], SINCE("frames"), SAMPLING] = "frames"
    """Format in which videos are kept before they are judged: without loss, or with the 256 colours per frame of a GIF,
    as in the released code (mind-animator.md B61). The true clips are not changed."""
    precision: Annotated[Literal["fp32", "fp16", "bf16"], SAMPLING] = "fp32"
    """Number format of the diffusion model."""
    batch_clips: Annotated[Count, SAMPLING] = 4
    """Number of clips per batch, which bounds memory. It is part of the identity, because it changes rounding."""
    validation_clips: Annotated[Natural, SAMPLING] = 0
    """Number of validation clips that are reconstructed: the first ones of the split."""
    test_clips: Annotated[Natural, SAMPLING] = 60
    """Number of test clips that are reconstructed: the first ones of the split."""


class GivenConfig(Config):
    """Videos that were made elsewhere; only with `system: given`."""

    path: Annotated[str | None, AfterValidator(absolute_folder), BY_CONTENT] = None
    """Folder of the videos: GIF, MP4, folders of PNG, or .npy [frames, height, width, 3]. They have the names of clips,
    or are numbered from 1 in the order of the test clips. Content decides identity."""


class EvaluateConfig(Config):
    """Protocol, networks and size for the evaluation of videos."""

    protocol: Annotated[ProtocolName, SINCE(DEFAULT_PROTOCOL)] = DEFAULT_PROTOCOL
    """All choices that fix the value of a metric of video: size, frames, borders, kind of SSIM and of CLIP-pcc, and
    whether 50-way accuracy is required. Values of two protocols cannot be compared."""

    image_classifier: Weights = "phantom"
    """Image classifier for 2-way-I: `phantom`, a folder or a hub name, such as `google/vit-base-patch16-224`."""
    video_classifier: Weights = "phantom"
    """Video classifier for 2-way-V, such as `MCG-NJU/videomae-base-finetuned-kinetics`."""
    vifi: Weights = "phantom"
    """CLIP model for the VIFI-score, such as `openai/clip-vit-base-patch16`, or the folder of ViFi-CLIP that
    `python -m platform.checkpoint import FILE --judge vifi` writes."""
    clip: Weights = "phantom"
    """CLIP model for CLIP-pcc, such as `openai/clip-vit-base-patch32`."""
    resolution: Count | None = None
    """Side in pixels at which all videos are judged. None: that of the protocol, or else the side of the clips."""
    image_trials: Annotated[Count | None, SINCE(None)] = None
    """Random draws of classes per frame for 2-way-I, as in the released code (20); None: the expectation over all draws
    (mind-animator.md B35)."""
    video_trials: Annotated[Count | None, SINCE(None)] = None
    """The same for 2-way-V (released code: 100)."""
    hue_frames: Annotated[Count | None, SINCE(None)] = None
    """Number of first frames that the metrics of hue use (released code: 6); None: all (mind-animator.md B31)."""
    clip_pcc_gate: Annotated[Literal["constant", "average"], SINCE("constant")] = "constant"
    """VIFI-score that a clip must exceed for CLIP-pcc: 0.6, as in the released code, or the system's own mean over the
    clips of the split, as in the paper's text (mind-animator.md B60)."""
    shuffles: Annotated[int, Field(ge=1)] = 100
    """Number of shuffled frame orders in the shuffle test."""
    seed: Natural = 0
    """Seed of random controls, shuffles and bootstrap."""


_USUAL: Mapping[str, Any] = {
    "resolution": None,
    "image_trials": None,
    "video_trials": None,
    "hue_frames": None,
    "clip_pcc_gate": "constant",
}
"""Field of `evaluate` that changes values within a protocol, to its value in the protocol itself."""


def protocol_name(evaluate: Mapping[str, Any]) -> str:
    """Return the protocol of a section `evaluate` with what was changed of it, as tables and tags show it.

    Early sections name no protocol, and were judged by the default.

    Example:
        >>> protocol_name({"protocol": "mindsweep-1", "hue_frames": 6})
        'mindsweep-1+hue_frames=6'
    """
    changes = [f"+{name}={evaluate[name]}" for name, usual in _USUAL.items() if evaluate.get(name, usual) != usual]
    return "".join((str(evaluate.get("protocol", DEFAULT_PROTOCOL)), *changes))


def recorded_protocol(config: Mapping[str, Any]) -> str:
    """Return the `protocol_name` of a trial's recorded config."""
    section = config.get("evaluate")
    return protocol_name(section if isinstance(section, Mapping) else {})
