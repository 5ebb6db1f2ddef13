import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.bids import BidsRun, write_bids
from tests.fakes.cc2017 import SMALL, run_values, write_cc2017
from tests.fakes.cifti import reduced_brain, write_dtseries
from tests.fakes.films import write_film
from tests.fakes.volumes import write_gifti, write_nifti
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import open_prepared
from trainables.datasets.prepared.source import DataSource, RunRecording
from trainables.datasets.prepared.tables import ClipRow, read_typed_table
from trainables.preparation import cc2017
from trainables.preparation.bids import Settings, open_source
from trainables.preparation.bids_files import parse_name, scan
from trainables.preparation.confounds import read_confounds
from trainables.preparation.filtering import make_projection
from trainables.preparation.prepare import prepare

BRAIN = reduced_brain()
VOLUMES = 40
CLIPS = [f"train/clip {index:02}.mp4" for index in range(8)] + [f"test/clip {index:02}.mp4" for index in range(4)]


def bold(seed: int, volumes: int = VOLUMES) -> np.ndarray:
    return np.random.default_rng(seed).normal(1e4, 100, (volumes, len(BRAIN))).astype("f4")


def events(clips: list[str]) -> list[dict[str, Any]]:
    """Return rows as BOLD Moments has them: a clip every 6 s with a jittered onset, and an oddball."""
    rows = [
        {"onset": 2.004 + 6 * index, "duration": 3.0, "stim_file": clip, "trial_type": clip.partition("/")[0]}
        for index, clip in enumerate(clips)
    ]
    return [*rows, {"onset": 60.0, "duration": 3.0, "stim_file": "n/a", "trial_type": "oddball"}]


