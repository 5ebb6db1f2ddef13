import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.fakes.cifti import write_atlas, write_dtseries
from tests.fakes.hcp import (
    DESIGN,
    LAG,
    VERTICES,
    VISUAL,
    answers,
    areas,
    brain,
    run_path,
    run_values,
    write_films,
    write_runs,
)
from tests.programs import ROOT
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import open_prepared
from trainables.datasets.prepared.source import DataSource
from trainables.preparation import hcp_facts
from trainables.preparation.hcp import Settings, open_source
from trainables.preparation.hcp_clips import film_parts, movie_captions, place_clips
from trainables.preparation.noise_ceiling import correlation
from trainables.preparation.prepare import Prepared, prepare

AP, PA = DESIGN.runs[0], DESIGN.runs[1]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hcp")
    write_films(folder / "movies")
    write_runs(folder)
    names = [clip for part in film_parts(DESIGN, options(folder).rule) for clip in part.clips]
    (folder / "captions.json").write_text(json.dumps({name: f"scene of {name}" for name in names}))
    write_atlas(folder / "atlas.dlabel.nii", areas(), brain(subcortex=None))
    return folder


def options(folder: Path, **changes: Any) -> Settings:
    given = {"captions": (folder / "captions.json",), "atlas": folder / "atlas.dlabel.nii", "frames": 4}
    return Settings(folder=folder, **{**given, "resolution": 32, "clip_seconds": 1, "block_clips": 4, **changes})


def opened(folder: Path, **changes: Any) -> DataSource:
    return open_source(options(folder, **changes), design=DESIGN)


def prepared(folder: Path, out: Path, **changes: Any) -> Prepared:
    return prepare(opened(folder, **changes), options(folder, **changes), out)


def warnings(folder: Path, **changes: Any) -> str:
    return "\n".join(map(str, opened(folder, **changes).warnings))


def test_the_numbers_of_the_published_data() -> None:
    runs = hcp_facts.DESIGN.runs
    assert [run.volumes for run in runs] == [921, 918, 915, 901]
    assert sum(int(end - start) for run in runs for start, end in run.described) == 3040
    assert {round(run.clips[-1][1] - run.clips[-1][0], 3) for run in runs} == {83.375}
    assert (len(hcp_facts.SAW_VERSION_1), len(hcp_facts.SAW_VERSION_2)) == (147, 37)
    assert not hcp_facts.SAW_VERSION_1 & hcp_facts.SAW_VERSION_2
    parts = film_parts(hcp_facts.DESIGN, options(Path(), clip_seconds=2).rule)
    assert (len(parts), len(parts[-1].clips), parts[-1].first_s) == (15, 41, 818)


def test_from_files_to_a_prepared_data_set(published: Path, tmp_path: Path) -> None:
    result = prepared(published, tmp_path / "out")
    about = result.description
    assert (about.kind, about.lag_s, about.tr, about.previews, about.space) == ("series", LAG, 1, False, "fsLR-32k")
    data = open_prepared(tmp_path / "out")
    clips = {clip.clip_id: clip for clip in data.clips}
    assert len(clips) == 73 + 8
    assert clips["movie2_1_3"].caption == "scene of movie2_1_3"
    assert (clips["movie2_1_3"].start_s, clips["movie2_1_3"].end_s) == (6, 7)
    (subject,) = data.subjects
    assert subject.name == "sub-100610"
    assert subject.values.shape == (46 + 44 + 45 + 42, 2 * VERTICES)
    assert set(subject.voxels.roi) == {"V1", "MT", "46"}
    card = (tmp_path / "out" / "card.md").read_text()
    for part in (
        "films of version 1, runs Atlas",
        "WU-Minn HCP Open Access",
        "not allowed by the licence",
        "1U54MH091657",
    ):
        assert part in card


def test_the_montage_is_four_repeats_that_are_never_trained_on(published: Path, tmp_path: Path) -> None:
    prepared(published, tmp_path / "out")
    data = open_prepared(tmp_path / "out")
    test = [clip.clip_id for clip in data.clips if clip.split == "test"]
    assert test == [f"montage_{number}" for number in range(1, 9)]
    assert {clip.split for clip in data.clips if clip.clip_id not in test} == {"train", "validation"}
    (subject,) = data.subjects
    repeats = {event.repeat: event for event in subject.events if event.clip_id == "montage_3"}
    assert [repeats[number].onset_s for number in range(4)] == [35, 33, 34, 31]
    assert {event.repeat for event in subject.events if event.clip_id not in test} == {0}
    ceiling = subject.voxels.noise_ceiling_1
    assert ceiling is not None
    visual = np.tile(np.arange(VERTICES) < VISUAL, 2)
    assert np.median(ceiling[visual]) > 60
    assert np.median(ceiling[~visual]) < 30
    # a study resamples units of the test: the montage's blocks
    assert len({clip.block for clip in data.clips if clip.split == "test"}) == 2


