"""Reconstructions leave a trial as files and come back as a given system: in a whole study, and each form of file."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from platform.bundle.video_files import FORMS
from platform.events import TrialEvent
from platform.export import main as export
from platform.record.results import Result, results_from_events
from platform.run.driver import run_study
from platform.study.ablation_file import load_ablation
from storage.events import EventLog
from storage.uri import open_store
from tests.platform.made_up_videos import moving
from tests.platform.noop_studies import inline_in, noop_study
from tests.tiny_trial import TINY
from trainables.datasets.video_io import read_video
from trainables.datasets.video_writing import VIDEO_FORMS

TRAIN = {"epochs": 1, "batch_size": 6, "warmup_steps": 2, "device": "cpu"}
BASE = {
    "dataset": {"train_clips": 12, "validation_clips": 4, "test_clips": 4, "block_clips": 4, "subjects": 1},
    **TINY,
    **{f"{stage}.train": TRAIN for stage in ("semantic", "structure", "motion")},
    "generator": {"steps": 2, "validation_clips": 3, "test_clips": 3},
    "evaluate.shuffles": 5,
}
STUDY = {"primary": ["evaluate.test_vifi"], "subjects": [0], "seeds": 1, "conditions": {}}


def run_trial(home: Path, name: str, base: Mapping[str, object]) -> Result:
    """Run a study of one trial in this process and return the result."""
    file = home / f"{name}.yaml"
    file.write_text(json.dumps({**STUDY, "baseline": {**BASE, **base}}), encoding="utf-8")
    study = load_ablation(file)
    assert run_study(study, inline_in(home)).trials["completed"] == 1
    log = EventLog(open_store((home / "store").as_uri()), study.id)
    (result,) = results_from_events([TrialEvent.from_json(event) for event in log.read()])
    return result


@pytest.mark.long
def test_exported_reconstructions_have_the_same_metrics_in_a_study_of_their_own(tmp_path: Path) -> None:
    ours = run_trial(tmp_path, "ours", {})
    videos = tmp_path / "videos"
    assert export(["ours", str(videos), "--home", str(tmp_path), "--videos", "png"]) == 0
    assert len(list(videos.iterdir())) == 6
    given = run_trial(tmp_path, "given", {"system": "given", "given.path": str(videos)})
    compared = {name for name in given.metrics if name.startswith("evaluate.")}
    assert {"evaluate.vifi", "evaluate.test_ssim", "evaluate.test_epe", "evaluate.test_ssim_ceiling"} <= compared
    # PNG loses nothing; flow of the same frames differs by about 1e-10 from call to call.
    assert dict(given.metrics) == pytest.approx({name: ours.metrics[name] for name in given.metrics}, rel=1e-6)
    for stage in ("clips", "features", "voxels", "controls", "library", "control_scores"):
        assert given.identities[stage] == ours.identities[stage], stage


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_read_back(form: str, tmp_path: Path) -> None:
    frames = moving(3)
    VIDEO_FORMS[form](frames, tmp_path / "film 1.5")
    (path,) = tmp_path.iterdir()
    video = read_video(path)
    assert video.frames.shape == frames.shape
    assert np.abs(video.frames.astype(int) - frames).max() <= {"npy": 0, "png": 0, "gif": 0, "mp4": 12}[form]
    assert video.seconds == (pytest.approx(1.5, rel=0.01) if form in ("gif", "mp4") else None)


def test_all_forms_can_be_asked_for() -> None:
    assert set(FORMS) == set(VIDEO_FORMS)


def test_what_cannot_be_exported_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = noop_study(tmp_path, "trials: 1")
    run_study(study, inline_in(tmp_path))
    arguments = [study.name, str(tmp_path / "out"), "--home", str(tmp_path), "--videos", "png"]
    assert export(arguments) == 2
    assert "made no videos: it has no stage reconstruct or given" in " ".join(capsys.readouterr().err.split())
    assert export([*arguments, "--artifacts", "all"]) == 2
    assert "remove one of the two options" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
