"""The reader of NSD: images as clips that stand still, betas by session, captions of COCO, and every trap."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from platform.errors import UserError
from platform.prepare import main
from platform.study.sweep_file import load_study
from tests.fakes import nsd as fake
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import PreparedSet, open_prepared
from trainables.preparation import nsd
from trainables.preparation.nsd_design import clip_name
from trainables.preparation.prepare import prepare

COCO = "captions_train2017.json"
SHARED = {"nsd00001", "nsd00002", "nsd00003", "nsd00004"}


def settings(folder: Path, **changes: object) -> nsd.Settings:
    fields = {"folder": folder, "captions": (folder / COCO,), "resolution": 32, "frames": 4}
    return nsd.Settings.model_validate({**fields, **changes})


def prepared(folder: Path, out: Path, **changes: object) -> PreparedSet:
    options = settings(folder, **changes)
    prepare(nsd.open_source(options), options, out)
    return open_prepared(out)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    folder = tmp_path_factory.mktemp("nsd")
    return prepared(fake.write_nsd(folder / "nsd", (1, 2)), folder / "data")


def test_clips_are_images_that_stand_still(data: PreparedSet) -> None:
    assert data.description.still
    assert (data.description.kind, data.description.previews) == ("rows", False)
    assert data.frames.shape == (fake.IMAGES, 4, 32, 32, 3)
    assert (np.asarray(data.frames[7]) == np.asarray(data.frames[7])[:1]).all()
    order = np.argsort([np.asarray(data.frames[number]).mean() for number in range(fake.IMAGES)])
    assert order.tolist() == np.argsort([fake.brightness(number + 1) for number in range(fake.IMAGES)]).tolist()
    assert "each is one image, repeated: not for motion" in (data.folder / "card.md").read_text()


def test_shared_images_are_the_test_and_captions_are_those_of_coco(data: PreparedSet) -> None:
    splits = {clip.clip_id: clip.split for clip in data.clips}
    assert [name for name, split in splits.items() if split == "test"] == [
        "nsd00001",
        "nsd00002",
        "nsd00003",
        "nsd00004",
    ]
    assert {"train", "validation"} <= set(splits.values())
    assert data.clips[0].captions == ("picture 0 seen a", "picture 0 seen b")


def test_betas_are_those_of_the_images_standardised_by_session(data: PreparedSet) -> None:
    for subject in data.subjects:
        assert len(subject.voxels) == len(fake.region())
        np.testing.assert_array_equal(subject.voxels.ijk, fake.region())
        number = {clip.clip_id: index + 1 for index, clip in enumerate(data.clips)}
        bright = np.array([fake.brightness(number[row.clip_id]) for row in subject.rows])
        r = [np.corrcoef(bright, column)[0, 1] for column in np.asarray(subject.values).T]
        assert min(r[: fake.VISUAL]) > 0.7 > 0.4 > max(np.abs(r[fake.VISUAL :]))
        training = np.array(
            [row.clip_id not in {"nsd00001", "nsd00002", "nsd00003", "nsd00004"} for row in subject.rows]
        )
        for session in ("session01", "session02"):
            rows = np.asarray(subject.values)[training & np.array([row.session == session for row in subject.rows])]
            np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-5)
            np.testing.assert_allclose(rows.std(axis=0, ddof=1), 1, atol=1e-5)
        ceiling = subject.voxels.noise_ceiling_n
        assert ceiling is not None
        assert ceiling[: fake.VISUAL].min() > ceiling[fake.VISUAL :].max()


def test_nifti_gives_the_same_rows(data: PreparedSet, tmp_path: Path) -> None:
    other = prepared(fake.write_nsd(tmp_path / "nsd", (1,), nifti=True), tmp_path / "data")
    np.testing.assert_array_equal(np.asarray(other.subjects[0].values), np.asarray(data.subjects[0].values))


SWEEP = (
    "target: {target}\ntrials: 2\nscheduler: fifo\nbase:\n  dataset: {{kind: prepared, path: {path}}}\nspace: {space}\n"
)


@pytest.mark.parametrize(
    ("target", "space"),
    [
        ("motion.rollout_mse", "{motion.depth: {choice: [1, 2]}}"),
        ("evaluate.ssim", "{structure.hidden: {choice: [8, 9]}}"),
    ],
)
def test_motion_is_refused_with_the_reason(data: PreparedSet, tmp_path: Path, target: str, space: str) -> None:
    (tmp_path / "study.yaml").write_text(SWEEP.format(target=target, path=data.folder, space=space))
    with pytest.raises(
        UserError, match=f"target: {target} is of motion or of whole videos, but each clip of .* one image"
    ):
        load_study(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    ("target", "space"),
    [
        ("semantic.projection_mse", "{semantic.hidden: {choice: [8, 9]}}"),
        ("structure.latent_mse", "{structure.hidden: {choice: [8, 9]}}"),
    ],
)
def test_semantic_and_structure_decoders_are_possible(
    data: PreparedSet, tmp_path: Path, target: str, space: str
) -> None:
    (tmp_path / "study.yaml").write_text(SWEEP.format(target=target, path=data.folder, space=space))
    assert target.partition(".")[0] in load_study(tmp_path / "study.yaml").stages


EXPERIMENT = Path("nsddata", "experiments", "nsd")
BETAS = Path("nsddata_betas", "ppdata", "subj01", "func1pt8mm", "betas_fithrf_GLMdenoise_RR")
BRICK = Path("nsddata_stimuli", "stimuli", "nsd", "nsd_stimuli.hdf5")


def without_key(folder: Path) -> None:
    savemat(folder / EXPERIMENT / "nsd_expdesign.mat", {"masterordering": [[1]], "sharedix": [[1]]})


def orders_too_much(folder: Path) -> None:
    content = {"masterordering": [[21]], "subjectim": np.ones((2, 20), np.int64), "sharedix": [[1]]}
    savemat(folder / EXPERIMENT / "nsd_expdesign.mat", content)


def other_brick(folder: Path) -> None:
    with h5py.File(folder / BRICK, "w") as file:
        file["imgBrick"] = np.zeros((3, 8, 8, 3), np.uint8)


def brick_of_floats(folder: Path) -> None:
    with h5py.File(folder / BRICK, "w") as file:
        file["imgBrick"] = np.zeros((fake.IMAGES, 8, 8, 3), np.float32)


def text(path: Path) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_text("no such thing")


def pointer(folder: Path) -> None:
    (folder / BRICK).write_text("/annex/objects/SHA256E-s39--a.hdf5\n")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (without_key, r"nsd_expdesign.mat: has no subjectim; nsd_expdesign.mat of nsddata"),
        (orders_too_much, r"orders trials by numbers up to 21 of \(2, 20\) images"),
        (text(EXPERIMENT / "nsd_expdesign.mat"), "nsd_expdesign.mat: cannot be read"),
        (lambda folder: (folder / EXPERIMENT / "nsd_expdesign.mat").unlink(), "there is no such file"),
        (other_brick, "has 3 images, but image 20 was shown"),
        (brick_of_floats, r"imgBrick is float32 \[36, 8, 8, 3\]; uint8"),
        (text(BRICK), "nsd_stimuli.hdf5: cannot be read"),
        (pointer, "its content was not downloaded .git-annex.; run `datalad get nsd_stimuli.hdf5`"),
        (lambda folder: (folder / COCO).write_text('{"annotations": []}'), "there is none for 20 of 20 images"),
        (lambda folder: (folder / COCO).write_text('{"annotations": [{}]}'), "annotation without image_id"),
    ],
)  # fmt: skip
def test_what_all_subjects_share_stops_everything(harm: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    folder = fake.write_nsd(tmp_path / "nsd")
    harm(folder)
    with pytest.raises(DatasetError, match=message):
        nsd.open_source(settings(folder))


def truncated(folder: Path) -> None:
    path = folder / BETAS / "betas_session02.hdf5"
    path.write_bytes(path.read_bytes()[:900])


def other_grid(folder: Path) -> None:
    with h5py.File(folder / BETAS / "betas_session02.hdf5", "w") as file:
        file["betas"] = np.zeros((30, 4, 5, 6), np.int16)


def no_roi(folder: Path) -> None:
    (folder / "nsddata" / "ppdata" / "subj01" / "func1pt8mm" / "roi" / "nsdgeneral.nii.gz").unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (truncated, "betas_session02.hdf5: cannot be read"),
        (other_grid, "has volumes of 4 x 5 x 6 voxels, but the ROI volume 5 x 5 x 4; betas and ROIs"),
        (no_roi, "nsdgeneral.nii.gz: there is no such file"),
    ],
)
def test_a_bad_file_of_one_subject_leaves_it_out(
    harm: Callable[[Path], object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fake.write_nsd(tmp_path / "nsd", (1, 2))
    harm(folder)
    captions = str(folder / COCO)
    out = str(tmp_path / "data")
    assert main(["nsd", str(folder), "--out", out, "--caption", captions, "--frames", "2", "--resolution", "32"]) == 1
    printed = capsys.readouterr()
    assert message in printed.out + printed.err
    assert open_prepared(tmp_path / "data").description.subjects == ("sub-02",)


def test_a_missing_session_is_a_warning_and_its_images_are_left_out(tmp_path: Path) -> None:
    folder = fake.write_nsd(tmp_path / "nsd")
    (folder / BETAS / "betas_session02.hdf5").unlink()
    source = nsd.open_source(settings(folder))
    assert "has 1 sessions, but 40 are published" in str(source.warnings[0].what)
    assert len([*source.clips()]) == len(set(fake.order()[: fake.TRIALS].tolist()))


def test_previews_are_refused_and_captions_may_be_by_clip(tmp_path: Path) -> None:
    folder = fake.write_nsd(tmp_path / "nsd")
    with pytest.raises(DatasetError, match="--previews: is not possible for NSD"):
        nsd.open_source(settings(folder, previews=True))
    own = tmp_path / "own.json"
    own.write_text(json.dumps({clip_name(number): f"text {number}" for number in range(1, fake.IMAGES + 1)}))
    clips = [*nsd.open_source(settings(folder, captions=(own,))).clips()]
    assert clips[0].captions == ("text 1",)
