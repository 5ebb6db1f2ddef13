"""The phantom's brain as published files: CC2017 and BIDS trees and a lab's own arrays, all of the same responses.

Vertices of an atlas's own areas answer as the phantom's areas of the same names do; a third as many answer to nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.fakes.bids import BidsRun, write_bids
from tests.fakes.cc2017 import run_path
from tests.fakes.cifti import LEFT, RIGHT, Brain, write_dtseries
from tests.trainables.prepared.labs import write_csv
from trainables.datasets.base import ClipSequence
from trainables.datasets.phantom import stimuli
from trainables.datasets.phantom.bold import AREAS, LAG_TR, scan_subject
from trainables.datasets.phantom.drives import drives
from trainables.datasets.phantom.schedule import schedule
from trainables.datasets.prepared.read import PreparedSubject, open_prepared
from trainables.preparation import bids, cc2017, own_series
from trainables.preparation.atlas import read_atlas
from trainables.preparation.cc2017 import Cc2017Design, clip_names
from trainables.preparation.prepare import prepare

DESIGN = Cc2017Design(
    train=("seg1", "seg2", "seg3", "seg4", "seg5"),
    test=("test1",),
    validation=("seg5",),
    repeats={"seg": 2, "test": 4},
)
"""Six of the 23 segments, each of the published length."""
LABELS: Mapping[str, tuple[str, ...]] = {
    **{name: (name,) for name in ("V1", "V2", "V3", "V4", "MT", "MST")},
    "LO": ("LO1", "LO2", "LO3"),
    "TPOJ": ("TPOJ1", "TPOJ2", "TPOJ3"),
}
"""The areas of Glasser 2016 that answer as one of the phantom's."""
SILENT = ("46", "4", "OFC", "PFm")
"""Areas that answer to nothing."""
FRAMES, SIDE = 8, 64


@dataclass(frozen=True)
class Study:
    """What is written in each of the three forms."""

    design: Cc2017Design
    brain: Brain
    captions: Mapping[str, str]
    clips: ClipSequence
    """uint8 [clips, F, H, W, 3], in order."""
    responses: NDArray[np.float32]
    """Of each clip, without noise, [clips, vertices]."""
    noise: float

    @property
    def runs(self) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
        """Yield segment, repeat and volumes [245, vertices] of each run."""
        for index, segment in enumerate(self.design.segments):
            for repeat in range(1, self.design.runs_of(segment) + 1):
                yield segment, repeat, self._run(index, repeat)

    def _run(self, index: int, repeat: int) -> NDArray[np.float32]:
        rng = np.random.default_rng([17, index, repeat])
        (length,) = (length for length, leading in self.design.leading.items() if leading == 1)
        rows = slice(index * self.design.clips, (index + 1) * self.design.clips)
        values = self.noise * rng.standard_normal((length, self.responses.shape[1]))
        values[1 : 1 + self.design.clips] += self.responses[rows]
        values += np.linspace(-1, 1, length)[:, None] * rng.standard_normal(self.responses.shape[1])
        return (1e4 + 100 * values).astype(np.float32)


def make_study(atlas: Path, *, design: Cc2017Design = DESIGN, voxels: int = 900, noise: float = 0.5) -> Study:
    """Let one of the phantom's brains watch the phantom's clips."""
    factors = stimuli.sample_factors(np.random.default_rng(0), len(design.segments) * design.clips)
    clips = stimuli.DrawnClips(factors, FRAMES, SIDE)
    return watched(clips, stimuli.captions(factors), atlas=atlas, design=design, voxels=voxels, noise=noise)