def runs() -> list[BidsRun]:
    shared: dict[str, Any] = {"sub": "01", "ses": "02", "sidecar": {"RepetitionTime": 2.0, "StartTime": 0.0}}
    return [
        BidsRun(task="train", run="1", values=bold(1), events=events(CLIPS[:8]), **shared),
        BidsRun(task="train", run="10", values=bold(2), events=events(CLIPS[7::-1]), **shared),
        BidsRun(task="train", run="2", values=bold(3), events=events(CLIPS[:8]), **shared),
        BidsRun(task="test", run="1", values=bold(4), events=events(CLIPS[8:]), **shared),
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = write_bids(tmp_path / "bids", runs(), BRAIN)
    for index, clip in enumerate(CLIPS):
        write_film(folder / "stimuli" / clip, [float(index)], clip_s=0.5, fps=24)
    (folder / "captions.json").write_text(json.dumps({clip.removesuffix(".mp4"): f"scene {clip}" for clip in CLIPS}))
    return folder


def options(folder: Path, **changes: Any) -> Settings:
    given = {"captions": (folder / "captions.json",), "frames": 4, "resolution": 32, "confounds": "motion6"}
    return Settings(folder=folder, **{**given, **changes})


def recordings(source: DataSource) -> dict[str, RunRecording]:
    return {recording.run_id: recording for recording in source.subjects[0].recordings()}


def test_from_a_tree_to_a_prepared_data_set(root: Path, tmp_path: Path) -> None:
    source = open_source(options(root))
    result = prepare(source, options(root), tmp_path / "out")
    assert (result.description.space, result.description.tr, result.description.lag_s) == ("fsLR-32k", 2.0, 5.0)
    (subject,) = open_prepared(tmp_path / "out").subjects
    assert [run.run_id for run in subject.runs] == [
        "ses-02_task-test_run-1",
        "ses-02_task-train_run-1",
        "ses-02_task-train_run-2",
        "ses-02_task-train_run-10",
    ]
    clips = {clip.clip_id: clip for clip in read_typed_table(tmp_path / "out" / "clips.parquet", ClipRow)}
    assert clips["test/clip 03"].split == "test"
    assert {clip.split for name, clip in clips.items() if name.startswith("train")} == {"train", "validation"}
    assert len(subject.events) == 28
    assert "1 of 5 events name no stimulus; they are ignored" in str(source.warnings[0])


def test_confounds_and_drift_leave_in_one_projection(root: Path) -> None:
    recording = recordings(open_source(options(root)))["ses-02_task-train_run-2"]
    (block,) = recording.blocks()
    run = runs()[2]
    table = read_confounds(run.confounds(root), strategy="motion6")
    expected = make_projection(VOLUMES, 2.0, confounds=table.values).clean(run.values[:, :120]).values
    np.testing.assert_allclose(block.values, expected, atol=1e-5)


def test_clips_that_moved_volumes_answer_are_left_out(tmp_path: Path, root: Path) -> None:
    displacement = [0.0] * VOLUMES
    displacement[6] = 0.9  # 12 to 14 s: answers the clip at 8 s
    write_bids(root, [replace(runs()[0], displacement=displacement)], BRAIN)
    recording = recordings(open_source(options(root)))["ses-02_task-train_run-1"]
    assert [shown.clip_id for shown in recording.shown] == [
        clip.removesuffix(".mp4") for clip in CLIPS[:8] if clip != CLIPS[1]
    ]


def test_times_follow_the_sidecars(root: Path) -> None:
    path = runs()[0].bold(root)
    sidecar = path.with_name(path.name.replace(".dtseries.nii", ".json"))
    for content, start in (
        ({"RepetitionTime": 2.0, "SliceTimingCorrected": True}, 1.0),
        ({"RepetitionTime": 2.0, "SliceTimingCorrected": True, "StartTime": 0.9}, 0.9),
        ({"RepetitionTime": 2.0}, 0.0),
        ({"SliceTimingCorrected": False}, 0.0),  # the time is inherited from the root
    ):
        (root / "task-train_bold.json").write_text(json.dumps({"RepetitionTime": 2.0}))
        sidecar.write_text(json.dumps(content))
        assert recordings(open_source(options(root)))["ses-02_task-train_run-1"].start_time_s == start


def test_volumes_in_a_mask_are_read_where_they_are_asked_for(root: Path) -> None:
    inside = np.zeros((4, 5, 3), "u1")
    inside[1:3, 1:4] = 1
    for run in runs():
        stem = run.bold(root).with_name(f"{run.stem}_space-MNI152NLin2009cAsym")
        values = np.random.default_rng(len(run.stem)).normal(1e3, 10, (4, 5, 3, VOLUMES)).astype("f4")
        write_nifti(stem.with_name(f"{stem.name}_desc-preproc_bold.nii.gz"), values)
        write_nifti(stem.with_name(f"{stem.name}_desc-brain_mask.nii.gz"), inside)
        stem.with_name(f"{stem.name}_desc-preproc_bold.json").write_text('{"RepetitionTime": 2.0}')
    assert open_source(options(root)).facts.space == "fsLR-32k"
    source = open_source(options(root, space="MNI152NLin2009cAsym"))
    assert source.facts.space == "MNI152NLin2009cAsym"
    voxels = source.subjects[0].voxels()
    assert voxels.ijk is not None
    np.testing.assert_array_equal(voxels.ijk, np.argwhere(inside))
    (block,) = recordings(source)["ses-02_task-train_run-1"].blocks()
    assert block.values.shape == (VOLUMES, 18)
    np.testing.assert_allclose(block.values.std(axis=0, ddof=1), 1, rtol=1e-4)


def write_surfaces(root: Path) -> dict[str, np.ndarray]:
    """Write GIFTI of both hemispheres for all runs, 24 and 26 vertices; return the values by run."""
    written = {}
    for seed, run in enumerate(runs()):
        values = np.random.default_rng(seed).normal(1e3, 10, (VOLUMES, 50)).astype("f4")
        for hemisphere, columns in {"L": slice(0, 24), "R": slice(24, 50)}.items():
            path = run.bold(root).with_name(f"{run.stem}_hemi-{hemisphere}_space-fsaverage5_bold.func.gii")
            write_gifti(path, values[:, columns])
            path.with_name(path.name.replace(".func.gii", ".json")).write_text('{"RepetitionTime": 2.0}')
        written[run.stem.removeprefix("sub-01_")] = values
    return written


def test_surfaces_of_both_hemispheres_are_read_where_they_are_asked_for(root: Path, tmp_path: Path) -> None:
    written = write_surfaces(root)
    assert open_source(options(root)).facts.space == "fsLR-32k"
    asked = options(root, space="fsaverage5", confounds="none", split_by="clip")
    source = open_source(asked)
    assert source.facts.space == "fsaverage5"
    voxels = source.subjects[0].voxels()
    assert voxels.vertex is not None
    assert voxels.vertex.tolist() == [*range(24), *range(26)]
    read = recordings(source)
    projection = make_projection(VOLUMES, 2.0)
    for run, values in written.items():
        (block,) = read[run].blocks()
        np.testing.assert_allclose(block.values, projection.clean(values).values, atol=1e-5)
    assert prepare(source, asked, tmp_path / "out").report.errors == ()
    assert open_prepared(tmp_path / "out").subjects[0].values.shape == (4 * VOLUMES, 50)


def test_a_surface_without_its_other_hemisphere_loses_its_run_alone(root: Path) -> None:
    write_surfaces(root)
    left = f"{runs()[1].stem}_hemi-L_space-fsaverage5_bold.func.gii"
    right = runs()[1].bold(root).with_name(left.replace("hemi-L", "hemi-R"))
    right.unlink()
    excluded = recordings(open_source(options(root, space="fsaverage5")))
    assert [name for name, run in excluded.items() if run.excluded is not None] == ["ses-02_task-train_run-10"]
    assert right.name in str(excluded["ses-02_task-train_run-10"].excluded)
    write_gifti(right, np.ones((VOLUMES - 1, 26), "f4"))
    run = recordings(open_source(options(root, space="fsaverage5")))["ses-02_task-train_run-10"]
    assert f"has {VOLUMES - 1} volumes, but {left} has {VOLUMES}" in str(run.excluded)
    write_gifti(right, np.ones((VOLUMES, 25), "f4"))
    run = recordings(open_source(options(root, space="fsaverage5")))["ses-02_task-train_run-10"]
    assert "CORTEX_RIGHT 25 of 25" in str(run.excluded)
    right.write_text("<GIFTI")
    run = recordings(open_source(options(root, space="fsaverage5")))["ses-02_task-train_run-10"]
    assert "cannot be read as GIFTI" in str(run.excluded)


def test_a_bad_run_is_left_out_with_the_reason(root: Path) -> None:
    train, ten, two, test = runs()
    train.bold(root).write_bytes(train.bold(root).read_bytes()[:-50])
    ten.confounds(root).write_text("".join(ten.confounds(root).read_text().splitlines(keepends=True)[:-1]))
    two.bold(root).unlink()
    test_events = test.folder(root) / f"{test.stem}_events.tsv"
    test_events.write_text(test_events.read_text() + "900\t3\ttest/clip 00.mp4\ttest\n")
    more = replace(train, run="3")
    write_bids(root, [more], BRAIN)
    excluded = {
        name: each.excluded for name, each in recordings(open_source(options(root, confounds="motion6"))).items()
    }
    assert excluded.pop("ses-02_task-train_run-3") is None
    reasons = {
        "ses-02_task-train_run-2": "has events, but no bold; run fMRIPrep for this run",
        "ses-02_task-train_run-10": "has 39 rows, but sub-01_ses-02_task-train_run-10_space-fsLR_"
        "den-91k_bold.dtseries.nii has 40 volumes",
        "ses-02_task-test_run-1": "1 event(s) begin after its end (80 s), the first at 900 s",
    }
    for name, reason in reasons.items():
        assert reason in str(excluded[name])
    assert "is truncated" in str(excluded["ses-02_task-train_run-1"])


def test_bad_trees_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        open_source(options(tmp_path / "none"))
    with pytest.raises(DatasetError, match="has no file whose name begins with sub-"):
        open_source(options(root / "stimuli"))
    with pytest.raises(DatasetError, match="give --caption FILE"):
        open_source(options(root, captions=()))
    lacking = tmp_path / "captions.json"
    for content, message in (
        ("{", "cannot be read"),
        ("[]", "holds list; an object from clip to text"),
        ('{"test/clip 00": "a"}', r"there is none for 11 clip\(s\): test/clip 01"),
        ('{"test/clip 00": " "}', "every clip needs texts with at least one word"),
    ):
        lacking.write_text(content)
        with pytest.raises(DatasetError, match=message):
            open_source(options(root, captions=(lacking,)))
    with pytest.raises(DatasetError, match=r"no preprocessed run was found; fMRIPrep must have been run with --level"):
        open_source(options(root, space="fsaverage5"))
    with pytest.raises(ValueError, match="no confound strategy 'motion99'"):
        open_source(options(root, confounds="motion99"))
    (root / "stimuli" / CLIPS[3]).unlink()
    with pytest.raises(DatasetError, match=r"1 clip\(s\) that events name are not there: train/clip 03; copy the stim"):
        open_source(options(root))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("onset\tduration\n1\t2\n", "has the columns onset, duration; onset, duration and stim_file or stim_id or"),
        ("onset\tduration\tstim_file\nx\t2\ta.mp4\n", "line 2: could not convert string to float: 'x'"),
        ("", "is empty"),
    ],
)
def test_a_bad_table_of_events_loses_its_run_alone(root: Path, content: str, message: str) -> None:
    (runs()[0].folder(root) / f"{runs()[0].stem}_events.tsv").write_text(content)
    source = open_source(options(root))
    assert any(problem.fatal and message in str(problem) for problem in source.warnings)
    assert len(recordings(source)) == 3


