"""A folder of clips with captions and fMRI as a data set."""

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from platform.sweep import main as sweep
from tests.trainables.dataset_tools import run_data, run_stage
from tests.trainables.folders import BAD, config, damage, moving, report, write_folder, write_gif, write_mp4, write_png
from trainables import datasets
from trainables.datasets.clip_names import natural
from trainables.datasets.clips import read_clip
from trainables.datasets.errors import ClipError, DatasetError
from trainables.graph import stage_runs
from trainables.stages import clips, voxels

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "mine")


def test_a_good_folder_becomes_data_and_voxels(folder: Path, tmp_path: Path) -> None:
    wanted = config(folder, voxels__subject=1)
    assert not datasets.check(wanted).errors
    made = run_data(wanted, tmp_path)
    facts, shown = made["data"].json("data.json"), made["clips"].json("clips.json")
    clips = load_file(made["clips"].path("clips.safetensors"))["clips"]
    assert shown["source"][:3] == ["clip0.gif", "clip1.gif", "clip2.gif"]
    assert shown["source"][-1] == "clip11.gif"
    assert clips.shape == (12, 8, 32, 32, 3)
    assert sorted(set(facts["split"])) == ["test", "train", "validation"]
    assert not made["data"].path("planted_0.safetensors").exists()
    result = run_stage(voxels.run, wanted, tmp_path / "voxels", made)
    arrays = load_file(result.path("voxels.safetensors"))
    rows = arrays["fmri"] * arrays["std"] + arrays["mean"]
    np.testing.assert_allclose(rows, np.load(folder / "fmri.npy")[1], atol=1e-5)
    assert result.json("voxels.json")["lag_tr"] == 0


def test_rows_are_never_lagged(folder: Path, tmp_path: Path) -> None:
    """Each row answers its clip: a lag would pair it with another one."""
    assert "error: voxels.lag_tr: is 1; each row of this fMRI is the response to its clip" in report(
        folder, voxels__lag_tr=1
    )
    assert "error: voxels.window: is 2; rows of presentations are no series" in report(folder, voxels__window=2)
    made = run_data(config(folder), tmp_path)
    with pytest.raises(DatasetError, match=r"voxels\.lag_tr is 1; each row"):
        run_stage(voxels.run, config(folder, voxels__lag_tr=1), tmp_path / "lagged", made)
    assert not datasets.check(config(folder, voxels__lag_tr=0)).errors
    simulated = config(folder, dataset__simulate=True, voxels__lag_tr=1)
    assert not datasets.check(simulated).errors, "simulated fMRI is a series"


def test_simulated_brains_watch_the_clips(folder: Path, tmp_path: Path) -> None:
    (folder / "fmri.npy").unlink()
    wanted = config(folder, dataset__simulate=True, dataset__voxels=64)
    assert not datasets.check(wanted).errors
    made = run_data(wanted, tmp_path)
    assert made["data"].json("data.json")["lag_tr"] == 2
    assert load_file(made["data"].path("planted_0.safetensors"))["share"].shape == (64, 5)
    result = run_stage(voxels.run, wanted, tmp_path / "voxels", made)
    arrays = load_file(result.path("voxels.safetensors"))
    assert arrays["fmri"].shape == (12, 64)
    assert np.isfinite(arrays["fmri"]).all()


def test_formats_give_the_same_frames(tmp_path: Path) -> None:
    clip = moving(3, frames=8, side=80)
    write_png(tmp_path / "a", clip)
    write_gif(tmp_path / "b.gif", clip)
    write_mp4(tmp_path / "c.mp4", clip)
    exact, gif, mp4 = (
        read_clip(tmp_path / name, frames=8, resolution=80).astype(int) for name in ("a", "b.gif", "c.mp4")
    )
    np.testing.assert_array_equal(exact, clip)
    np.testing.assert_array_equal(gif, clip)  # 25 colours fit into the palette
    assert np.abs(mp4 - clip).mean() < 12
    assert np.abs(mp4 - clip).mean() < 0.3 * np.abs(mp4[::-1] - clip).mean()


