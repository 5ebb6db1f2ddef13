"""The phantoms as data sets, and the responses of their brains to any clips."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trainables.config.data import AppearingConfig, FolderConfig, PhantomConfig, PhantomWorld
from trainables.datasets.base import BrainData, Stimuli, Subject
from trainables.datasets.clusters import clusters_named
from trainables.datasets.phantom import stimuli
from trainables.datasets.phantom.bold import AREAS, LAG_TR, TR, scan_subject
from trainables.datasets.phantom.drives import DRIVES, drives
from trainables.datasets.phantom.schedule import Schedule, schedule
from trainables.datasets.prepared.tables import VoxelTable
from trainables.datasets.presentations import Presentations, Showing


def phantom_clips(config: PhantomWorld) -> Stimuli:
    """Generate a phantom's clips: the same bytes from the same config."""
    count = len(_split(config))
    factors = _factors(config, np.random.default_rng([config.seed, 0]), count)
    if config.unseen_combinations:
        unseen = np.array([name == "test" for name in _split(config)])
        scenes, rng = np.array(_scenes(config)), np.random.default_rng([config.seed, 2])
        factors = stimuli.with_unseen(factors, unseen, rng, scenes=scenes)
    return Stimuli(
        clips=stimuli.DrawnClips(factors, config.frames, config.resolution),
        captions=[(caption,) for caption in stimuli.captions(factors)],
        source=[f"phantom:{config.seed}:{index}" for index in range(count)],
        factors=factors.to_json(),
    )


def phantom_brains(config: PhantomWorld, shown: Stimuli) -> BrainData:
    """Simulate a phantom's responses to its clips: the same bytes from the same config."""
    split = _split(config)
    plan = _plan(config)
    names = [f"phantom{index + 1:02d}" for index in range(config.subjects)]
    brains = watched(shown, plan, split=split, block=_blocks(plan), names=names, config=config)
    return replace(brains, cluster=_clusters(config))


def phantom_presentations(config: PhantomWorld) -> Presentations:
    """Return when a phantom's brains watch its clips: all at the same time."""
    plan = _plan(config)
    shown = Showing(plan.onsets, plan.runs, plan.volumes)
    return Presentations("series", _split(config), LAG_TR, [shown] * config.subjects, _clusters(config))


def _plan(config: PhantomWorld) -> Schedule:
    return schedule(_split(config), run_clips=config.block_clips, rest_tr=config.rest_tr, repeats=config.repeats)


def _split(config: PhantomWorld) -> list[str]:
    counts = {"train": config.train_clips, "validation": config.validation_clips, "test": config.test_clips}
    return [name for name, count in counts.items() for _ in range(count)]


def _scenes(config: PhantomWorld) -> list[int]:
    """Return the number of each clip's scene. No scene lies in two splits."""
    counts = (config.train_clips, config.validation_clips, config.test_clips)
    scenes: list[int] = []
    for count in counts:
        first = scenes[-1] + 1 if scenes else 0
        scenes += [first + index // config.scene_clips for index in range(count)]
    return scenes


def _clusters(config: PhantomWorld) -> tuple[str, ...]:
    return () if config.scene_clips == 1 else clusters_named("scene", _scenes(config))


def _factors(config: PhantomWorld, rng: np.random.Generator, count: int) -> stimuli.Factors:
    scenes = None if config.scene_clips == 1 else np.array(_scenes(config))
    if isinstance(config, AppearingConfig):
        return stimuli.sample_appearing(rng, count, onset=config.onset, scenes=scenes)
    if isinstance(config, PhantomConfig):
        return stimuli.sample_factors(rng, count, scenes=scenes)
    raise TypeError(f"{type(config).__name__}: no clips are defined for this kind of phantom")


def watched(
    shown: Stimuli,
    plan: Schedule,
    *,
    split: Sequence[str],
    block: Sequence[int],
    names: Sequence[str],
    config: PhantomWorld | FolderConfig,
) -> BrainData:
    """Simulate the responses of phantom subjects, one for each of `names`, to any clips that are shown by `plan`.

    Subjects differ, and each follows from the config's seed.
    """
    onset = config.onset if isinstance(config, AppearingConfig) else 0.0
    driven = drives(shown.clips, shown.first_captions, onset=onset)
    subjects = []
    for index, name in enumerate(names):
        rng = np.random.default_rng([config.seed, 1, index])
        scan = scan_subject(driven, plan, rng=rng, voxels=config.voxels, noise=config.noise)
        planted = {"share": scan.share, "place": scan.place, "delay": scan.delay}
        voxels = VoxelTable(np.array(list(AREAS))[scan.roi])
        subjects.append(Subject(name, scan.bold, plan.onsets, plan.runs, voxels, planted))
    return BrainData(
        kind="series",
        subjects=subjects,
        split=split,
        block=block,
        lag_tr=LAG_TR,
        tr=TR,
        roi_names=tuple(AREAS),
        drives=DRIVES,
    )


def _blocks(plan: Schedule) -> list[int]:
    """Return each clip's block: the run in which it was first shown, numbered without gaps."""
    first_run = np.searchsorted(plan.runs, plan.onsets[:, 0], side="right")
    return [int(block) for block in np.unique(first_run, return_inverse=True)[1]]
