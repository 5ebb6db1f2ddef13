"""From decoded features to video, and how the video is judged (mind-animator.md A.4, C.1)."""

from typing import Annotated, Literal

from pydantic import Field

from trainables.config.base import Config, Count, Fraction, Natural, NonNegative

NEGATIVE_PROMPT = "Not like the real scene, Distorted and blurred body, blurry,bad proportions,out of frame,disfigured"
"""What the released code does not want to see (mind-animator.md A.4)."""


class ReconstructConfig(Config):
    """What the generator is fed for each of the three features: what was decoded, or something in its place."""

    semantic: Literal["decoded", "noise", "null", "shuffled", "true"] = "decoded"
    """`noise` is standard normal, as in the paper's Table 6; `null` the empty prompt; `shuffled` what was decoded from
    another clip's fMRI; `true` the clip's own caption."""
    structure: Literal["decoded", "noise", "shuffled", "true"] = "decoded"
    """The first frame's latent, from which the motion decoder rolls out."""
    motion: Literal["decoded", "static", "noise", "shuffled", "true"] = "decoded"
    """`static` holds the first frame's latent; `noise` and `true` replace frames 2 to F; `shuffled` rolls out under
    another clip's fMRI."""


class GeneratorConfig(Config):
    """The inflated diffusion model (eq. 10). Defaults are the paper's; `generation` names the sets of settings."""

    procedure: Literal["inversion", "img2img"] = "inversion"
    """`inversion`: DDIM inversion with the empty prompt, noise, then denoising through all steps, as in the paper.
    `img2img`: noise, then denoising from `noise_timestep` on."""
    inversion_steps: Count = 50
    """Only with `inversion`."""
    noise_timestep: Annotated[int, Field(ge=0, le=999)] = 200
    """Time step of diffusion up to which noise is added."""
    steps: Count = 50
    """DDIM steps over all 1000 times, of which `img2img` takes those below `noise_timestep`."""
    eta: Fraction = 0.0
    """Share of fresh noise per step: 0 is DDIM, 1 is DDPM."""
    guidance: NonNegative = 12.5
    """Scale of classifier-free guidance."""
    negative_prompt: str = NEGATIVE_PROMPT
    """What guidance leads away from."""
    noise: Literal["independent", "shared"] = "independent"
    """Whether the frames of a clip get noise of their own."""
    attention: Literal["first_and_previous", "own_frame"] = "first_and_previous"
    """`own_frame` leaves the image model as it is: what does eq. 10 add?"""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Number format of the diffusion model."""
    batch_clips: Count = 4
    """Clips at a time: what bounds memory. Part of the identity, since sums over other batches round otherwise."""
    validation_clips: Natural = 0
    """How many validation clips are made into video; the first ones of the split."""
    test_clips: Natural = 60
    """How many test clips are made into video; the first ones of the split."""


class EvaluateConfig(Config):
    """By which networks, and at which size, videos are judged."""

    image_classifier: str = "phantom"
    """For 2-way-I: `phantom`, a folder or a hub name, as `google/vit-base-patch16-224`."""
    video_classifier: str = "phantom"
    """For 2-way-V, as `MCG-NJU/videomae-base-finetuned-kinetics`."""
    vifi: str = "phantom"
    """For the VIFI-score: a CLIP model, as `openai/clip-vit-base-patch16`."""
    clip: str = "phantom"
    """For CLIP-pcc: a CLIP model, as `openai/clip-vit-base-patch32`."""
    resolution: Count | None = None
    """Side in pixels at which all is judged; None is the clips' own."""
    shuffles: Annotated[int, Field(ge=1)] = 100
    """Orders of frames in the shuffle test."""
    seed: Natural = 0
    """Of the random controls, shuffles and bootstrap."""