@pytest.mark.parametrize(
    ("sidecar", "message"),
    [
        ({"RepetitionTime": 2000}, "RepetitionTime is 2000; it must be in seconds; this looks like milliseconds"),
        ({"EchoTime": 0.03}, "has no RepetitionTime in its .json; add it, in seconds"),
    ],
)
def test_a_time_that_is_missing_or_in_milliseconds_loses_its_run_alone(
    root: Path, sidecar: dict[str, float], message: str
) -> None:
    write_bids(root, [replace(runs()[0], sidecar=sidecar)], BRAIN)
    excluded = [each.excluded for each in recordings(open_source(options(root))).values() if each.excluded is not None]
    assert len(excluded) == 1
    assert message in excluded[0]


def test_runs_of_different_repetition_times_are_prepared_apart(root: Path) -> None:
    write_bids(root, [replace(runs()[3], sidecar={"RepetitionTime": 1.5})], BRAIN)
    with pytest.raises(DatasetError, match=r"different repetition times: 1\.5, 2 s; prepare tasks apart, with --task"):
        open_source(options(root))
    assert open_source(options(root, tasks=("test",))).facts.tr == 1.5


def test_mixed_spaces_are_refused(root: Path) -> None:
    run = runs()[0]
    run.bold(root).rename(run.bold(root).with_name(f"{run.stem}_space-fsLR_den-170k_bold.dtseries.nii"))
    with pytest.raises(DatasetError, match=r"mixes spaces: fsLR-32k \(.*\), fsLR-59k"):
        open_source(options(root))


