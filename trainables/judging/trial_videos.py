"""The videos of a trial for its evaluation: true clips, reconstructions and controls at one size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from storage.runs import Artifacts
from trainables.config.data import AnyDataset
from trainables.config.video import EvaluateConfig
from trainables.datasets.base import ClipSequence, Stimuli
from trainables.datasets.phantom.stimuli import COLOURS, SHAPES, Factors, from_json, object_mask
from trainables.datasets.stored_clips import read_stimuli
from trainables.graph import resolve_reference, video_stage
from trainables.judging.controls import CONTROLS, GENERATOR_CEILING, SYSTEM, TRUTH
from trainables.judging.protocols import PROTOCOLS, Fitting, Protocol, unfit
from trainables.judging.video_sequences import ControlVideos, StoredVideos, VideoSequence
from trainables.metrics.clip import Clip
from trainables.metrics.objects import KnownObject
from trainables.tensors import map_tensors

_MADE = {"system": "videos", "plain": "plain", "ceiling": "ceiling"}
_CONTROLS = {"ceiling": "ceiling", "ceiling_plain": "ceiling_plain"}


@dataclass(frozen=True)
class PlantedObjects:
    """The object that each clip of a simulated data set shows, drawn when one is looked at."""

    factors: Factors
    frames: int
    resolution: int

    def __getitem__(self, row: int, /) -> KnownObject:
        """Draw the object of one clip."""
        own = self.factors.select(slice(row, row + 1))
        (mask,) = object_mask(own, frames=self.frames, resolution=self.resolution)
        return KnownObject(mask, int(own.shape[0]), int(own.colour[0]), (len(SHAPES), len(COLOURS)))


@dataclass(frozen=True)
class SplitVideos:
    """The n clips of one split. All videos have the same shape."""

    split: str
    clips: tuple[int, ...]
    """Indices of the clips in the data set."""
    names: tuple[str, ...]
    captions: tuple[str, ...]
    videos: Mapping[str, VideoSequence]
    """Of `truth` and of what was made for each clip; shuffled and static videos follow from them."""
    mean_latent: Clip
    """uint8 [F,H,W,3], the same for all clips."""
    planted: PlantedObjects | None
    """None if the data set is not simulated, or if its protocol chooses frames or leaves borders in."""
    fitting: Fitting
    still: bool = False
    """Whether the system made one frame per clip, which is held."""

    @property
    def has_own_ceiling(self) -> bool:
        """Whether the system brought a noise ceiling of its own, so that the generator's has another name."""
        return GENERATOR_CEILING in self.videos

    @property
    def shape(self) -> tuple[int, tuple[int, int]]:
        """Frames of each video, and their height and width, borders included."""
        frames, height, width, _ = self.mean_latent.shape
        return frames, (height, width)


def read_material(
    inputs: Mapping[str, Artifacts], config: EvaluateConfig, dataset: AnyDataset
) -> Iterator[SplitVideos]:
    """Yield the splits of which videos were made, from the runs `clips`, `voxels`, `controls` and that of the system.

    Videos are read when they are looked at. A system may bring a `ceiling` of its own: what it makes of true features.
    The generator's is then `ceiling_generator`.

    Raises:
        ValueError: Reconstructions and controls are of different clips.
    """
    maker = video_stage(inputs)
    videos = map_tensors(inputs[maker].path("videos.safetensors"))
    row_of = {clip: row for row, clip in enumerate(videos["index"].tolist())}
    index = map_tensors(inputs["controls"].path("videos.safetensors"))["index"].tolist()
    if missing := [clip for clip in index if clip not in row_of]:
        raise ValueError(
            f"{maker} has no video of {len(missing)} of the {len(index)} clips of the controls (the first is "
            f"{read_stimuli(inputs, dataset).source[missing[0]]}); both must be of the same clips"
        )
    for material in read_controls(inputs, config, dataset):
        rows = [row_of[clip] for clip in material.clips]
        fit = partial(material.fitting, role="prediction")
        frames, height, width, _ = videos["videos"].shape[1:]
        _require_fit(
            material.fitting.protocol, maker, (material.fitting.frames if frames == 1 else frames, height, width)
        )
        made = {name: StoredVideos(videos[key], rows, fit) for name, key in _MADE.items() if key in videos}
        of_generator = {GENERATOR_CEILING: material.videos["ceiling"]} if "ceiling" in made else {}
        yield replace(material, videos={**material.videos, **of_generator, **made}, still=frames == 1)


