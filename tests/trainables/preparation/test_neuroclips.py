import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.fakes.neuroclips import (
    SMALL,
    TEST_REPEATS,
    VISUAL,
    VOXELS,
    clips,
    fmri,
    frames,
    save,
    write_neuroclips,
)
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import open_prepared
from trainables.datasets.prepared.source import DataSource
from trainables.preparation.neuroclips import Settings, open_source
from trainables.preparation.prepare import Prepared, prepare
from trainables.preparation.torch_files import open_tensor, read_texts

FMRI, FRAMES, CAPTIONS = "subj01_train_fmri.pt", "GT_train_3fps.pt", "GT_test_caption.pt"


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_neuroclips(tmp_path_factory.mktemp("neuroclips"))


def options(folder: Path, **changes: Any) -> Settings:
    return Settings(folder=folder, **{"frames": 6, "resolution": 32, **changes})


def opened(folder: Path, **changes: Any) -> DataSource:
    return open_source(options(folder, **changes), design=SMALL)


def prepared(folder: Path, out: Path, **changes: Any) -> Prepared:
    return prepare(opened(folder, **changes), options(folder, **changes), out)


def test_from_files_to_a_prepared_data_set(published: Path, tmp_path: Path) -> None:
    result = prepared(published, tmp_path / "out")
    about = result.description
    assert (about.kind, about.lag_s, about.tr, about.subjects) == ("rows", 0, None, ("sub-01", "sub-02"))
    data = open_prepared(tmp_path / "out")
    assert [clip.clip_id for clip in data.clips] == clips("train") + clips("test")
    assert [clip.split for clip in data.clips[::6]] == ["train", "train", "train", "validation", "test", "test"]
    assert data.clips[7].caption == "scene of seg2_2"
    for number, subject in enumerate(data.subjects, 1):
        rows = np.concatenate([fmri(name, number).reshape(-1, VOXELS) for name in ("train", "test")])
        np.testing.assert_array_equal(subject.values, rows)
        assert [row.repeat for row in subject.rows[:4]] == [0, 1, 0, 1]
        assert {row.repeat for row in subject.rows[48:]} == {*range(TEST_REPEATS)}
        ceiling = subject.voxels.repeat_r
        assert ceiling is not None
        assert ceiling[:VISUAL].mean() > 0.6 > 0.4 > abs(ceiling[VISUAL:].mean())
    np.testing.assert_array_equal(data.frames[3], frames("train")[3])
    card = (tmp_path / "out" / "card.md").read_text()
    assert "the pack does not say where its voxels lie: brain maps and regions are not available" in card
    assert "validation scores are a little too high" in card
    assert "voxels differ from what is published: sub-01 40 instead of 13447" in card


def test_eight_frames_repeat_the_nearest_in_time(published: Path) -> None:
    source = opened(published, frames=8)
    clip = next(iter(source.clips()))
    shown = clip.read()
    np.testing.assert_array_equal(shown, frames("train")[0][[0, 1, 1, 2, 3, 4, 4, 5]])
    assert clip.fps == 4
    assert any("motion stands still there: --frames 6" in str(each) for each in source.warnings)
    assert opened(published).warnings == ()


def test_values_from_0_to_255_and_other_types_are_read(published: Path, copy: Path) -> None:
    expected = frames("train")[2]
    for dtype in (np.uint8, np.float32):
        save(copy / FRAMES, frames("train").transpose(0, 1, 4, 2, 3).astype(dtype))
        source = opened(copy)
        assert any(f"holds {np.dtype(dtype)} to 230; 0 to 255 is assumed" in str(each) for each in source.warnings)
        np.testing.assert_array_equal([*source.clips()][2].read(), expected)
    half = (frames("train").transpose(0, 1, 4, 2, 3) / 255).astype(np.float16)
    save(copy / FRAMES, half)
    assert np.abs([*opened(copy).clips()][2].read().astype(int) - expected).max() <= 1


def test_captions_of_ones_own_replace_those_of_the_pack(published: Path, tmp_path: Path) -> None:
    names = clips("train") + clips("test")
    (tmp_path / "own.json").write_text(json.dumps({name: f"own {name}" for name in names}))
    source = opened(published, captions=(tmp_path / "own.json",))
    assert [clip.captions for clip in source.clips()][-1] == ("own test2_6",)


def test_texts_are_read_in_every_form(tmp_path: Path) -> None:
    texts = ["one", "two words"]
    forms: list[Any] = [
        texts,
        tuple(texts),
        np.array(texts),
        np.array(texts, object),
        [np.str_(text) for text in texts],
    ]
    for form in forms:
        assert read_texts(save(tmp_path / "texts.pt", form)) == texts
    with pytest.raises(DatasetError, match="an array of texts is needed"):
        read_texts(save(tmp_path / "numbers.pt", [1, 2]))


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch attacked",)