def test_a_run_without_events_is_left_out_and_named(root: Path) -> None:
    write_bids(root, [replace(runs()[0], task="rest", events=())], BRAIN)
    assert any(
        "task-rest" in str(warning) and "has no events" in str(warning)
        for warning in open_source(options(root)).warnings
    )


def test_names_of_ciftify_and_unpadded_runs_are_understood(tmp_path: Path) -> None:
    folder = tmp_path / "derivatives" / "ciftify" / "sub-01" / "results" / "ses-action01_task-action_run-1"
    path = folder / "sub-01_ses-action01_task-action_run-1_Atlas.dtseries.nii"
    write_dtseries(path, bold(0, 4), BRAIN)
    events_of_run = tmp_path / "sub-01" / "ses-action01" / "func" / "sub-01_ses-action01_task-action_run-01_events.tsv"
    events_of_run.parent.mkdir(parents=True)
    events_of_run.write_text("onset\n")
    tree = scan(tmp_path)
    assert [*tree.bold()] == [*tree.events()]
    assert parse_name(path).entities["ses"] == "action01"


@pytest.mark.long
def test_the_same_study_as_cc2017_and_as_bids_gives_the_same_rows(tmp_path: Path) -> None:
    published = write_cc2017(tmp_path / "cc2017")
    root = tmp_path / "bids"
    names = cc2017.clip_names(SMALL.segments, SMALL.clips)
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({name: f"scene {name}" for name in names}))
    written = []
    for segment in SMALL.segments:
        for repeat in range(1, SMALL.runs_of(segment) + 1):
            values = run_values(published.speeds[segment], SMALL, BRAIN, noise=0.5, seed=(1, repeat))
            first = SMALL.leading[len(values)]
            written.append(BidsRun("01", segment, values[first : first + SMALL.clips], run=str(repeat)))
        source = published.folder / "Stimuli" / "video_fmri_dataset" / "stimuli" / f"{segment}.mp4"
        (root / "stimuli").mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / "stimuli")
    write_bids(root, written, BRAIN)
    films = tuple(f"{segment}=stimuli/{segment}.mp4" for segment in SMALL.segments)
    as_bids = options(root, captions=(captions,), films=films, lag=0.0, confounds="none", split_by="source")
    as_cc2017 = cc2017.Settings(folder=published.folder, captions=(captions,), frames=4, resolution=32)
    prepare(open_source(as_bids), as_bids, tmp_path / "one")
    prepare(cc2017.open_source(as_cc2017, design=SMALL), as_cc2017, tmp_path / "two")
    (one,), (two,) = (open_prepared(tmp_path / name).subjects for name in ("one", "two"))
    assert [run.run_id for run in one.runs] == [f"task-{run.task}_run-{run.run_id[-1]}" for run in two.runs]
    np.testing.assert_allclose(np.asarray(one.values), np.asarray(two.values), atol=1e-5)
    shown = [[(e.clip_id, e.onset_s, e.repeat) for e in subject.events] for subject in (one, two)]
    assert shown[0] == shown[1]
    clips = [read_typed_table(tmp_path / name / "clips.parquet", ClipRow) for name in ("one", "two")]
    assert {clip.clip_id: clip.sha256 for clip in clips[0]} == {clip.clip_id: clip.sha256 for clip in clips[1]}