def read_controls(
    inputs: Mapping[str, Artifacts], config: EvaluateConfig, dataset: AnyDataset
) -> Iterator[SplitVideos]:
    """Yield the splits with the truth and the controls that no decoder changes, from `clips`, `voxels`, `controls`."""
    stimuli, split = read_stimuli(inputs, dataset), inputs["voxels"].json("voxels.json")["split"]
    controls = map_tensors(inputs["controls"].path("videos.safetensors"))
    index = controls["index"].tolist()
    training = [clip for clip, member in enumerate(split) if member == "train"]
    rng = np.random.default_rng(config.seed)
    for name in ("validation", "test"):
        rows = [row for row, clip in enumerate(index) if split[clip] == name]
        if not rows:
            continue
        chosen = [index[row] for row in rows]
        stored: dict[str, tuple[ClipSequence, list[int]]] = {
            TRUTH: (stimuli.clips, chosen),
            "random_clip": (stimuli.clips, rng.choice(training, size=len(rows)).tolist()),
            **{system: (controls[key], rows) for system, key in _CONTROLS.items()},
            **_from_library(inputs, stimuli.clips, chosen),
        }
        fitting = _fitting(config, stimuli.clips, controls["mean_latent"])
        yield _material(name, stored, controls["mean_latent"], stimuli, fitting=fitting)


def _from_library(
    inputs: Mapping[str, Artifacts], clips: ClipSequence, chosen: list[int]
) -> dict[str, tuple[ClipSequence, list[int]]]:
    """Return the controls of the stage `library` for the clips `chosen`; none in trials of earlier versions."""
    if "library" not in inputs:
        return {}
    library = map_tensors(inputs["library"].path("library.safetensors"))
    nearest = dict(zip(library["index"].tolist(), library["nearest_clip"].tolist(), strict=True))
    return {
        "mean_clip": (library["mean_clip"][None], [0] * len(chosen)),
        "nearest_clip": (clips, [nearest[clip] for clip in chosen]),
    }


def with_added_controls(material: SplitVideos) -> SplitVideos:
    """Return `material` with the controls that plug-ins make."""
    truth, reconstruction = material.videos[TRUTH], material.videos[SYSTEM]
    added = {
        name: ControlVideos(name, truth, reconstruction, resolve_reference(control.function))
        for name, control in CONTROLS.items()
        if control.function is not None
    }
    return replace(material, videos={**material.videos, **added})


def _material(
    split: str,
    stored: Mapping[str, tuple[ClipSequence, list[int]]],
    mean_latent: Clip,
    stimuli: Stimuli,
    *,
    fitting: Fitting,
) -> SplitVideos:
    chosen = stored[TRUTH][1]
    truth, prediction = partial(fitting, role="truth"), partial(fitting, role="prediction")
    return SplitVideos(
        split,
        tuple(chosen),
        tuple(str(stimuli.source[clip]) for clip in chosen),
        tuple(stimuli.captions[clip][0] for clip in chosen),
        {
            name: StoredVideos(clips, rows, truth if name == TRUTH else prediction)
            for name, (clips, rows) in stored.items()
        },
        prediction(mean_latent),
        _planted(stimuli.factors if fitting.keeps_content else None, chosen, fitting),
        fitting,
    )


def _fitting(config: EvaluateConfig, clips: ClipSequence, mean_latent: Clip) -> Fitting:
    """Return the shape of all videos. Raises `ValueError` if the protocol cannot judge them."""
    protocol, side = PROTOCOLS[config.protocol], config.resolution
    if side is not None and protocol.side is not None:
        raise ValueError(f"evaluate.resolution: {protocol.id} fixes it at {protocol.side}; leave it out")
    _, frames, height, width, _ = clips.shape
    _require_fit(protocol, "the data set", clips.shape[1:4])
    _require_fit(protocol, "the generator", mean_latent.shape[:3])
    size = (side, side) if side is not None else (height, width)
    return Fitting.of(protocol, frames=min(frames, mean_latent.shape[0]), size=size)


def _require_fit(protocol: Protocol, name: str, shape: Sequence[int]) -> None:
    frames, height, width = shape
    for reason in unfit(protocol, name, frames=frames, size=(height, width)):
        raise ValueError(f"evaluate.protocol: {protocol.id} cannot judge these videos: {reason}")


def _planted(factors: Mapping[str, Any] | None, chosen: list[int], fitting: Fitting) -> PlantedObjects | None:
    if factors is None:
        return None
    return PlantedObjects(from_json(factors).select(np.array(chosen)), fitting.frames, fitting.size[0])