def test_frames_are_taken_evenly_from_first_to_last(tmp_path: Path) -> None:
    clip = np.stack([np.full((32, 32, 3), 10 * index, np.uint8) for index in range(21)])
    write_png(tmp_path / "long", clip)
    write_png(tmp_path / "short", clip[:3])
    assert read_clip(tmp_path / "long", frames=5, resolution=32)[:, 0, 0, 0].tolist() == [0, 50, 100, 150, 200]
    assert read_clip(tmp_path / "short", frames=5, resolution=32)[:, 0, 0, 0].tolist() == [0, 0, 10, 20, 20]


def test_frames_that_the_gif_writer_merged_count_in_the_data_set_too(tmp_path: Path) -> None:
    clip = moving(3, frames=8)
    clip[2] = clip[3] = clip[4] = clip[1]
    write_gif(tmp_path / "a.gif", clip)
    with Image.open(tmp_path / "a.gif") as animation:
        assert getattr(animation, "n_frames", 0) == 5
    np.testing.assert_array_equal(read_clip(tmp_path / "a.gif", frames=8, resolution=40), clip)


def test_a_clip_of_too_many_frames_is_refused(tmp_path: Path) -> None:
    pictures = [Image.new("L", (8, 8), index % 2) for index in range(1002)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=10)
    with pytest.raises(ClipError, match="more than 1000 frames; cut it"):
        read_clip(tmp_path / "a.gif", frames=8, resolution=8)


def test_crop_and_its_bounds(tmp_path: Path) -> None:
    clip = moving(0, side=80)
    write_png(tmp_path / "a", clip)
    part = read_clip(tmp_path / "a", frames=6, resolution=40, crop=(10, 50, 20, 60))
    np.testing.assert_array_equal(part, clip[:, 10:50, 20:60])
    with pytest.raises(ClipError, match="80 x 80 pixels are smaller than crop"):
        read_clip(tmp_path / "a", frames=6, resolution=40, crop=(0, 81, 0, 80))
    with pytest.raises(ValueError, match="top < bottom"):
        config(tmp_path, dataset__crop=[5, 5, 0, 10])


def test_names_sort_by_their_numbers() -> None:
    assert sorted(["clip10", "clip2", "b1", "clip2b", "1"], key=natural) == ["1", "b1", "clip2", "clip2b", "clip10"]


@pytest.mark.parametrize("form", ["list", "object", "stems", "csv", "txt"])
def test_captions_in_every_format(folder: Path, tmp_path: Path, form: str) -> None:
    texts = {f"clip{index}.gif": f"thing, number {index}" for index in range(12)}
    (folder / "captions.json").unlink()
    file = folder / ("captions.csv" if form == "csv" else "captions.txt" if form == "txt" else "captions.json")
    backwards = dict(reversed(texts.items()))
    content = {
        "list": json.dumps(list(texts.values())),
        "object": json.dumps(backwards),
        "stems": json.dumps({name.removesuffix(".gif"): text for name, text in backwards.items()}),
        "csv": "name,caption\n" + "\n".join(f'{name},"{text}"' for name, text in backwards.items()),
        "txt": "\n".join(texts.values()) + "\n",
    }
    file.write_text(content[form])
    made = run_stage(clips.run, config(folder, dataset__captions=file.name), tmp_path / "clips")
    assert made.json("clips.json")["captions"] == [[text] for text in texts.values()]


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named(folder: Path, tmp_path: Path, kind: str) -> None:
    damage(folder, kind)
    found = datasets.check(config(folder))
    where, what = BAD[kind]
    assert len(found.errors) == 1, str(found)
    assert where in found.errors[0].where
    with pytest.raises(DatasetError, match=f"(?s){what}"):
        run_data(config(folder), tmp_path)
    *finished, failed = (stage for stage in ("clips", "data") if (tmp_path / stage).exists())
    assert not any((tmp_path / failed).iterdir()), "nothing may be written"
    assert finished == (["clips"] if "fmri" in found.errors[0].where else [])


def test_everything_wrong_is_told_at_once(folder: Path) -> None:
    for kind in ("truncated gif", "fewer captions", "nan"):
        damage(folder, kind)
    told = report(folder)
    assert [part in told for part in ("clip4.gif", "11 captions", "row 3, column 7")] == [True] * 3


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    assert "there is no such folder" in report(tmp_path / "nowhere")
    assert "there are no clips" in report(tmp_path)