def attack(path: Path) -> None:
    torch.save({"fmri": Attack()}, path)


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Attack()))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n")


def other_shape(path: Path) -> None:
    save(path, np.ones((24, 80), np.float32))


def brain_float(path: Path) -> None:
    torch.save(torch.ones(24, 2, 40, dtype=torch.bfloat16), path)


def fewer(path: Path) -> None:
    save(path, fmri("train", 1)[:20])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (attack, "wants to call posix.system; it could run code and is not read"),
        (plain_pickle, "cannot be read: it is damaged, or was not written by torch.save"),
        (truncated, "cannot be read: it is damaged"),
        (pointer, "git lfs pull"),
        (Path.unlink, "there is no such file"),
        (other_shape, r"holds float32 \[24, 80\]"),
        (brain_float, "holds a tensor that NumPy has no type for: .*; save it as float32"),
        (fewer, "has responses to 20 train clips, but there are 24"),
        (lambda path: save(path, {"a": 1}), "holds dict; a tensor is needed"),
    ],
)
def test_a_bad_file_loses_its_subject_and_runs_nothing(
    copy: Path, tmp_path: Path, change: Callable[[Path], None], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    change(copy / "subj01_test_fmri.pt" if change is Path.unlink else copy / FMRI)
    with pytest.raises(DatasetError, match=reason):
        opened(copy).subjects[0].recordings()
    assert not (tmp_path / "attacked").exists()
    assert opened(copy).subjects[1].recordings()


def test_the_other_subject_is_still_written(copy: Path, tmp_path: Path) -> None:
    attack(copy / FMRI)
    result = prepared(copy, tmp_path / "out")
    assert result.description.subjects == ("sub-02",)
    assert any("wants to call posix.system" in defect for defect in result.description.defects)


def test_voxels_with_nan_are_left_out_and_other_scales_are_told(copy: Path, tmp_path: Path) -> None:
    values = 3 * fmri("train", 1) + 1
    values[4, 1, 7] = np.nan
    save(copy / FMRI, values)
    result = prepared(copy, tmp_path / "out", subjects=("sub-01",))
    (subject,) = open_prepared(tmp_path / "out").subjects
    assert subject.values.shape[1] == VOXELS - 1
    warnings = "\n".join(map(str, result.report.warnings))
    assert "1 of 40 voxel(s) hold NaN or infinite values" in warnings
    assert "its voxels have a mean of 1.00 and a standard deviation of 3." in warnings


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.ones((24, 6, 32, 32, 3), np.float32), r"holds float32 \[24, 6, 32, 32, 3\]"),
        (np.ones((20, 6, 3, 32, 32), np.float32), "holds 20 clips; 24 are needed"),
        (np.full((24, 6, 3, 32, 32), -1, np.float32), "holds values from -1 to -1; 0 to 1 or 0 to 255"),
        (np.full((24, 6, 3, 32, 32), np.nan, np.float32), "holds values from nan to nan"),
    ],
)
def test_bad_frames_are_refused(copy: Path, values: np.ndarray, reason: str) -> None:
    save(copy / FRAMES, values)
    with pytest.raises(DatasetError, match=reason):
        opened(copy)


def test_bad_folders_are_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        opened(tmp_path / "none")
    save(copy / CAPTIONS, ["a"])
    with pytest.raises(DatasetError, match="has 1 captions; 12 clips need one each"):
        opened(copy)
    (copy / CAPTIONS).unlink()
    with pytest.raises(DatasetError, match=r"GT_test_caption\.pt: there is no such file"):
        opened(copy)
    for path in copy.glob("subj*"):
        path.unlink()
    with pytest.raises(DatasetError, match="has no subject; download gongzx/cc2017_dataset"):
        opened(copy)


def test_two_subjects_with_the_same_data_are_refused(copy: Path, tmp_path: Path) -> None:
    for name in ("train", "test"):
        save(copy / f"subj02_{name}_fmri.pt", fmri(name, 1))
    with pytest.raises(DatasetError, match="hold the same values; every subject needs data of its own"):
        prepared(copy, tmp_path / "out")


def test_a_large_tensor_is_not_read_when_it_is_opened(tmp_path: Path) -> None:
    values = torch.zeros(15, 6, 3, 224, 224)
    torch.save(values, tmp_path / "large.pt")
    del values
    assert (tmp_path / "large.pt").stat().st_size > 5e7
    array = open_tensor(tmp_path / "large.pt")
    assert not array.flags.owndata
    assert array[7].shape == (6, 3, 224, 224)