def test_without_the_montage_whole_clips_of_films_are_the_test(published: Path) -> None:
    clips = [*opened(published, montage="exclude").clips()]
    assert {clip.split for clip in clips if clip.source == "montage"} == {"excluded"}
    films = {split: {clip.source for clip in clips if clip.split == split} for split in ("train", "validation", "test")}
    assert all(films.values())
    assert sum(map(len, films.values())) == len(set.union(*films.values())) == 8


def test_each_clip_has_its_own_response(published: Path, tmp_path: Path) -> None:
    prepared(published, tmp_path / "out")
    (subject,) = open_prepared(tmp_path / "out").subjects
    for run, row in zip(DESIGN.runs, subject.runs, strict=True):
        values = np.asarray(subject.values[row.first_row : row.first_row + row.volumes])
        r = correlation(values, np.repeat(answers(run)[:, None], 2 * VERTICES, axis=1))
        assert r[np.r_[:VISUAL, VERTICES : VERTICES + VISUAL]].mean() > 0.9
        np.testing.assert_allclose(values.std(axis=0, ddof=1), 1, rtol=1e-4)
    assert open_prepared(tmp_path / "out").description.lag_curve["sub-100610"].seconds


def test_areas_that_are_asked_for_are_taken_alone(published: Path) -> None:
    (whole,), (some,) = opened(published).subjects, opened(published, rois=("MT", "46")).subjects
    kept = np.isin(whole.voxels().roi, ["MT", "46"])
    assert (some.voxels().roi.tolist(), int(kept.sum())) == (whole.voxels().roi[kept].tolist(), 2 * 20)
    one, other = (next(iter(each.recordings()[1].blocks())).values for each in (some, whole))
    np.testing.assert_array_equal(one, other[:, kept])
    with pytest.raises(DatasetError, match=r"has no vertex in V9; areas of the atlas are 46, MT, V1"):
        opened(published, rois=("V9",)).subjects[0].voxels()
    with pytest.raises(DatasetError, match="--roi: needs an atlas"):
        opened(published, rois=("V1",), atlas=None)