def test_constant_voxels_are_a_warning_and_left_out(folder: Path, tmp_path: Path) -> None:
    fmri = np.load(folder / "fmri.npy")
    fmri[0, :, [3, 9]] = 2.5
    np.save(folder / "fmri.npy", fmri)
    found = datasets.check(config(folder))
    assert not found.errors
    assert "2 constant voxel(s): [3, 9]" in str(found.warnings[0])
    made = run_data(config(folder), tmp_path)
    assert made["data"].json("data.json")["warnings"] == [str(problem) for problem in found.warnings]
    result = run_stage(voxels.run, config(folder), tmp_path / "voxels", made)
    assert result.json("voxels.json")["constant"] == [3, 9]


def test_a_clip_twice_is_a_leak_across_splits_and_a_warning_within_one(folder: Path) -> None:
    split = list(datasets.load(config(folder).dataset).brains.split)
    train = [index for index, of in enumerate(split) if of == "train"]
    test = split.index("test")
    original = (folder / "clips" / f"clip{train[0]}.gif").read_bytes()
    (folder / "clips" / f"clip{train[1]}.gif").write_bytes(original)
    found = datasets.check(config(folder))
    assert not found.errors
    assert f"'clip{train[0]}.gif' and 'clip{train[1]}.gif'" in str(found.warnings[0])
    (folder / "clips" / f"clip{test}.gif").write_bytes(original)
    errors = datasets.check(config(folder)).errors
    assert errors
    for error in errors:
        assert f"'clip{test}.gif'" in error.where
        assert {"train", "test"} <= set(error.what.split())


def test_what_is_no_clip_is_ignored_with_a_warning(folder: Path) -> None:
    (folder / "clips" / "photo.jpg").write_bytes(b"")
    (folder / "clips" / ".DS_Store").write_bytes(b"")
    found = datasets.check(config(folder))
    assert [Path(problem.where).name for problem in found.problems if "ignored" in problem.right] == ["photo.jpg"]
    assert not found.errors


def test_a_relative_path_is_meant_from_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    relative = config(Path("mine"))
    monkeypatch.chdir("/")
    assert not datasets.check(relative).errors


@pytest.fixture
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which verdicts are remembered, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mindsweep" / "verdicts"


def test_a_folder_is_read_once_while_it_stays_as_it_is(folder: Path, remembered: Path) -> None:
    wanted = config(folder)
    before = datasets.check(wanted)
    (verdict,) = remembered.iterdir()
    with patch("trainables.datasets.folder.read_clip", side_effect=AssertionError("read again")):
        assert datasets.check(wanted) == before
    verdict.write_bytes(b"damaged")
    assert datasets.check(wanted) == before, "a damaged verdict counts as none"
    damage(folder, "truncated gif")
    assert datasets.check(wanted).errors
    damage(folder, "no captions")
    assert any("captions" in problem.where for problem in datasets.check(wanted).errors)


def test_a_cache_that_cannot_be_written_costs_time_only(folder: Path, remembered: Path) -> None:
    remembered.parent.parent.mkdir(parents=True)
    remembered.parent.touch()
    assert datasets.check(config(folder)) == datasets.check(config(folder))


def test_a_verdict_on_files_that_changed_meanwhile_is_not_remembered(folder: Path, remembered: Path) -> None:
    def replaced(source: Path, **options: Any) -> Any:
        np.save(folder / "fmri.npy", np.random.default_rng(1).normal(size=np.load(folder / "fmri.npy").shape))
        return read_clip(source, **options)

    with patch("trainables.datasets.folder.read_clip", side_effect=replaced):
        datasets.check(config(folder))
    assert not remembered.exists()


