"""The tables and figures of the paper, and what each needs to be reproduced as it was published (mind-animator.md D.1).

Sizes are those of the files that are downloaded, rounded, and licences those that their owners state; "not stated" and
"unknown" mean that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainables.config.trial import TrialConfig

GPU_DEVICES = Path("/dev")


@dataclass(frozen=True)
class Need:
    """Something that a machine may lack."""

    name: str
    what: str
    source: str
    size: str
    licence: str
    field: str | None = None
    """The config field that names it, `phantom` if it is lacking."""


@dataclass(frozen=True)
class Item:
    """A table or figure of the paper."""

    name: str
    title: str
    needs: tuple[str, ...]
    design: str | None = None
    """The file in `ablations/`, without its suffix."""
    note: str = ""
    """Why no design of ours reproduces it, and what does."""


NEEDS: Mapping[str, Need] = {
    need.name: need
    for need in (
        Need("CC2017", "fMRI and clips of three subjects", "doi.org/10.4231/R7SF2TCW", "8 GB per subject", "CC0 1.0"),
        Need("HCP", "7T fMRI and movies of three subjects", "db.humanconnectome.org, account", "unknown", "HCP terms"),
        Need("Algonauts", "fMRI and clips of ten subjects", "algonauts.csail.mit.edu/2021", "unknown", "not stated"),
        Need("SD", "Stable Diffusion v1-5", "hub: stable-diffusion-v1-5/stable-diffusion-v1-5", "4 GB",
             "CreativeML OpenRAIL-M", "backbones.stable_diffusion"),
        Need("CLIP-B/32", "CLIP ViT-B/32", "hub: openai/clip-vit-base-patch32", "0.6 GB", "MIT", "backbones.clip"),
        Need("ViT", "judge of images", "hub: google/vit-base-patch16-224", "0.35 GB", "Apache 2.0",
             "evaluate.image_classifier"),
        Need("VideoMAE", "judge of videos", "hub: MCG-NJU/videomae-base-finetuned-kinetics", "0.35 GB",
             "CC BY-NC 4.0", "evaluate.video_classifier"),
        Need("ViFi-CLIP", "judge of the VIFI-score",
             "github: muzairkhattak/ViFi-CLIP; then python -m platform.checkpoint import", "unknown", "MIT",
             "evaluate.vifi"),
        Need("GPU", "24 GB or more of memory, for videos of 512 pixels", "", "", ""),
    )
}  # fmt: skip
_KINDS_OF_DATA = ("prepared", "folder")
_DECODING = ("CC2017", "SD", "CLIP-B/32", "GPU")
_JUDGED = (*_DECODING, "ViT", "VideoMAE", "ViFi-CLIP")
_IN_PAGES = "drawn in the page of every finished trial"

ITEMS: Mapping[str, Item] = {
    item.name: item
    for item in (
        Item("table1", "description of the data sets", (), note="its facts are in docs/mind-animator.md D.1"),
        Item("table2", "systems on CC2017", _JUDGED, "table2"),
        Item("table3", "systems on HCP", ("HCP", *_JUDGED[1:]), "table3"),
        Item("table4", "systems on Algonauts 2021", ("Algonauts", *_JUDGED[1:]), "table4"),
        Item("table5", "retrieval by four systems", ("CC2017", "HCP", "CLIP-B/32"), "table5"),
        Item("table6", "without semantic, structure, motion; subject 1", _JUDGED, "table6"),
        Item("table8", "patch sizes", _JUDGED, "table8"),
        Item("table9", "loss weights", _JUDGED, "table9"),
        Item("table10", "alpha", _JUDGED, "table10"),
        Item("table11", "mask ratio", _JUDGED, "table11"),
        Item("table12", "as table 6; subject 2", _JUDGED, "table12"),
        Item("table13", "as table 6; subject 3", _JUDGED, "table13"),
        Item("table14", "systems on CC2017, by subject", _JUDGED, "table14"),
        Item("table15", "systems on HCP, by subject", ("HCP", *_JUDGED[1:]), "table15"),
        Item("table16", "systems on Algonauts 2021, by subject", ("Algonauts", *_JUDGED[1:]), "table16"),
        Item("table17", "retrieval by three models", ("CC2017", "HCP", "CLIP-B/32"), "table17"),
        Item("fig5", "examples", _JUDGED, note=_IN_PAGES),
        Item("fig6", "shuffle test", _JUDGED, "fig6"),
        Item("fig7", "fMRI guidance and EPE", _JUDGED, "fig7"),
        Item("fig8", "importance of voxels (with figs 9, 22 to 26)", _DECODING[:3], "figs8_9_22"),
        Item("fig10", "loss curves and chosen epochs", _DECODING[:3], "fig10"),
        Item("fig11", "fusions of fMRI and video (with fig 12)", _DECODING[:3], "fig11"),
        Item("fig13", "loss weights of 0", _DECODING[:3], "fig13"),
        Item("fig15", "more examples and failures (to fig 19)", _JUDGED, note=_IN_PAGES),
        Item("fig20", "as table 17", ("CC2017", "HCP", "CLIP-B/32"), "table17"),
        Item("fig21", "map of embeddings", ("CC2017", "CLIP-B/32"), "fig21"),
    )
}


def lacking(config: TrialConfig, *, devices: Path = GPU_DEVICES) -> dict[str, Need]:
    """Return what `config` and this machine lack, by name.

    A data set that is not simulated counts as that of the paper: which one it is, its card says.
    """
    measured = config.dataset.kind in _KINDS_OF_DATA
    has_gpu = any(devices.glob("nvidia[0-9]*"))
    present = {"GPU"} if has_gpu else set()
    present |= {"CC2017", "HCP", "Algonauts"} if measured else set()
    for need in NEEDS.values():
        if need.field is not None:
            section, _, name = need.field.partition(".")
            present |= {need.name} if getattr(getattr(config, section), name) != "phantom" else set()
    return {name: need for name, need in NEEDS.items() if name not in present}
