"""From a small fake data set in the published layout to a prepared one, for every reader of videos."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.fakes import algonauts2021 as fake2021
from tests.fakes import algonauts2025 as fake2025
from tests.fakes import bids as fake_bids
from tests.fakes import bmd as fake_bmd
from tests.fakes import cc2017 as fake_cc2017
from tests.fakes import hcp as fake_hcp
from tests.fakes import mosaic as fake_mosaic
from tests.fakes import neuroclips as fake_pack
from tests.fakes.cifti import reduced_brain, write_atlas
from tests.fakes.films import write_film
from trainables.preparation import algonauts2021, algonauts2025, bids, bmd, cc2017, hcp, mosaic, neuroclips
from trainables.preparation.cc2017 import clip_names
from trainables.preparation.hcp_clips import film_parts
from trainables.preparation.prepare import Prepared, prepare

_SIDE = 32
Harm = Callable[[Path], None]
"""Is called with the published folder before it is opened."""
VIDEOS = fake_bmd.Videos(train=30, test=6)


def unharmed(folder: Path) -> None:
    """Leave the folder as it is."""


def _captions(folder: Path, names: list[str]) -> tuple[Path, ...]:
    (folder / "captions.json").write_text(json.dumps({name: f"scene {name}" for name in names}))
    return (folder / "captions.json",)


def prepare_cc2017(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    """V1 and MT of both hemispheres answer to motion."""
    planted = fake_cc2017.write_cc2017(folder)
    brain = replace(planted.brain, subcortex=None)
    atlas = write_atlas(folder / "atlas.dlabel.nii", fake_cc2017.areas(brain), brain)
    captions = _captions(folder, clip_names(planted.design.segments, planted.design.clips))
    options = cc2017.Settings(folder=folder, captions=captions, atlas=atlas, resolution=_SIDE)
    harm(folder)
    return prepare(cc2017.open_source(options, design=planted.design), options, out)


def prepare_bids(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    """V1 of the left hemisphere answers to motion, 4 to 8 s after a clip's onset."""
    brain, clips = reduced_brain(30, subcortex=None), 24
    names = [f"clip{number:02d}.mp4" for number in range(clips)]
    speeds = np.random.default_rng(0).permutation(np.linspace(0, 5, clips))
    for name, speed in zip(names, speeds, strict=True):
        write_film(folder / "stimuli" / name, [float(speed)], clip_s=2.0, fps=8, first_pattern=names.index(name))
    runs = []
    for run in range(8):  # six films of four clips, two of which are shown twice
        shown = [(index + 4 * (run % 6)) % clips for index in range(4)]
        values = np.random.default_rng([3, run]).normal(0, 20, (32, len(brain)))
        for place, clip in enumerate(shown):
            values[3 * place + 2 : 3 * place + 4, :10] += 100 * speeds[clip]
        rows = [{"onset": 6.0 * place, "duration": 2.0, "stim_file": names[clip]} for place, clip in enumerate(shown)]
        runs.append(fake_bids.BidsRun("01", f"film{run % 6}", (values + 1e4).astype("f4"), rows, run=str(run // 6 + 1)))
    fake_bids.write_bids(folder, runs, brain)
    labels = [f"{side}_{area}_ROI" for side in "LR" for area in ["V1"] * 10 + ["46"] * 20]
    atlas = write_atlas(folder / "atlas.dlabel.nii", labels, brain)
    captions = _captions(folder, [name.removesuffix(".mp4") for name in names])
    options = bids.Settings(folder=folder, captions=captions, atlas=atlas, resolution=_SIDE, lag=4.0, split_by="run")
    harm(folder)
    return prepare(bids.open_source(options), options, out)


def prepare_bmd(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    """The first vertices of the left hemisphere, which are in V1, answer to motion."""
    fake_bmd.write_bmd(folder, subjects=(1,), videos=VIDEOS)
    brain = reduced_brain()
    labels = fake_cc2017.areas(replace(brain, subcortex=None)) + [""] * 20
    atlas = write_atlas(folder / "atlas.dlabel.nii", labels, brain)
    options = bmd.Settings(folder=folder, atlas=atlas, resolution=_SIDE)
    harm(folder)
    return prepare(bmd.open_source(options), options, out)


def prepare_algonauts2021(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    """Every region answers to motion."""
    fake2021.write_algonauts2021(folder, subjects=(1,), videos=VIDEOS)
    captions = _captions(folder, [number for numbers in VIDEOS.numbers.values() for number in numbers])
    options = algonauts2021.Settings(folder=folder, captions=captions, resolution=_SIDE)
    harm(folder)
    return prepare(algonauts2021.open_source(options), options, out)


def prepare_algonauts2025(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    """The first parcels answer to motion."""
    fake2025.write_algonauts2025(folder, subjects=(1,))
    options = algonauts2025.Settings(folder=folder, resolution=_SIDE)
    harm(folder)
    return prepare(algonauts2025.open_source(options), options, out)


def prepare_neuroclips(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    """The first voxels answer to motion; no places are known."""
    fake_pack.write_neuroclips(folder, subjects=(1,))
    options = neuroclips.Settings(folder=folder, resolution=_SIDE)
    harm(folder)
    return prepare(neuroclips.open_source(options, design=fake_pack.SMALL), options, out)


def prepare_mosaic(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    """V1 of the left hemisphere answers to motion."""
    fake_mosaic.write_mosaic(folder, subjects=(1,))
    half, visual = fake_mosaic.COLUMNS // 2, fake_mosaic.VISUAL
    labels = [f"{side}_{area}_ROI" for side in "LR" for area in ["V1"] * visual + ["46"] * (half - visual)]
    atlas = write_atlas(folder / "atlas.dlabel.nii", labels, reduced_brain(half, subcortex=None))
    names = [fake_mosaic.stem(number) for numbers in fake_mosaic.VIDEOS.numbers.values() for number in numbers]
    options = mosaic.Settings(folder=folder, captions=_captions(folder, names), atlas=atlas, resolution=_SIDE)
    harm(folder)
    return prepare(mosaic.open_source(options), options, out)


def prepare_hcp(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    """V1 and MT of both hemispheres answer to motion, 5 s later."""
    fake_hcp.write_films(folder / "movies")
    fake_hcp.write_runs(folder)
    atlas = write_atlas(folder / "atlas.dlabel.nii", fake_hcp.areas(), fake_hcp.brain(subcortex=None))
    fields: dict[str, Any] = {"captions": (folder / "captions.json",), "clip_seconds": 1, "resolution": _SIDE}
    options = hcp.Settings(folder=folder, atlas=atlas, **fields)
    _captions(folder, [clip for part in film_parts(fake_hcp.DESIGN, options.rule) for clip in part.clips])
    harm(folder)
    return prepare(hcp.open_source(options, design=fake_hcp.DESIGN), options, out)


FAKES: Mapping[str, Callable[..., Prepared]] = {
    "cc2017": prepare_cc2017,
    "bids": prepare_bids,
    "bmd": prepare_bmd,
    "algonauts2021": prepare_algonauts2021,
    "algonauts2025": prepare_algonauts2025,
    "neuroclips": prepare_neuroclips,
    "mosaic": prepare_mosaic,
    "hcp": prepare_hcp,
}
"""Reader to the function that writes its fake into a folder, harms it, and writes the data set into another."""
PLANTED: Mapping[str, tuple[str, ...]] = {
    "cc2017": ("V1 L", "V1 R", "MT L", "MT R"),
    "bids": ("V1 L",),
    "bmd": ("V1 L",),
    "mosaic": ("V1 L",),
    "hcp": ("V1 L", "V1 R", "MT L", "MT R"),
}
"""Reader to the regions that answer, where the places of voxels are known."""