SHARED = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the authors' captions and times are not there")
def test_the_files_of_the_authors_fit(tmp_path: Path) -> None:
    times = np.load(SHARED / "atlas" / "hcp_clip_times_24fps.npy", allow_pickle=True).item()
    for run, intervals in zip(hcp_facts.DESIGN.runs, times.values(), strict=True):
        assert (24 * np.array(run.described)).tolist() == intervals.tolist()
    captions = SHARED / "captions" / "hcp.h5"
    rule = options(tmp_path, captions=(captions,), clip_seconds=2).rule
    texts = movie_captions((captions,), hcp_facts.DESIGN, rule)
    assert texts["movie1_1_1"][0] == "a sign on the side of a road"
    assert (
        len(texts) == sum(int(end - start) // 2 for run in hcp_facts.DESIGN.runs for start, end in run.described) - 114
    )


def test_the_frames_are_those_at_that_time(published: Path, tmp_path: Path) -> None:
    """A clip of a film's second that moves little differs from one that moves fast, as planted."""
    clips = {clip.clip_id: clip for clip in opened(published).clips()}
    still = clips["movie1_1_1"].read()
    assert still.shape == (4, 32, 32, 3)
    assert not np.array_equal(still, clips["movie1_1_2"].read())


def test_the_version_is_that_of_the_list(published: Path, copy: Path) -> None:
    write_runs(copy, (115825,))
    with pytest.raises(DatasetError, match=r"100610 saw version 1 .* and 115825 saw version 2 .* prepare them apart"):
        opened(copy)
    with pytest.raises(
        DatasetError, match=r"_v2\.mp4: there is no such file, only version 1 is; the subjects saw version 2"
    ):
        opened(copy, subjects=("sub-115825",))
    assert [subject.name for subject in opened(copy, subjects=("sub-100610",)).subjects] == ["sub-100610"]
    forced = opened(copy, stimulus_version="1")
    assert any(
        "version 1 of the films is used, but 1 subject(s) saw another: 115825" in each for each in forced.facts.defects
    )
    (copy / "115825").rename(copy / "999999")
    with pytest.raises(DatasetError, match="999999: in neither list of who saw which version"):
        opened(copy)


def test_the_released_code_takes_version_2_and_the_card_says_what_leaks(copy: Path) -> None:
    write_films(copy / "movies", "2")
    write_captions(copy / "hcp.h5")
    source = opened(copy, profile="released_code", captions=(copy / "hcp.h5",), lag=None)
    clips = [*source.clips()]
    assert (source.facts.lag_s, len(clips), len({clip.clip_id for clip in clips})) == (4, seconds(), seconds())
    assert {clip.split for clip in clips if clip.source == "movie1_3"} >= {"train"}, "the leak is reproduced"
    assert sum(clip.split == "test" for clip in clips) == round(0.1 * seconds())
    defects = "\n".join(source.facts.defects)
    assert "version 2 of the films is used, but 1 subject(s) saw another: 100610 (version 1)" in defects
    assert "validation and test scores are too high" in defects


def seconds() -> int:
    return sum(int(end - start) for run in DESIGN.runs for start, end in run.described)


def write_captions(path: Path, count: int | None = None) -> Path:
    with h5py.File(path, "w") as file:
        file["Captions"] = [f"text {index}".encode() for index in range(seconds() if count is None else count)]
    return path


def test_captions_by_the_second_are_given_to_clips_of_any_length(published: Path, tmp_path: Path) -> None:
    file = write_captions(tmp_path / "hcp.h5")
    clips = {clip.clip_id: clip for clip in opened(published, captions=(file,), clip_seconds=2).clips()}
    assert clips["movie1_1_1"].captions == ("text 0", "text 1")
    assert clips["movie1_1_1"].start_s == 5, "clips lie where there are captions"
    assert len(clips["montage_1"].captions) == 2 * 4
    with pytest.raises(DatasetError, match=r"has 7 captions; 93 are needed, one for each second"):
        opened(published, captions=(write_captions(tmp_path / "few.h5", 7),))
    with pytest.raises(DatasetError, match="give --caption FILE"):
        opened(published, captions=())


def test_known_faults_of_the_processing_are_told(copy: Path) -> None:
    assert "AP runs (MOVIE1, MOVIE4) that were processed before April 2018 were unwarped in the wrong" in warnings(copy)
    notes = copy / "100610" / "release-notes" / "Movie1_preproc.txt"
    notes.parent.mkdir()
    notes.write_text("Data release, 13 files.\nReleased April 18, 2018\n")
    assert "unwarped" not in warnings(copy)
    assert [each.excluded for each in opened(copy).subjects[0].recordings()] == [None] * 4
    notes.write_text("Made on 2017-03-01, revised 13/45/2018")
    early = opened(copy).subjects[0].recordings()
    assert [each.run_id for each in early if each.excluded is not None] == ["MOVIE1_AP", "MOVIE4_AP"]
    assert "(release notes of 2017-03-01): unwarped in the wrong direction" in str(early[0].excluded)


def test_the_best_processing_of_most_runs_is_taken(copy: Path) -> None:
    assert "runs Atlas)" in opened(copy).facts.source
    for run in DESIGN.runs:
        shutil.copy(run_path(copy, 100610, run), run_path(copy, 100610, run, "Atlas_MSMAll"))
    shutil.copy(run_path(copy, 100610, AP), run_path(copy, 100610, AP, "Atlas_hp2000_clean"))
    assert "runs Atlas_MSMAll)" in opened(copy).facts.source
    assert "runs Atlas_hp2000_clean)" in opened(copy, processing="Atlas_hp2000_clean").facts.source
    (copy / "100610").rename(copy / "130114")
    assert "its registration MSM-All was made from wrongly processed runs; use --processing" in warnings(copy)
    assert "MSM-All" not in warnings(copy, processing="Atlas")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def another_length(path: Path) -> None:
    write_dtseries(path, np.ones((40, len(brain())), "f4"), brain(), tr=1.0)


def other_vertices(path: Path) -> None:
    write_dtseries(path, np.ones((PA.volumes, 79), "f4"), replace(brain(), left=brain().left[1:]), tr=1.0)


def pointer(path: Path) -> None:
    path.unlink()
    path.symlink_to("../.git/annex/objects/x.nii")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Path.unlink, "there is no such file"),
        (truncated, "is truncated"),
        (another_length, "has 40 volumes; 44 are expected"),
        (other_vertices, "CORTEX_LEFT 29 of 32492"),
        (pointer, "run `datalad get"),
    ],
)
def test_a_bad_run_is_left_out_and_named(copy: Path, change: Callable[[Path], None], reason: str) -> None:
    change(run_path(copy, 100610, PA))
    lost = [each for each in opened(copy).subjects[0].recordings() if each.excluded is not None]
    assert [each.run_id for each in lost] == ["MOVIE2_PA"]
    assert reason in str(lost[0].excluded)
    assert (lost[0].rows, lost[0].shown) == (0, [])


