"""Systems that make one frame per clip, that bring a noise ceiling of their own, or videos of more clips."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainables.test_evaluate_stage import CLIPS, INDEX, evaluate, judges_of, made, read_values
from trainables.backbones.judges import IMAGE, VIDEO_JUDGE
from trainables.context import StageResult
from trainables.datasets.video_io import resample
from trainables.judging.controls import SYSTEMS
from trainables.judging.values import STILL
from trainables.metrics import pixels
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.stage_table import VIDEO_STAGES
from trainables.systems import ABOUT

OF_TIME = {"two_way_v", "fifty_way_v", "vifi", "clip_pcc", "clip_pairs", "epe", "epe_legacy", "object_epe"}
OF_TIME |= {"motion_energy", "opponent_energy"}


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> tuple[StageResult, Path]:
    """A system of middle frames, without `plain`, with a ceiling of its own, and with a clip more than is asked."""
    folder = tmp_path_factory.mktemp("still")
    inputs: dict[str, Any] = made()
    index = np.array([5, *INDEX])
    frames = CLIPS[index][:, 2:3]
    inputs["reconstruct"]["videos.safetensors"] = {"videos": 255 - frames, "ceiling": frames, "index": index}
    return evaluate(judges_of(folder, len(IMAGE.labels), len(VIDEO_JUDGE.labels)), folder / "trial", inputs)


def test_metrics_of_several_frames_are_none_with_the_reason(still: tuple[StageResult, Path]) -> None:
    stage, folder = still
    values = read_values(folder)
    assert {metric.short for metric in CLIP_METRICS.values() if metric.of_time} == OF_TIME
    judged = {metric for _, _, metric in values}
    assert judged & OF_TIME
    for clip, system, metric in values:
        undefined = metric in OF_TIME and system in ("system", "shuffled_fmri", "ceiling")
        assert (values[clip, system, metric] == (None, STILL)) == undefined, (clip, system, metric)
    assert not OF_TIME & {name.removeprefix("test_") for name in stage.metrics}
    assert not {"shuffle_p_epe", "shuffle_p_epe_ceiling", "epe_static"} & stage.metrics.keys()
    assert "test_shuffle_p_epe_ceiling_generator" in stage.metrics
    assert "test_epe_random_clip" in stage.metrics


def test_a_held_frame_is_judged_where_frames_count(still: tuple[StageResult, Path]) -> None:
    values = read_values(still[1])
    for clip in INDEX:
        held = np.repeat(CLIPS[clip][2:3], len(CLIPS[clip]), axis=0)
        assert values[clip, "system", "ssim"][0] == pixels.ssim(CLIPS[clip], 255 - held)


def test_a_systems_own_ceiling_stands_for_the_generators(still: tuple[StageResult, Path]) -> None:
    values = read_values(still[1])
    systems = {system for _, system, _ in values}
    assert systems == set(SYSTEMS) - {"plain", "static"}
    for clip in INDEX:
        held = np.repeat(CLIPS[clip][2:3], len(CLIPS[clip]), axis=0)
        assert values[clip, "ceiling", "ssim"][0] == pixels.ssim(CLIPS[clip], held)
        assert values[clip, "ceiling_generator", "ssim"][0] == 1.0


@pytest.mark.parametrize(("had", "wanted"), [(1, 8), (3, 8), (4, 6), (8, 8), (8, 6)])
def test_a_video_with_too_few_frames_repeats_them_in_order(had: int, wanted: int) -> None:
    frames = np.arange(had, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    chosen = resample(frames, frames=wanted, size=(4, 4))[:, 0, 0, 0]
    assert len(chosen) == wanted
    assert (np.diff(chosen.astype(int)) >= 0).all()
    assert set(chosen) == set(range(had)) or had > wanted


def test_reports_know_whose_each_systems_parts_are() -> None:
    assert set(ABOUT) == set(VIDEO_STAGES)
    for system, about in ABOUT.items():
        assert all((about.title, about.authors, about.ours, about.data)), system
