"""The evaluate stage on a few phantom clips, judged by tiny networks: what it writes is what metrics say."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from transformers import VideoMAEConfig, VideoMAEForVideoClassification, ViTConfig, ViTForImageClassification

from storage.memory import MemoryStore
from storage.runs import Artifacts, Manifest, RunStore
from tests.fakes.cifti import LEFT, RIGHT
from tests.trainables.flow_oracles import static_error
from trainables.backbones.judges import IMAGE, VIDEO_JUDGE
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context, StageResult, StageTask
from trainables.datasets.base import digest_of
from trainables.datasets.phantom.stimuli import captions, object_mask, render, sample_factors
from trainables.datasets.prepared.tables import VoxelTable, write_voxels
from trainables.judging.bench import Bench
from trainables.judging.controls import GENERATOR_CEILING, SYSTEMS
from trainables.judging.judged_trial import JudgedSplit, JudgedTrial
from trainables.judging.protocols import PROTOCOLS, Protocol
from trainables.judging.score_tables import mean_and_interval
from trainables.judging.stored_trial import read_judged
from trainables.metrics import flow, pixels
from trainables.metrics.nway import NWay
from trainables.metrics.registry import METRICS
from trainables.metrics.video import Networks
from trainables.stages import control_scores
from trainables.stages.evaluate import run

SPLIT = ["train"] * 5 + ["dropped"] + ["validation"] * 3 + ["test"] * 4
CLUSTERS = [f"film {clip // 2}" for clip in range(len(SPLIT))]
INDEX = [6, 7, 8, 9, 10, 11, 12]
FRAMES = 6
FACTORS = sample_factors(np.random.default_rng(0), len(SPLIT))
CLIPS = render(FACTORS, frames=FRAMES)
GREY = 10
VOXELS = VoxelTable(
    roi=np.array(["V1", "MT", "V1", ""]),
    structure=np.array([LEFT, LEFT, RIGHT, RIGHT]),
    noise_ceiling_n=np.array([12.5, 40.0, 30.0, 99.0], np.float32),
)
"""Noise ceilings of three regions, and of a voxel in none."""
OF_TRIAL = [name for name in SYSTEMS if name != GENERATOR_CEILING]
Values = dict[tuple[int, str, str], tuple[float | None, str]]


def noisy(clips: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(scale=20.0, size=clips.shape)
    return np.clip(clips + noise, 0, 255).astype(np.uint8)


def made() -> dict[str, Any]:
    truth = CLIPS[INDEX]
    videos = noisy(truth, 0)
    videos[INDEX.index(GREY)] = 90
    return {
        "clips": {
            "clips.safetensors": {"clips": CLIPS},
            "clips.json": {
                "captions": [[caption, "another text"] for caption in captions(FACTORS)],
                "source": [f"film {i}" for i in range(len(SPLIT))],
                "factors": FACTORS.to_json(),
                "warnings": [],
                "digests": [digest_of(clip) for clip in CLIPS],
                "prepared": None,
            },
        },
        "data": {"data.json": {"cluster": CLUSTERS}, "voxel_table_0.parquet": VOXELS},
        "voxels": {"voxels.json": {"split": SPLIT, "subject": "one"}},
        "reconstruct": {
            "videos.safetensors": {"videos": videos, "plain": noisy(truth, 1), "index": np.array(INDEX)},
        },
        "controls": {
            "videos.safetensors": {
                "ceiling": truth,
                "ceiling_plain": truth,
                "mean_latent": CLIPS[0],
                "index": np.array(INDEX),
            }
        },
        "library": {
            "library.safetensors": {
                "index": np.array(INDEX),
                "nearest_clip": np.array([clip % 5 for clip in INDEX]),
                "mean_clip": CLIPS[1],
            }
        },
    }


def commit(runs: RunStore, stage: str, files: dict[str, Any], folder: Path) -> Artifacts:
    folder.mkdir()
    for name, content in files.items():
        if name.endswith(".json"):
            (folder / name).write_text(json.dumps(content))
        elif name.endswith(".parquet"):
            write_voxels(content, folder / name)
        else:
            save_file({key: np.ascontiguousarray(values) for key, values in content.items()}, folder / name)
    return commit_folder(runs, stage, folder)


def commit_folder(runs: RunStore, stage: str, folder: Path) -> Artifacts:
    config = {"reconstruct": {"motion": "decoded"}, "generator": {"steps": 20}}
    runs.commit(Manifest(f"{stage}-0", stage, config, 0, {}, {}, {}, (), {}, 0.0, 0.0), folder)
    return runs.open(f"{stage}-0")


def with_control_scores(
    inputs: dict[str, Artifacts], config: TrialConfig, runs: RunStore, folder: Path
) -> dict[str, Artifacts]:
    """Return `inputs` with those of the stage before `evaluate`, which gets no video of the trial."""
    output = folder / "control_scores"
    output.mkdir()
    given = {stage: inputs[stage] for stage in ("clips", "voxels", "controls", "library")}
    assert control_scores.run(StageTask(config, 0, given, Context(output, runs.checkpoints("y")))).metrics == {}
    return {**inputs, "control_scores": commit_folder(runs, "control_scores", output)}


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return judges_of(tmp_path_factory.mktemp("judges"), len(IMAGE.labels), len(VIDEO_JUDGE.labels))


def judges_of(folder: Path, image_classes: int, video_classes: int, *, frames: int = FRAMES) -> dict[str, str]:
    torch.manual_seed(0)
    small: Any = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    image = ViTForImageClassification(ViTConfig(image_size=32, patch_size=16, num_labels=image_classes, **small))
    video = VideoMAEForVideoClassification(
        VideoMAEConfig(image_size=32, patch_size=16, num_frames=frames, num_labels=video_classes, **small)
    )
    preparation = {"size": 32, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    for name, model in (("image_classifier", image), ("video_classifier", video)):
        model.save_pretrained(folder / name)
        (folder / name / "preprocessor_config.json").write_text(json.dumps(preparation))
    return {f"evaluate.{name}": str(folder / name) for name in ("image_classifier", "video_classifier")}


def evaluate(judges: dict[str, str], folder: Path, inputs: dict[str, Any], **changed: Any) -> tuple[StageResult, Path]:
    folder.mkdir(exist_ok=True)
    runs = RunStore(MemoryStore(), cache=folder / "cache")
    artifacts = {stage: commit(runs, stage, files, folder / stage) for stage, files in inputs.items()}
    output = folder / "out"
    output.mkdir()
    own = {f"evaluate.{name}": value for name, value in changed.items()}
    config = resolve({**judges, "evaluate.shuffles": 20, **own})
    artifacts = with_control_scores(artifacts, config, runs, folder)
    return run(StageTask(config, 0, artifacts, Context(output, runs.checkpoints("x")))), output


@pytest.fixture(scope="module")
def result(judges: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[StageResult, Path]:
    return evaluate(judges, tmp_path_factory.mktemp("evaluate"), made())


def read_values(folder: Path) -> Values:
    rows = pq.read_table(folder / "per_clip.parquet").to_pylist()
    assert all(row["split"] == SPLIT[row["clip"]] and row["name"] == f"film {row['clip']}" for row in rows)
    assert all(row["cluster"] == CLUSTERS[row["clip"]] for row in rows)
    return {(row["clip"], row["system"], row["metric"]): (row["value"], row["reason"]) for row in rows}


def test_every_clip_system_and_metric_has_a_row_and_every_mean_a_metric(result: tuple[StageResult, Path]) -> None:
    stage, folder = result
    values = read_values(folder)
    registered = {name.removeprefix("evaluate.") for name in METRICS if name.startswith("evaluate.")}
    registered -= {"fifty_way_i", "fifty_way_v", "clip_pairs"}  # the judges have 32 classes
    of_clips = {name for name in registered if not name.startswith("shuffle_")}
    assert values.keys() == set(product(INDEX, OF_TRIAL, of_clips))
    assert registered <= stage.metrics.keys()
    controls = {
        f"{m.short}_{control}"
        for m in METRICS.values()
        if m.stage == "evaluate" and m.short in of_clips
        for control in m.chance_controls
    }
    assert controls <= stage.metrics.keys()
    for split, prefix in (("validation", ""), ("test", "test_")):
        for system, suffix in (("system", ""), ("plain", "_plain"), ("random_clip", "_random_clip")):
            own = [values[clip, system, "ssim"][0] for clip in INDEX if SPLIT[clip] == split]
            assert stage.metrics[f"{prefix}ssim{suffix}"] == pytest.approx(np.mean([v for v in own if v is not None]))
    json.dumps(dict(stage.metrics), allow_nan=False)


def test_controls_are_what_they_say(result: tuple[StageResult, Path]) -> None:
    values = read_values(result[1])
    systems = dict(zip(INDEX, made()["reconstruct"]["videos.safetensors"]["videos"], strict=True))
    masks = object_mask(FACTORS, frames=FRAMES)
    taken = []
    for clip in INDEX:
        truth = CLIPS[clip]
        own = {name: values[clip, name, "ssim"][0] for name in OF_TRIAL}
        held = np.repeat(systems[clip][:1], FRAMES, axis=0)
        assert own["static"] == pixels.ssim(truth, held)
        assert values[clip, "static", "epe"][0] == pytest.approx(static_error(flow.farneback(truth)))
        assert own["mean_latent"] == pixels.ssim(truth, CLIPS[0])
        assert own["mean_clip"] == pixels.ssim(truth, CLIPS[1])
        assert own["nearest_clip"] == pixels.ssim(truth, CLIPS[clip % 5])
        assert own["random_clip"] in [pixels.ssim(truth, CLIPS[other]) for other in range(5)]
        others = [i for i in INDEX if SPLIT[i] == SPLIT[clip] and i != clip]
        taken += [i for i in others if own["shuffled_fmri"] == pixels.ssim(truth, systems[i])]
        assert (own["ceiling"], values[clip, "ceiling", "epe"][0]) == (1.0, 0.0)
        assert values[clip, "ceiling", "two_way_i"][0] == values[clip, "ceiling", "two_way_v"][0] == 1.0
        assert values[clip, "plain", "object_ssim"][0] == pixels.ssim(
            truth, noisy(CLIPS[INDEX], 1)[INDEX.index(clip)], mask=masks[clip]
        )
    assert sorted(taken) == INDEX


def test_what_is_undefined_is_null_with_its_reason(result: tuple[StageResult, Path]) -> None:
    folder = result[1]
    values = read_values(folder)
    value, reason = values[GREY, "system", "hue_pcc"]
    assert value is None
    assert "hue" in reason
    assert all((value is None) == (reason != "") for value, reason in values.values())
    assert not any(value is not None and np.isnan(value) for value, _ in values.values())
    summary = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    rows = {(r["system"], r["metric"]): r for r in summary["splits"]["test"]["rows"]}
    # grey for the clip itself, for its static control, and for the clip that got it as another's
    assert rows["ceiling", "hue_pcc"]["clips"] == 2
    assert rows["ceiling", "ssim"]["clips"] == 4
    assert rows["system", "ssim"]["low"] < rows["system", "ssim"]["mean"] < rows["system", "ssim"]["high"]
    assert summary["metrics"]["two_way_i"]["chance"] == 0.75
    assert (folder / "page.html").stat().st_size > 0
    assert (folder / "contact.png").stat().st_size > 0


def test_the_page_shows_noise_ceilings_by_region(result: tuple[StageResult, Path]) -> None:
    page = (result[1] / "page.html").read_text(encoding="utf-8")
    chart = page[page.index("Voxels of the subject") :]
    shown = re.findall(r'class="(?:label|value)"[^>]*>([^<]+)<', chart)
    assert shown == ["MT L", "40", "V1 R", "30", "V1 L", "12.5"]
    assert "99" not in shown


def test_frames_in_order_are_told_from_shuffled_ones(result: tuple[StageResult, Path]) -> None:
    stage, folder = result
    shuffle = json.loads((folder / "summary.json").read_text())["splits"]["test"]["shuffle"]
    assert shuffle["ceiling"]["epe"]["group_p"] == stage.metrics["test_shuffle_p_epe_ceiling"] == 0.0
    assert len(shuffle["system"]["clip_pcc"]["group_p_repeats"]) == 5
    assert stage.metrics["test_shuffle_clips_epe_ceiling"] == shuffle["ceiling"]["epe"]["clips_below_0.05"]


def test_a_trial_asks_the_networks_only_about_its_own_videos(
    judges: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, seen = made(), Counter[bytes]()

    def networks(*_: Any, **__: Any) -> Networks:
        def network(clip: NDArray[np.uint8]) -> NDArray[np.float32]:
            seen[clip.tobytes()] += 1
            return np.random.default_rng(int(clip.sum())).normal(size=(FRAMES, 32)).astype(np.float32)

        return Networks(image_classifier=network)

    monkeypatch.setattr("trainables.judging.bench.load_networks", networks)
    controls = inputs["controls"]["videos.safetensors"]
    controls["ceiling"] = controls["ceiling_plain"] = noisy(CLIPS[INDEX], 3)
    runs = RunStore(MemoryStore(), cache=tmp_path / "cache")
    artifacts = {stage: commit(runs, stage, files, tmp_path / stage) for stage, files in inputs.items()}
    config = resolve({"evaluate.shuffles": 2})
    artifacts = with_control_scores(artifacts, config, runs, tmp_path)
    assert {clip.tobytes() for clip in CLIPS[INDEX]} <= seen.keys()
    seen.clear()
    output = tmp_path / "out"
    output.mkdir()
    run(StageTask(config, 0, artifacts, Context(output, runs.checkpoints("x"))))
    made_here = inputs["reconstruct"]["videos.safetensors"]
    # a black clip for the number of classes; each once, and the last of each split once more as another clip's
    assert seen.pop(np.zeros_like(made_here["videos"][0]).tobytes()) == 1
    assert seen.total() == 2 * len(INDEX) + 2
    assert seen.keys() == {video.tobytes() for name in ("videos", "plain") for video in made_here[name]}


@pytest.mark.parametrize(("most", "computed"), [(10**9, 0), (0, len(INDEX))])
def test_the_flow_of_true_clips_is_read_if_it_is_small_enough_to_be_kept(
    most: int,
    computed: int,
    judges: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    result: tuple[StageResult, Path],
) -> None:
    flows, usual = list[bytes](), Bench.flow

    def flow(bench: Bench, clip: NDArray[np.uint8]) -> Any:
        flows.append(clip.tobytes())
        return usual(bench, clip)

    monkeypatch.setattr(Bench, "flow", flow)
    monkeypatch.setattr("trainables.judging.control_scores._MOST_FLOW", most)
    stage, folder = evaluate(judges, tmp_path, made())
    assert len(flows) == computed
    assert read_values(folder) == read_values(result[1])
    assert stage.metrics == result[0].metrics


@pytest.mark.long
def test_threads_change_no_value(judges: dict[str, str], tmp_path: Path, result: tuple[StageResult, Path]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        stage, folder = evaluate(judges, tmp_path, made())
    finally:
        torch.set_num_threads(threads)
    assert read_values(folder) == read_values(result[1])
    assert stage.metrics == result[0].metrics


def test_one_test_clip_without_factors_at_another_resolution(judges: dict[str, str], tmp_path: Path) -> None:
    inputs = made()
    inputs["clips"]["clips.json"]["factors"] = None
    for name in ("reconstruct", "controls"):
        tensors = inputs[name]["videos.safetensors"]
        inputs[name]["videos.safetensors"] = {k: v if k == "mean_latent" else v[3:4] for k, v in tensors.items()}
    stage, folder = evaluate(judges, tmp_path, inputs, resolution=32)
    values = read_values(folder)
    assert {system for _, system, _ in values} == set(OF_TRIAL) - {"shuffled_fmri"}
    assert not any(metric.startswith("object") for _, _, metric in values)
    assert "ssim" not in stage.metrics
    assert stage.metrics["test_ssim_ceiling"] == 1.0
    assert stage.metrics["test_epe_static"] < static_error(flow.farneback(CLIPS[9]))


def test_intervals_and_marks_are_over_clusters(result: tuple[StageResult, Path]) -> None:
    values = read_values(result[1])
    summary = json.loads((result[1] / "summary.json").read_text())["splits"]["test"]
    assert summary["clusters"] == {"kind": "film", "count": 3}
    rows = {row["system"]: row for row in summary["rows"] if row["metric"] == "ssim"}
    of_clips = {clip: values[clip, "plain", "ssim"][0] for clip in INDEX if SPLIT[clip] == "test"}
    films = [[v for clip, v in of_clips.items() if CLUSTERS[clip] == film and v is not None] for film in CLUSTERS[9:]]
    _, low, high = mean_and_interval([v for v in of_clips.values() if v is not None], [CLUSTERS[c] for c in of_clips])
    assert len({tuple(film) for film in films}) == 3
    assert (rows["plain"]["low"], rows["plain"]["high"]) == (low, high)
    assert (low, high) != mean_and_interval([v for v in of_clips.values() if v is not None])[1:]
    page = (result[1] / "page.html").read_text(encoding="utf-8")
    assert "Means over 4 clips with 95% BCa bootstrap intervals over 3 films: clips of one film are alike" in page
    assert "paired t test over films" in page


def test_a_protocol_judges_all_videos_of_a_trial(
    judges: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Protocol("mind_video-1", "a smaller one", side=32, frames=2, padding="halves", fifty_way="no")
    monkeypatch.setitem(cast(dict[str, Protocol], PROTOCOLS), "mind_video-1", small)
    stage, folder = evaluate(judges_of(tmp_path, 40, 40, frames=2), tmp_path, made(), protocol="mind_video-1")
    values = read_values(folder)
    videos = dict(zip(INDEX, made()["reconstruct"]["videos.safetensors"]["videos"], strict=True))
    for clip in INDEX:
        truth = small.fitted(CLIPS[clip], "truth", frames=2, size=(32, 32))
        own = small.fitted(videos[clip], "prediction", frames=2, size=(32, 32))
        assert truth.shape == own.shape == (2, 36, 35, 3)
        assert values[clip, "system", "ssim"][0] == pixels.ssim(truth, own)
        mean = small.fitted(CLIPS[0], "prediction", frames=2, size=(32, 32))
        assert values[clip, "mean_latent", "ssim"][0] == pixels.ssim(truth, mean)
        static = np.repeat(own[:1], 2, axis=0)
        assert values[clip, "static", "ssim"][0] == pixels.ssim(truth, static)
    assert not any(metric.startswith("object") for _, _, metric in values), "masks are of all frames, without borders"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["protocol"] == {"id": "mind_video-1", "text": str(small), "left_out": []}
    assert str(small) in (folder / "page.html").read_text(encoding="utf-8")
    assert "test_ssim" in stage.metrics


def test_fifty_way_stands_beside_two_way_where_the_classifiers_have_enough_classes(
    result: tuple[StageResult, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def network(clip: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.random.default_rng(int(clip.sum())).normal(size=(FRAMES, 60)).astype(np.float32)

    monkeypatch.setattr("trainables.judging.bench.load_networks", lambda *_, **__: Networks(image_classifier=network))
    stage, folder = evaluate({}, tmp_path, made())
    videos = dict(zip(INDEX, made()["reconstruct"]["videos.safetensors"]["videos"], strict=True))
    for clip, system, metric in read_values(folder):
        if (system, metric) == ("system", "fifty_way_i"):
            expected = NWay(n=50).exact(network(CLIPS[clip]), network(videos[clip])).mean()
            assert read_values(folder)[clip, system, metric][0] == pytest.approx(expected)
    assert 0 < stage.metrics["test_fifty_way_i"] < stage.metrics["test_two_way_i"]
    assert json.loads((folder / "summary.json").read_text())["protocol"]["left_out"] == []
    (left_out, _) = json.loads((result[1] / "summary.json").read_text())["protocol"]["left_out"]
    assert left_out == "50-way needs a classifier of 52 classes or more, but the image_classifier has 32"
    assert left_out in (result[1] / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"protocol": "mind_video-1"}, "mind_video-1 cannot judge these videos: it judges 256x256 pixels"),
        ({"protocol": "mind_animator-1", "resolution": 64}, "mind_animator-1 fixes it at 512; leave it out"),
    ],
)
def test_a_trial_that_its_protocol_cannot_judge_fails(
    judges: dict[str, str], tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(judges, tmp_path, made(), **changed)


def test_other_clips_in_the_controls_are_an_error(judges: dict[str, str], tmp_path: Path) -> None:
    inputs = made()
    inputs["controls"]["videos.safetensors"]["index"] = np.arange(7)
    with pytest.raises(ValueError, match="both must be of the same clips"):
        evaluate(judges, tmp_path, inputs)


def test_a_stored_trial_is_read_back_as_it_was_judged(
    judges: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[JudgedTrial] = []
    monkeypatch.setattr("trainables.stages.evaluate.write_page", lambda trial, *_: judged.append(trial))
    runs = RunStore(MemoryStore(), cache=tmp_path / "cache")
    inputs = {stage: commit(runs, stage, files, tmp_path / stage) for stage, files in made().items()}
    config, output = resolve({**judges, "evaluate.shuffles": 2, "evaluate.seed": 5}), tmp_path / "out"
    output.mkdir()
    inputs = with_control_scores(inputs, config, runs, tmp_path)
    run(StageTask(config, 0, inputs, Context(output, runs.checkpoints("x"))))
    settings = {"evaluate": config.evaluate.model_dump(mode="json")}
    runs.commit(Manifest("evaluate-0", "evaluate", settings, 0, {}, {}, {}, (), {}, 0.0, 0.0), output)
    old = {
        "clips.safetensors": {"clips": CLIPS},
        "data.json": {
            "captions": captions(FACTORS),
            "source": [f"film {i}" for i in range(len(SPLIT))],
            "factors": FACTORS.to_json(),
        },
    }
    inputs = {"evaluate": runs.open("evaluate-0"), **inputs}
    earlier = {name: artifacts for name, artifacts in inputs.items() if name != "clips"}
    earlier["data"] = commit(RunStore(MemoryStore(), cache=tmp_path / "old"), "data", old, tmp_path / "earlier")
    for stage_runs in (inputs, earlier):
        stored = list(read_judged(stage_runs, config.dataset))
        assert [split.split for split in stored] == ["validation", "test"]
        same_as_judged(stored, judged[0].splits)


def same_as_judged(stored: Sequence[JudgedSplit], judged: Sequence[JudgedSplit]) -> None:
    for split, before in zip(stored, judged, strict=True):
        assert (split.clips, split.names, split.captions) == (before.clips, before.names, before.captions)
        assert split.values == before.values
        assert split.rows == before.rows
        assert list(split.videos) == list(before.videos)
        for name, videos in before.videos.items():
            assert len(split.videos[name]) == len(videos) == len(split.clips)
            assert all(np.array_equal(split.videos[name][row], videos[row]) for row in range(len(videos)))