def test_the_mesh_of_59k_is_refused(copy: Path) -> None:
    fine = replace(brain(), mesh=59292)
    for run in DESIGN.runs:
        path = run_path(copy, 100610, run)
        write_dtseries(path, run_values(run, 1), fine, tr=1.0)
    with pytest.raises(DatasetError, match=r"has 59292 vertices per hemisphere; .*use the `_Atlas\.\.\.` file"):
        opened(copy).subjects[0].voxels()
    for run in DESIGN.runs:
        path = run_path(copy, 100610, run)
        path.rename(run_path(copy, 100610, run, "Atlas_1.6mm_MSMAll_hp2000_clean"))
    with pytest.raises(DatasetError, match=r"has no run such as .*59k grayordinates, but the atlas is for 32k"):
        opened(copy)


def test_swapped_hemispheres_give_the_same(published: Path, copy: Path) -> None:
    order = np.r_[VERTICES : 2 * VERTICES, :VERTICES, 2 * VERTICES : len(brain())]
    for run in DESIGN.runs:
        values = run_values(run, 100610)[:, order]
        write_dtseries(run_path(copy, 100610, run), values, brain(swapped=True), tr=1.0)
    assert "the right hemisphere comes first" in warnings(copy)
    pairs = zip(opened(published).subjects[0].recordings(), opened(copy).subjects[0].recordings(), strict=True)
    for one, two in pairs:
        np.testing.assert_array_equal(next(iter(one.blocks())).values, next(iter(two.blocks())).values)


def test_a_nan_becomes_zeros_and_a_wrong_tr_is_a_warning(copy: Path) -> None:
    values = run_values(AP, 100610)
    values[5, 7] = np.nan
    write_dtseries(run_path(copy, 100610, AP), values, brain(), tr=2.0)
    assert "its header says 2 s per volume; 1 s are used" in warnings(copy)
    block = next(iter(opened(copy).subjects[0].recordings()[0].blocks())).values
    assert not block[:, 7].any()
    assert block[:, :7].any(axis=0).all()


def test_two_subjects_with_the_same_data_are_refused(copy: Path, tmp_path: Path) -> None:
    write_runs(copy, (100610,))
    shutil.copytree(copy / "100610", copy / "102816")
    with pytest.raises(DatasetError, match="hold the same values; every subject needs data of its own"):
        prepared(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_films_that_do_not_fit_are_told(published: Path, copy: Path) -> None:
    write_films(copy / "movies", later_s=3.0)
    assert "moves at 16 s, 30 s" in warnings(copy)
    assert "the published times, which are those of version 2, do not fit it" in warnings(copy)
    folder = copy / "movies" / "Pre_20140821_version"
    shutil.rmtree(folder)
    shutil.copytree(published / "movies" / folder.name, folder)
    short, long = (folder / run.film_file("1") for run in (DESIGN.runs[3], AP))
    shutil.copy(long, short)
    assert "lasts 46.0 s, but its run 42 s" in warnings(copy)
    assert "shows another montage at its end than 7T_MOVIE1_CC1.mp4" in warnings(copy)
    shutil.copy(published / "movies" / folder.name / short.name, long)
    short_film = replace(DESIGN, runs=(replace(AP, clips=(*AP.clips[:-1], (32.5833, 45.9))), *DESIGN.runs[1:]))
    with pytest.raises(DatasetError, match=r"lasts 42\.0 s; 45\.9 s are needed; download it again"):
        open_source(options(copy), design=short_film)


def test_bad_folders_and_options_are_refused(published: Path, copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        opened(tmp_path / "none")
    with pytest.raises(DatasetError, match="--previews: is not possible for HCP 7T"):
        opened(published, previews=True)
    with pytest.raises(
        DatasetError, match=r"--split-by: is not possible for HCP 7T; .*the montage is never in training"
    ):
        opened(published, split_by="clip")
    (copy / "movies" / "Pre_20140821_version" / "7T_MOVIE2_HO1.mp4").unlink()
    with pytest.raises(DatasetError, match=r"7T_MOVIE2_HO1\.mp4: there is no such file; check the path"):
        opened(copy)
    shutil.rmtree(copy / "100610")
    with pytest.raises(DatasetError, match="has no folder of a subject, such as 100610; unpack the movie runs there"):
        opened(copy)


def test_a_part_is_one_split(published: Path) -> None:
    rule = options(published, montage="exclude", test_fraction=0.2).rule
    placed = place_clips(film_parts(DESIGN, rule), rule)
    of_block: dict[int, set[str]] = {}
    for place in placed.values():
        of_block.setdefault(place.block, set()).add(place.split)
    assert {len(splits) for splits in of_block.values()} == {1}