def test_a_second_plan_decodes_nothing(folder: Path, remembered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder.parent / "study.yaml"
    file.write_text("target: semantic.loss\nspace: {semantic.train.lr: {choice: [0.1, 0.2]}}\ntrials: 2\n")
    here = ["--set", "dataset.kind=folder", "--set", f"dataset.path={folder}", "--home", str(folder.parent / "home")]
    decoded = []
    for _ in range(2):
        with patch("trainables.datasets.folder.read_clip", side_effect=read_clip) as reading:
            assert sweep([str(file), *here, "--dry-run"]) == 0, capsys.readouterr().err
        decoded.append(reading.call_count)
    assert decoded[0] > 0
    assert decoded[1] == 0
    assert not (folder.parent / "home").exists()


def test_clips_of_a_folder_are_decoded_one_at_a_time(folder: Path) -> None:
    """Neither a check nor the stage `clips` keeps clips: their peak memory is that of few clips, not of all."""

    def peak(count: int) -> int:
        for index in range(count):
            write_gif(folder / "clips" / f"clip{index}.gif", moving(index))
        (folder / "captions.json").write_text(json.dumps(["a thing"] * count))
        np.save(folder / "fmri.npy", np.random.default_rng(0).normal(size=(count, 7)))
        wanted = config(folder, dataset__resolution=96)
        tracemalloc.start()
        assert not datasets.check(wanted).errors
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    few = peak(12)
    assert peak(48) < 1.3 * few


def test_identity_follows_content_and_not_the_place(folder: Path, tmp_path: Path) -> None:
    def identity(root: Path) -> str:
        return stage_runs(config(root), seed=0, targets=["data"])[-1].identity

    first = identity(folder)
    shutil.copytree(folder, tmp_path / "copy")
    assert identity(tmp_path / "copy") == first
    write_gif(tmp_path / "copy" / "clips" / "clip3.gif", moving(77))
    changed = identity(tmp_path / "copy")
    assert changed != first
    np.save(tmp_path / "copy" / "fmri.npy", np.zeros((12, 70)))
    assert identity(tmp_path / "copy") not in (first, changed)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real clips (../shared/data) are not here")
def test_real_clips_with_their_captions(tmp_path: Path) -> None:
    """Eight side-by-side GIFs of CC2017, captions joined by clip number, watched by a simulated brain."""
    import h5py

    root = tmp_path / "cc2017"
    shutil.copytree(SHARED / "clips" / "mindvideo", root / "clips")
    with h5py.File(SHARED / "captions" / "cc2017_test.h5") as file:
        texts = [text.decode() for text in file["Test_captions"][:]]
    named = {path.stem: texts[int(path.stem.removeprefix("test")) - 1] for path in (root / "clips").glob("*.gif")}
    (root / "captions.json").write_text(json.dumps(named))
    wanted = config(root, dataset__simulate=True, dataset__crop=[2, 258, 2, 258], dataset__resolution=64)
    assert not datasets.check(wanted).errors
    made = run_data(wanted, tmp_path)
    facts, shown = made["data"].json("data.json"), made["clips"].json("clips.json")
    clips = load_file(made["clips"].path("clips.safetensors"))["clips"]
    assert shown["source"][0] == "test140.gif"
    assert clips.shape == (8, 8, 64, 64, 3)
    assert sorted(facts["split"]) == ["test"] + ["train"] * 6 + ["validation"]
    assert clips[:, :, :, [0, -1]].mean() > 20, "the black border must be cut off"
    result = run_stage(voxels.run, wanted, tmp_path / "voxels", made)
    fmri = load_file(result.path("voxels.safetensors"))["fmri"]
    assert fmri.shape == (8, 900)
    assert np.isfinite(fmri).all()


def test_files_without_their_content_are_named_with_what_gets_it(folder: Path) -> None:
    for index in range(5):
        path = folder / "clips" / f"clip{index}.gif"
        path.unlink()
        path.symlink_to(f"../.git/annex/objects/x{index}/MD5E-s900--ab.gif")
    (folder / "clips" / "clip5.gif").write_text("/annex/objects/MD5E-s900--d41d8c.gif\n")
    (folder / "fmri.npy").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    lines = report(folder).splitlines()
    assert lines == [
        f"error: {folder}: the content of 6 file(s) was not downloaded (git-annex): clips/clip0.gif, clips/clip1.gif, "
        "clips/clip2.gif and 3 more; run `datalad get .` in this folder",
        f"error: {folder}: the content of 1 file(s) was not downloaded (Git LFS): fmri.npy; run `git lfs pull` in this "
        "folder",
    ]