def watched(
    clips: ClipSequence, captions: Sequence[str], *, atlas: Path, design: Cc2017Design, voxels: int, noise: float
) -> Study:
    """Let one of the phantom's brains watch `clips`, and put its voxels on vertices of the atlas."""
    names = clip_names(design.segments, design.clips)
    plan = schedule(["train"] * len(names), run_clips=20, rest_tr=3, repeats=1)
    seen = drives(clips, captions)
    scan = scan_subject(seen, plan, rng=np.random.default_rng(1), voxels=voxels, noise=0.0)
    answers = scan.bold[plan.onsets[:, 0] + LAG_TR]
    areas = np.array(list(AREAS))[scan.roi].tolist()
    brain, order = placed(atlas, [LABELS[area] for area in areas] + [SILENT] * (voxels // 3))
    silent = np.zeros((len(names), voxels // 3), np.float32)
    responses = np.concatenate([answers, silent], axis=1)[:, order]
    return Study(design, brain, dict(zip(names, captions, strict=True)), clips, responses, noise)


def placed(atlas: Path, wanted: list[tuple[str, ...]]) -> tuple[Brain, NDArray[np.int64]]:
    """Give each voxel a vertex of one of its areas; return the brain, and the voxel of each of its vertices."""
    area = read_atlas(atlas).area
    free: dict[str, list[tuple[str, int]]] = {}
    for structure in (LEFT, RIGHT):
        for vertex, name in area[structure].items():
            free.setdefault(name, []).append((structure, vertex))
    rng = np.random.default_rng(5)
    pools = {labels: [place for name in labels for place in free[name]] for labels in set(wanted)}
    taken = {labels: iter(rng.permutation(len(pool))) for labels, pool in pools.items()}
    places = [pools[labels][next(taken[labels])] for labels in wanted]
    order = np.array(sorted(range(len(places)), key=lambda voxel: places[voxel]))
    sides = {side: [places[voxel][1] for voxel in order if places[voxel][0] == side] for side in (LEFT, RIGHT)}
    return Brain(sides[LEFT], sides[RIGHT]), order


def write_films(study: Study, folder: Path, *, fps: int = 30) -> None:
    """Write the film of each segment: the eight frames of a clip are shown for a quarter of a second each."""
    folder.mkdir(parents=True)
    height, width = study.clips.shape[2:4]
    shown = np.arange(round(study.design.tr * fps)) * FRAMES // round(study.design.tr * fps)
    for index, segment in enumerate(study.design.segments):
        with av.open(str(folder / f"{segment}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=fps)
            stream.height, stream.width, stream.pix_fmt, stream.bit_rate = height, width, "yuv420p", 4_000_000
            for clip in range(index * study.design.clips, (index + 1) * study.design.clips):
                frames = study.clips[slice(clip, clip + 1)][0]
                for frame in frames[shown]:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())


def write_trees(study: Study, folder: Path) -> None:
    """Write the trees `cc2017` and `bids`, and `captions.json` for both."""
    films = folder / "cc2017" / "Stimuli" / "video_fmri_dataset" / "stimuli"
    write_films(study, films)
    runs = []
    for segment, repeat, values in study.runs:
        write_dtseries(run_path(folder / "cc2017", 1, segment, repeat), values, study.brain)
        runs.append(BidsRun("01", segment, values[1 : 1 + study.design.clips], run=str(repeat)))
    write_bids(folder / "bids", runs, study.brain)
    (folder / "bids" / "stimuli").symlink_to(films)
    (folder / "captions.json").write_text(json.dumps(study.captions))


def write_lab(study: Study, folder: Path, *, frames: NDArray[np.uint8], atlas: Path) -> None:
    """Write what a lab has that cleans its own data: clips as arrays, cleaned runs, tables."""
    (folder / "clips").mkdir(parents=True)
    (folder / "sub-01").mkdir()
    names = list(study.captions)
    for name, clip in zip(names, frames, strict=True):
        np.save(folder / "clips" / f"{name}.npy", clip)
    (folder / "captions.json").write_text(json.dumps(study.captions))
    design, events = study.design, []
    degree = 1 + int(design.clips * design.tr / 150)
    for segment, repeat, values in study.runs:
        run = f"{design.segments.index(segment) + 1:02d}-{segment}-{repeat}"
        np.save(folder / "sub-01" / f"{run}.npy", cleaned(values[1 : 1 + design.clips], degree))
        events += [(run, i * design.tr, design.tr, name) for i, name in enumerate(clip_names([segment], design.clips))]
    columns = dict(zip(("run_id", "onset_s", "duration_s", "clip_id"), zip(*events, strict=True), strict=True))
    write_csv(folder / "sub-01" / "events.csv", columns)
    segments = [segment for segment in design.segments for _ in range(design.clips)]
    split = [design.split_of(segment) for segment in segments]
    write_csv(folder / "clips.csv", {"clip_id": names, "source": segments, "split": split})
    write_csv(folder / "sub-01" / "voxels.csv", voxel_columns(study.brain, atlas))


def cleaned(values: NDArray[np.float32], degree: int) -> NDArray[np.float32]:
    """Remove a polynomial and standardise, vertex by vertex, as a lab's own script does."""
    time = np.linspace(-1, 1, len(values))
    residuals = [column - np.polyval(np.polyfit(time, column, degree), time) for column in values.T.astype(np.float64)]
    return np.stack([column / column.std(ddof=1) for column in residuals], axis=1).astype(np.float32)


def voxel_columns(brain: Brain, atlas: Path) -> dict[str, list[object]]:
    """Return structure, vertex and area of each vertex."""
    area = read_atlas(atlas).area
    places = [(LEFT, vertex) for vertex in brain.left] + [(RIGHT, vertex) for vertex in brain.right]
    return {
        "structure": [structure for structure, _ in places],
        "vertex": [vertex for _, vertex in places],
        "roi": [area[structure][vertex] for structure, vertex in places],
    }


def prepare_all(study: Study, folder: Path, atlas: Path) -> None:
    """Prepare the three forms."""
    size = {"frames": FRAMES, "resolution": SIDE}
    given = {**size, "captions": (folder / "captions.json",), "atlas": atlas}
    published = cc2017.Settings(folder=folder / "cc2017", **given)
    prepare(cc2017.open_source(published, design=study.design), published, folder / "as_cc2017")
    films = tuple(f"{segment}=stimuli/{segment}.mp4" for segment in study.design.segments)
    tree = {"films": films, "lag": 0.0, "confounds": "none", "split_by": "source"}
    as_bids = bids.Settings(folder=folder / "bids", **given, **tree)
    prepare(bids.open_source(as_bids), as_bids, folder / "as_bids")
    write_lab(study, folder / "lab", frames=np.asarray(open_prepared(folder / "as_cc2017").frames[:]), atlas=atlas)
    own = own_series.Settings(folder=folder / "lab", **size, tr=study.design.tr, lag=0.0, units="zscore")
    prepare(own_series.open_source(own), own, folder / "as_lab")


def differences(folder: Path) -> dict[str, float | bool]:
    """Compare the data sets as_bids and as_lab with as_cc2017."""
    found: dict[str, float | bool] = {}
    (first,) = open_prepared(folder / "as_cc2017").subjects
    for name in ("as_bids", "as_lab"):
        (other,) = open_prepared(folder / name).subjects
        found[f"{name}: largest difference of values"] = float(np.abs(first.values - other.values).max())
        found[f"{name}: same vertices and areas"] = _columns(first) == _columns(other)
        found[f"{name}: same clips in the same order"] = _shown(first) == _shown(other)
    return found


def _columns(subject: PreparedSubject) -> list[object]:
    assert subject.voxels.vertex is not None
    return [subject.voxels.vertex.tolist(), subject.voxels.roi.tolist()]


def _shown(subject: PreparedSubject) -> list[tuple[str, float, int]]:
    return [(event.clip_id, event.onset_s, event.repeat) for event in subject.events]
