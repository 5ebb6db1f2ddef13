import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from tests.trainables.dataset_tools import run_data, run_stage
from trainables import datasets
from trainables.config.data import FolderConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.clip_names import natural
from trainables.datasets.clips import read_clip
from trainables.datasets.errors import ClipError, DatasetError
from trainables.datasets.splits import clips_per_block, split_blocks
from trainables.datasets.verdicts import _verdict
from trainables.graph import stage_runs
from trainables.stages import clips, voxels

Clip = NDArray[np.uint8]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def moving(seed: int, frames: int = 6, side: int = 40) -> Clip:
    """Noise that moves to the right, uint8 RGB."""
    still = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    still = np.kron(still, np.ones((side // 5, side // 5, 1), np.uint8))
    return np.stack([np.roll(still, 2 * frame, axis=1) for frame in range(frames)])


def write_gif(path: Path, clip: Clip) -> None:
    pictures = [Image.fromarray(frame) for frame in clip]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, loop=0)


def write_png(path: Path, clip: Clip) -> None:
    path.mkdir()
    for index, frame in enumerate(clip):
        Image.fromarray(frame).save(path / f"{index}.png")


def write_mp4(path: Path, clip: Clip) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve GIFs, captions by place, and fMRI of two subjects."""
    root = tmp_path / "mine"
    (root / "clips").mkdir(parents=True)
    for index in range(12):
        write_gif(root / "clips" / f"clip{index}.gif", moving(index))
    (root / "captions.json").write_text(json.dumps([f"a thing number {index}" for index in range(12)]))
    np.save(root / "fmri.npy", np.random.default_rng(0).normal(size=(2, 12, 70)).astype(np.float32))
    return root


def config(root: Path, **overrides: Any) -> TrialConfig:
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    return resolve({"dataset.kind": "folder", "dataset.path": str(root), "dataset.resolution": 32, **named})


def report(root: Path, **overrides: Any) -> str:
    return str(datasets.check(config(root, **overrides)))


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
    assert "error: voxels.lag_tr: is 1; each row of this fMRI answers its clip" in report(folder, voxels__lag_tr=1)
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


def damage(root: Path, kind: str) -> None:
    damage_clips(root / "clips", kind)
    damage_captions(root, kind)
    damage_fmri(root / "fmri.npy", kind)


def damage_clips(clips: Path, kind: str) -> None:
    match kind:
        case "truncated gif":
            content = (clips / "clip4.gif").read_bytes()
            (clips / "clip4.gif").write_bytes(content[: len(content) // 2])
        case "corrupt gif":
            (clips / "clip4.gif").write_bytes(b"no picture at all;")
        case "corrupt mp4":
            (clips / "clip4.gif").rename(clips / "clip4.mp4")
        case "truncated mp4":
            (clips / "clip4.gif").unlink()
            write_mp4(clips / "clip4.mp4", moving(4, frames=20))
            content = (clips / "clip4.mp4").read_bytes()
            (clips / "clip4.mp4").write_bytes(content[: len(content) // 2])
        case "broken png":
            (clips / "clip4.gif").unlink()
            write_png(clips / "clip4", moving(4))
            (clips / "clip4" / "3.png").write_bytes((clips / "clip4" / "3.png").read_bytes()[:60])
        case "one frame":
            Image.fromarray(moving(4)[0]).save(clips / "clip4.gif")


def damage_captions(root: Path, kind: str) -> None:
    captions = [f"thing {index}" for index in range(12)]
    match kind:
        case "fewer captions":
            (root / "captions.json").write_text(json.dumps(captions[:-1]))
        case "caption without clip":
            named = {f"clip{index}": text for index, text in enumerate(captions)}
            (root / "captions.json").write_text(json.dumps(named | {"clip99": "what?"}))
        case "clip without caption":
            (root / "captions.json").write_text(json.dumps({f"clip{index}": "thing" for index in range(11)}))
        case "empty caption":
            (root / "captions.json").write_text(json.dumps([*captions[:-1], "  "]))
        case "no captions":
            (root / "captions.json").unlink()
        case "bad json":
            (root / "captions.json").write_text('["a", ')
        case "caption twice":
            (root / "captions.json").write_text('{"clip1": "a", "clip1": "b"}')


def damage_fmri(file: Path, kind: str) -> None:
    fmri = np.load(file)
    match kind:
        case "fewer rows":
            np.save(file, fmri[:, :-2])
        case "no fmri":
            file.unlink()
        case "pickled fmri":
            np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        case "flat fmri":
            np.save(file, fmri[0, :, 0])
        case "nan":
            fmri[1, 3, 7] = np.nan
            np.save(file, fmri)
        case "infinite":
            fmri[0, 2, 5] = -np.inf
            np.save(file, fmri)
        case "all constant":
            fmri[0] = 1.0
            np.save(file, fmri)
        case "same subject twice":
            fmri[1] = fmri[0]
            np.save(file, fmri)


BAD = {
    "truncated gif": ["clip4.gif", "ends before its trailer"],
    "corrupt gif": ["clip4.gif", "cannot be decoded"],
    "corrupt mp4": ["clip4.mp4", "cannot be decoded after 0 frame"],
    "truncated mp4": ["clip4.mp4", "cannot be decoded"],
    "broken png": ["clips/clip4", "cannot be decoded after 3 frame"],
    "one frame": ["clip4.gif", "1 frame.*at least two"],
    "fewer captions": ["captions.json", "11 captions for 12 clips"],
    "caption without clip": ["captions.json", "not there: 'clip99'"],
    "clip without caption": ["captions.json", "no caption for 'clip11.gif'"],
    "empty caption": ["captions.json", "'clip11.gif'.*at least one word"],
    "no captions": ["captions.json", "no such file.*csv"],
    "bad json": ["captions.json", "cannot be read.*line 1"],
    "caption twice": ["captions.json", "two captions for 'clip1'"],
    "fewer rows": ["fmri.npy", "10 rows for 12 clips"],
    "no fmri": ["fmri.npy", "no such file.*simulate"],
    "pickled fmri": ["fmri.npy", "cannot be read.*npy"],
    "flat fmri": ["fmri.npy", r"shape \[12\].*\[clips, voxels\]"],
    "nan": ["fmri.npy, subject 1", "row 3, column 7"],
    "infinite": ["fmri.npy, subject 0", "row 2, column 5"],
    "all constant": ["fmri.npy, subject 0", "every voxel is constant"],
    "same subject twice": ["fmri.npy", "subjects 0 and 1 hold the same values"],
}


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


def test_too_few_clips(folder: Path) -> None:
    for index in range(2, 12):
        (folder / "clips" / f"clip{index}.gif").unlink()
    assert "2 clips make 2 block(s) of 1: too few" in report(folder)


def test_blocks_stay_together(folder: Path) -> None:
    brains = datasets.load(config(folder, dataset__block_clips=3).dataset).brains
    assert brains.block == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert all(len(set(brains.split[start : start + 3])) == 1 for start in range(0, 12, 3))
    other = datasets.load(config(folder, dataset__seed=5).dataset).brains
    assert other.split != datasets.load(config(folder, dataset__seed=6).dataset).brains.split


def splits(root: Path, **overrides: Any) -> list[str]:
    return list(datasets.load(config(root, **overrides).dataset).brains.split)


def test_blocks_are_as_long_as_the_number_of_clips_allows() -> None:
    mine = FolderConfig(path=Path("/nowhere"))
    assert [clips_per_block(clips, mine) for clips in (3, 12, 40, 67, 100, 400, 5520)] == [1, 1, 2, 3, 5, 20, 20]
    assert clips_per_block(5520, mine.model_copy(update={"block_clips": 7})) == 7
    split, _, _ = split_blocks(5520, mine)
    beside = sum("train" in split[max(0, row - 1) : row + 2] for row, of in enumerate(split) if of == "test")
    assert beside < 0.12 * split.count("test"), "with blocks of one clip it is nine in ten"


def test_test_clips_beside_training_clips_are_a_warning(folder: Path) -> None:
    warnings = [str(problem) for problem in datasets.check(config(folder)).warnings]
    assert len(warnings) == 1
    assert "2 of 2 test clips lie directly beside a training clip" in warnings[0]
    assert "raise block_clips, or give your own split" in warnings[0]


OWN = ["train"] * 7 + ["validation"] * 2 + ["test"] * 2 + ["excluded"]


@pytest.mark.parametrize("form", ["csv", "json", "captions"])
def test_a_split_of_ones_own(folder: Path, tmp_path: Path, form: str) -> None:
    names = [f"clip{index}" for index in range(12)]
    table = "name,caption,split\n" + "".join(
        f"{name}.gif,a thing,{split}\n" for name, split in zip(names, OWN, strict=True)
    )
    if form == "json":
        (folder / "split.json").write_text(json.dumps(dict(zip(reversed(names), reversed(OWN), strict=True))))
    else:
        (folder / "split.csv").write_text(table)
    overrides = {"dataset__split": "split.json" if form == "json" else "split.csv"}
    if form == "captions":
        overrides["dataset__captions"] = "split.csv"
    assert splits(folder, **overrides) == OWN
    assert not datasets.check(config(folder, **overrides)).problems
    brains = datasets.load(config(folder, **overrides).dataset).brains
    assert list(brains.block) == [0] * 7 + [1] * 2 + [2] * 2 + [3]
    made = run_data(config(folder, **overrides), tmp_path)
    result = run_stage(voxels.run, config(folder, **overrides), tmp_path / "voxels", made)
    assert result.json("voxels.json")["split"] == OWN


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"clip3.gif": "Train"}, "'clip3.gif': split is 'Train'; it must be one of train, validation, test, excluded"),
        ({"clip99.gif": "train"}, "'clip99.gif': names no clip"),
        ({"clip11": "test"}, "'clip11.gif': is there twice"),
        ({"clip9.gif": "train", "clip10.gif": "train"}, "no clip is for test"),
    ],
)
def test_a_bad_split_is_named(folder: Path, rows: dict[str, str], message: str) -> None:
    good = {f"clip{index}.gif": split for index, split in enumerate(OWN)}
    lines = [f"{name},{split}" for name, split in {**good, **rows}.items()]
    (folder / "split.csv").write_text("name,split\n" + "\n".join(lines))
    assert message in report(folder, dataset__split="split.csv")


def test_a_split_file_that_cannot_be_read_is_named(folder: Path) -> None:
    assert "split.csv: there is no such file; it must be .csv" in report(folder, dataset__split="split.csv")
    (folder / "split.csv").write_text("clip,part\n")
    assert "must name the columns name and split" in report(folder, dataset__split="split.csv")
    (folder / "split.json").write_text('["train"]')
    assert "expected an object from clip to split" in report(folder, dataset__split="split.json")
    (folder / "split.csv").write_text("name,split\nclip0,train\n")
    assert "'clip1.gif' and 10 more: has no split" in report(folder, dataset__split="split.csv")


def test_a_folder_is_read_once_while_it_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    wanted, remembered = config(folder), tmp_path / "checks"
    before = datasets.check(wanted, verdicts=remembered)
    (verdict,) = remembered.iterdir()
    _verdict.cache_clear()  # as in another process
    with patch("trainables.datasets.folder.read_clip", side_effect=AssertionError("read again")):
        assert datasets.check(wanted, verdicts=remembered) == before
    verdict.write_bytes(b"damaged")
    _verdict.cache_clear()
    assert datasets.check(wanted, verdicts=remembered) == before, "a damaged verdict counts as none"
    damage(folder, "truncated gif")
    assert datasets.check(wanted, verdicts=remembered).errors


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
