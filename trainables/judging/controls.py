"""The controls that a reconstruction is compared with. All modules, tables and reports use these names.

The control `shuffled_fmri` is computed in two ways. A trial compares the reconstruction of another clip with the clip's
truth. `score_pairs` compares the clip's reconstruction with the truth of another clip. Over all clips both are a random
pairing of reconstructions with wrong truths. A value belongs to the clip of the truth in a trial, and to the clip of
the reconstruction in `score_pairs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trainables.tables import DerivedTable, Table

TRUTH = "truth"
SYSTEM = "system"
"""Name of a trial's own reconstruction."""
CEILING, GENERATOR_CEILING = "ceiling", "ceiling_generator"
"""The noise ceiling of a system, and that of our generator if the system brings one of its own."""
PairControl: TypeAlias = Literal["", "static", "shuffled_fmri"]
"""A control that needs only videos and their truths; empty for the reconstruction itself."""
PAIR_CONTROLS: tuple[PairControl, ...] = ("", "static", "shuffled_fmri")


@dataclass(frozen=True)
class Control:
    """A comparison with less, or more, information than the reconstruction has."""

    name: str
    title: str
    """Heading in tables."""
    meaning: str
    """What it is, and what it shows."""
    lacks: Literal["", "clip", "motion"] = ""
    """What it knows nothing of: the clip, or only how the clip moves. Empty if it knows the clip."""
    of_videos: bool = True
    """Whether it is a video. The others are numbers that are reported with a metric of a decoder."""
    shared: bool = False
    """Whether no decoder changes it. The stage `control_scores` judges such videos once for all trials."""
    function: str | None = None
    """Of a plug-in: the reference of the function that makes it, from the truth and the reconstruction of a clip."""


_CONTROLS = {
    control.name: control
    for control in (
        Control("static", "first frame held", "its first frame held: what does its motion add?", lacks="motion"),
        Control(
            "plain",
            "features by the VAE alone",
            "the decoded features by the VAE alone: what does the diffusion model add?",
        ),
        Control(
            "mean_latent",
            "mean latent",
            "mean training latents and condition through the generator: one video for all clips",
            lacks="clip",
            shared=True,
        ),
        Control("random_clip", "random training clip", "a random training clip", lacks="clip", shared=True),
        Control(
            "mean_clip",
            "mean training clip",
            "the mean of all training clips, frame by frame: which metrics reward blur?",
            lacks="clip",
            shared=True,
        ),
        Control(
            "nearest_clip",
            "nearest training clip",
            "the training clip whose CLIP embedding is nearest to the one that ridge regression decodes from the fMRI: "
            "does the system do more than find a clip that it knows?",
            shared=True,
        ),
        Control(
            "shuffled_fmri", "another clip's fMRI", "what was reconstructed from another clip's fMRI", lacks="clip"
        ),
        Control(
            "before",
            "before training",
            "what the network gives before it is trained on these clips: what does the training add?",
            of_videos=False,
        ),
        Control(
            CEILING,
            "true features (ceiling)",
            "the noise ceiling: the clip's true features through the system's own generator, as by perfect decoding; "
            "through the diffusion model if the system has none",
            shared=True,
        ),
        Control(
            GENERATOR_CEILING,
            "true features by the diffusion model",
            "the clip's true features through the diffusion model, which this system does not use",
            shared=True,
        ),
        Control(
            "ceiling_plain", "true latents by the VAE alone", "the clip's true latents by the VAE alone", shared=True
        ),
        Control(
            "mean", "mean over the training clips", "the mean over the training clips", lacks="clip", of_videos=False
        ),
        Control(
            "chance",
            "chance on these clips",
            "the chance level for this number of clips",
            lacks="clip",
            of_videos=False,
        ),
    )
}
CONTROLS: Mapping[str, Control] = Table("controls", _CONTROLS)
"""Name to control, in the order of tables."""

SYSTEMS: Mapping[str, str] = DerivedTable(
    lambda: {
        SYSTEM: "what was reconstructed from fMRI",
        **{name: control.meaning for name, control in CONTROLS.items() if control.of_videos},
    }
)
"""Name of each kind of video of a trial to its meaning, in the order of tables: its own and the controls."""


def label_of(name: str) -> str:
    """Return the label of a video of a trial, such as `Shuffled fMRI`; other names get spaces for underscores."""
    if name == SYSTEM:
        return "Reconstruction"
    words = name.replace("_", " ")
    return words.capitalize().replace("fmri", "fMRI") if name in (TRUTH, *SYSTEMS) else words


def title_of(name: str) -> str:
    """Return the title of a control, or its name in words if this version has no such control."""
    return CONTROLS[name].title if name in CONTROLS else name.replace("_", " ")


def is_uninformed(name: str, *, of_motion: bool) -> bool:
    """Return whether a control knows nothing of what a metric measures. `of_motion`: the metric measures motion."""
    lacks = CONTROLS[name].lacks if name in CONTROLS else ""
    return lacks == "clip" or (lacks == "motion" and of_motion)
