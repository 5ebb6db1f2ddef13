"""A stage run whose files are not those that it was planned with leaves nothing in the store."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from storage.memory import MemoryStore
from storage.runs import RunStore
from tests.trainables.prepared.labs import prepare_rows, rows_lab, values
from trainables.backbones.sources import PHANTOM
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.errors import ChangedError, DatasetError
from trainables.execute import execute
from trainables.graph import StageRun, stage_runs
from trainables.stages import data
from trainables.unchanged import unchanged_files


@pytest.fixture
def config(tmp_path: Path) -> TrialConfig:
    """A folder of six clips of two frames."""
    root = tmp_path / "mine"
    for clip in range(6):
        (root / f"clip{clip}").mkdir(parents=True)
        for frame in range(2):
            pixels = np.full((32, 32, 3), 40 * clip + 10 * frame, np.uint8)
            Image.fromarray(pixels).save(root / f"clip{clip}" / f"{frame}.png")
    (root / "captions.json").write_text(json.dumps(["a thing"] * 6))
    np.save(root / "fmri.npy", np.random.default_rng(0).normal(size=(6, 5)))
    return resolve({"dataset.kind": "folder", "dataset.path": str(root), "dataset.resolution": 32, "dataset.frames": 2})


class Planned:
    """The runs of the two stages, as a driver has planned them."""

    def __init__(self, config: TrialConfig, folder: Path) -> None:
        self.config, self.scratch = config, folder / "scratch"
        self.root = Path(config.dataset.path)  # type: ignore[union-attr]
        self.runs = RunStore(MemoryStore(), cache=folder / "cache")
        self.clips, self.data = stage_runs(config, seed=0, targets=["data"])

    def execute(self, run: StageRun) -> None:
        execute(run, self.config, runs=self.runs, scratch=self.scratch)

    def refused(self, run: StageRun, message: str) -> None:
        with pytest.raises(ChangedError, match=message):
            self.execute(run)
        assert self.runs.find(run.identity) is None


@pytest.fixture
def planned(config: TrialConfig, tmp_path: Path) -> Planned:
    return Planned(config, tmp_path)


def other_fmri(root: Path) -> None:
    np.save(root / "fmri.npy", np.random.default_rng(1).normal(size=(6, 5)))


def other_clip(root: Path) -> None:
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(root / "clip3" / "1.png")


def other_caption(root: Path) -> None:
    (root / "captions.json").write_text(json.dumps(["another thing"] * 6))


def test_files_that_stay_are_no_hindrance(planned: Planned) -> None:
    planned.execute(planned.clips)
    planned.execute(planned.data)
    assert planned.runs.find(planned.data.identity) is not None


@pytest.mark.parametrize(("change", "name"), [(other_clip, "clips"), (other_caption, "captions")])
def test_other_clips_than_planned(planned: Planned, change: Callable[[Path], None], name: str) -> None:
    change(planned.root)
    planned.refused(planned.clips, f"the files that clips reads are not those .* planned with: {name}; run the command")


def test_other_fmri_than_planned_even_if_it_is_put_back_later(planned: Planned) -> None:
    planned.execute(planned.clips)
    first = (planned.root / "fmri.npy").read_bytes()
    other_fmri(planned.root)
    planned.refused(planned.data, "planned with: fmri; run the command again")
    (planned.root / "fmri.npy").write_bytes(first)
    planned.execute(planned.data)


def test_fmri_that_is_replaced_while_it_is_read_and_put_back_with_its_old_times(planned: Planned) -> None:
    planned.execute(planned.clips)
    path = planned.root / "fmri.npy"
    first, times = path.read_bytes(), path.stat()
    write = data._write_subject

    def with_other_fmri(*arguments: object) -> None:
        other_fmri(planned.root)
        write(*arguments)  # type: ignore[arg-type]
        path.write_bytes(first)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    with patch("trainables.stages.data._write_subject", with_other_fmri):
        planned.refused(planned.data, "fmri.npy changed while data was reading; its result is not kept")


def other_weights(folder: Path) -> None:
    weights = next(folder.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"~")


@pytest.mark.parametrize(
    ("field", "shipped", "stage", "name"),
    [
        ("backbones.clip", "clip", "features", "clip"),
        ("backbones.stable_diffusion", "stable_diffusion", "controls", "weights"),
        ("evaluate.image_classifier", "image_classifier", "evaluate", "image_classifier"),
    ],
)
def test_other_weights_than_planned(tmp_path: Path, field: str, shipped: str, stage: str, name: str) -> None:
    folder = Path(shutil.copytree(PHANTOM / shipped, tmp_path / "weights"))
    config = resolve({field: str(folder)})
    run = stage_runs(config, seed=0, targets=[stage])[-1]
    with unchanged_files(run, config):
        pass
    message = f"that {stage} reads are not those that the study was planned with: {name}; run the command"
    copy = shutil.copytree(folder, tmp_path / "copy")
    other_weights(folder)
    with pytest.raises(ChangedError, match=message), unchanged_files(run, config):
        pass
    shutil.rmtree(folder)
    copy.rename(folder)
    message = rf"safetensors changed while {stage} was reading"
    with pytest.raises(ChangedError, match=message), unchanged_files(run, config):
        other_weights(folder)


def test_fmri_may_change_while_clips_are_read(planned: Planned) -> None:
    other_fmri(planned.root)
    planned.execute(planned.clips)
    assert planned.runs.find(planned.clips.identity) is not None


def test_a_prepared_set_that_changes_between_plan_and_run_is_refused(tmp_path: Path) -> None:
    folder = prepare_rows(rows_lab(tmp_path / "lab"), tmp_path / "set").folder
    planned = Planned(resolve({"dataset.kind": "prepared", "dataset.path": str(folder)}), tmp_path)
    planned.execute(planned.clips)
    np.save(tmp_path / "lab" / "sub-01" / "rows.npy", values(24, 99))
    shutil.rmtree(folder)
    prepare_rows(tmp_path / "lab", folder)
    planned.refused(planned.data, "the files that data reads are not those that the study was planned with")
    array = np.load(folder / "sub-01" / "rows.npy")
    again = Planned(planned.config, tmp_path / "again")
    again.execute(again.clips)
    np.save(folder / "sub-01" / "rows.npy", array + 1)  # dataset.json still names the old digest
    with pytest.raises(DatasetError, match=r"rows\.npy: has the SHA-256"):
        again.execute(again.data)
    assert again.runs.find(again.data.identity) is None
