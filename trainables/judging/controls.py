"""The controls: what a reconstruction is compared with, under one name everywhere.

Trial pages, evaluations of videos, tables of metrics (`ssim_static`, `rollout_mse_mean`) and reports use these names.

Two ways lead to `shuffled_fmri`. A trial holds what was reconstructed for another clip against the clip's truth;
`score_pairs` holds the clip's reconstruction against another clip's truth. Over all clips both are the same pairing of
reconstructions with wrong truths, drawn at random; a pair's value belongs to the clip of its truth in a trial, and to
the clip of its reconstruction in `score_pairs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

TRUTH = "truth"
SYSTEM = "system"
"""What a trial calls its own reconstruction."""
PairControl: TypeAlias = Literal["", "static", "shuffled_fmri"]
"""A control that needs no more than videos and their truths; empty for the reconstruction itself."""
PAIR_CONTROLS: tuple[PairControl, ...] = ("", "static", "shuffled_fmri")


@dataclass(frozen=True)
class Control:
    """Something that knows less, or more, than what it is compared with."""

    name: str
    title: str
    """For headings of tables."""
    meaning: str
    """What it is, and what it tells."""
    of_videos: bool = True
    """Whether it is a video; others are numbers beside a metric of a decoder."""


CONTROLS: Mapping[str, Control] = {
    control.name: control
    for control in (
        Control("static", "first frame held", "its first frame held: what does its motion add?"),
        Control(
            "plain",
            "features by the VAE alone",
            "the decoded features by the VAE alone: what does the diffusion model add?",
        ),
        Control(
            "mean_latent",
            "mean latent",
            "mean training latents and condition through the generator: one video for all clips",
        ),
        Control("random_clip", "random training clip", "a random training clip"),
        Control("shuffled_fmri", "another clip's fMRI", "what was reconstructed from another clip's fMRI"),
        Control(
            "ceiling",
            "true features (ceiling)",
            "the noise ceiling: the clip's true features through the generator, as by perfect decoding",
        ),
        Control("ceiling_plain", "true latents by the VAE alone", "the clip's true latents by the VAE alone"),
        Control("mean", "mean over the training clips", "the mean over the training clips", of_videos=False),
        Control("chance", "chance on these clips", "the chance level for this number of clips", of_videos=False),
    )
}
"""By name, in the order of tables."""

SYSTEMS: Mapping[str, str] = {
    SYSTEM: "what was reconstructed from fMRI",
    **{name: control.meaning for name, control in CONTROLS.items() if control.of_videos},
}
"""The videos of a trial, its own and its controls', in the order of tables, and what each tells."""


def title_of(name: str) -> str:
    """Return the title of a control; its name in words if this version does not know it."""
    return CONTROLS[name].title if name in CONTROLS else name.replace("_", " ")
