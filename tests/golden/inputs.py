"""Fixed inputs for every stage, drawn by numpy: no stage decides what another one is given here."""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn

from storage.memory import MemoryStore
from storage.runs import Artifacts, Manifest, RunStore
from tests.golden.mindvideo_inputs import MINDVIDEO, mindvideo_files
from tests.golden.pixel_inputs import PIXEL_SYSTEMS, pixel_files
from tests.golden.system_inputs import system_inputs
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.base import digest_of
from trainables.datasets.phantom.stimuli import captions, render, sample_factors
from trainables.datasets.prepared.tables import VoxelTable, write_voxels
from trainables.judging.controls import CONTROLS, GENERATOR_CEILING
from trainables.judging.per_clip_table import write_values
from trainables.judging.values import Value
from trainables.metrics.clip_metrics import CLIP_METRICS, SHUFFLE_TESTED
from trainables.networks.motion import motion_decoder
from trainables.networks.semantic import SemanticDecoder
from trainables.networks.structure import StructureDecoder

SPLIT = ("train",) * 10 + ("validation",) * 3 + ("test",) * 3
FRAMES, VOXELS, CLIP_DIM = 8, 24, 12
CONDITION, LATENTS = (20, 64), (FRAMES, 4, 16, 16)
"""As the shipped networks have them."""
DRIVES = ("image", "contrast", "colour", "motion", "words")
_SMALL = {"width": 16, "attention_width": 8, "heads": 2, "ffn_width": 16, "encoder_hidden": 8, "mlp_hidden": 8}
_TRAIN = {"epochs": 2, "batch_size": 5, "warmup_steps": 2}
JUDGED = {"image_classifier": 32, "video_classifier": 32, "vifi": 64, "clip": 64}
"""Role of the shipped networks that judge to the width of their outputs."""
VIDEOS_FOLDER = "elsewhere"
"""Holds the videos of the stage `reconstruct` as .npy, under the names of their clips."""
Tensors = Mapping[str, NDArray[Any]]


def config(folder: Path | None = None) -> TrialConfig:
    """Return a config under which every stage takes a second or two; given videos are those in `folder`."""
    data = {"train_clips": 6, "validation_clips": 2, "test_clips": 2, "block_clips": 2, "subjects": 1, "voxels": 64}
    video = {"steps": 4, "noise_timestep": 400, "batch_clips": 2, "validation_clips": 2, "test_clips": 2}
    sections = {
        "dataset": data,
        "features": {"image_variants": 1, "text_variants": 2},
        "semantic": {"hidden": 8, "head_hidden": [8], "train": _TRAIN},
        "structure": {"hidden": 8, "train": _TRAIN},
        "motion": {**_SMALL, "patch_size": 8, "train": _TRAIN},
        "generator": video,
        "given": {"path": None if folder is None else str(folder / VIDEOS_FOLDER)},
        "energy": {"resolution": 32, "spatial_frequencies": [0, 2], "directions": 2},
        "nishimoto": {"voxels": 12, "top": 3},
        "han": {"alphas": [100.0]},
        "wen": {"alphas": [100.0]},
        "evaluate": {"shuffles": 20},
        "importance": {"clips": 3},
        **MINDVIDEO,
        **PIXEL_SYSTEMS,
        "noop": {"value": 0.5, "epochs": 2},
    }
    return resolve(sections)


def write_inputs(folder: Path, *, split: Sequence[str] = SPLIT, videos: int = 2) -> Mapping[str, Artifacts]:
    """Return what every stage would find of the stages before it, committed under `folder`.

    `videos` is how many validation and how many test clips are made into video.
    """
    runs = RunStore(MemoryStore(), cache=folder / "cache")
    clips = np.arange(len(split))
    made = np.concatenate([clips[np.array(split) == name][:videos] for name in ("validation", "test")])
    written = _files(np.random.default_rng(0), split, made)
    (folder / VIDEOS_FOLDER).mkdir()
    stored = written["reconstruct"]["videos.safetensors"]
    for clip, video in zip(stored["index"], stored["videos"], strict=True):
        np.save(folder / VIDEOS_FOLDER / f"film {clip}.npy", video)
    return {stage: _committed(runs, stage, files, folder / stage) for stage, files in written.items()}


def _files(rng: np.random.Generator, split: Sequence[str], made: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    count = len(split)
    factors = sample_factors(np.random.default_rng(1), count)
    clips = render(factors)
    shown = {
        "captions": [[caption] for caption in captions(factors)],
        "source": [f"film {number}" for number in range(count)],
        "factors": factors.to_json(),
        "warnings": [],
        "shape": clips.shape,
        "digests": [digest_of(clip) for clip in clips],
        "prepared": None,
    }
    onsets = [[4 * number] for number in range(count)]
    facts = {
        "kind": "series",
        "split": list(split),
        "block": [0] * count,
        "lag_tr": 2,
        "tr": 2.0,
        "roi_names": ["V1", "MT", "frontal"],
        "subjects": [{"name": "one", "onsets": onsets, "runs": [0, 32]}],
        "drives": list(DRIVES),
    }
    roi = np.arange(VOXELS, dtype=np.int16) % 3
    bold = {"bold": _normal(rng, 4 * count + 6, VOXELS).cumsum(0, dtype=np.float32) / 4}
    planted = {"share": rng.random((VOXELS, len(DRIVES)), dtype=np.float32)}
    voxels = {"fmri": _normal(rng, count, VOXELS), "roi": roi, "voxel": np.arange(VOXELS, dtype=np.int32)}
    return {
        "clips": {"clips.safetensors": {"clips": clips}, "clips.json": shown},
        "data": {
            "bold_0.safetensors": bold,
            "voxel_table_0.parquet": VoxelTable(np.array(facts["roi_names"])[roi]),
            "planted_0.safetensors": planted,
            "data.json": facts,
        },
        "features": {
            "features.safetensors": _features(rng, count),
            "features.json": {"condition_tokens": CONDITION[0]},
        },
        "voxels": {
            "voxels.safetensors": voxels,
            "voxels.json": {"split": list(split), "roi_names": facts["roi_names"], "subject": "one"},
        },
        **_decoders(rng, np.arange(split.index("validation"), count)),
        **_videos(rng, clips, made),
        "control_scores": _control_scores(rng, [split[clip] for clip in made], made),
        **system_inputs(count=count, voxels=VOXELS),
        **mindvideo_files(
            voxels=VOXELS, clip_dim=CLIP_DIM, condition=CONDITION, held_out=np.arange(split.index("validation"), count)
        ),
        **pixel_files(voxels=VOXELS, frames=FRAMES),
    }


def _features(rng: np.random.Generator, count: int) -> Tensors:
    return {
        "clip_image": _normal(rng, count, CLIP_DIM),
        "clip_text": _normal(rng, count, CLIP_DIM),
        "clip_image_variants": _normal(rng, count, 2, CLIP_DIM),
        "clip_text_variants": _normal(rng, count, 2, CLIP_DIM),
        "condition": _normal(rng, count, *CONDITION),
        "latents": _normal(rng, count, *LATENTS),
    }


def _decoders(rng: np.random.Generator, held_out: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    trial, sizes = config(), (CONDITION[0] - 1, CONDITION[1])
    semantic = SemanticDecoder(trial.semantic, voxels=VOXELS, clip_dim=CLIP_DIM, condition=sizes)
    structure = StructureDecoder(
        VOXELS,
        LATENTS[1:],
        hidden=trial.structure.hidden,
        residual_layers=trial.structure.residual_layers,
        dropout=trial.structure.dropout,
    )
    networks: Mapping[str, nn.Module] = {
        "semantic": semantic,
        "structure": structure,
        "motion": motion_decoder(trial.motion, voxels=VOXELS, video=LATENTS),
    }
    shapes = {
        "semantic": ("condition", sizes),
        "structure": ("first_latent", LATENTS[1:]),
        "motion": ("latents", LATENTS),
    }
    return {
        stage: {
            "model.safetensors": _weights(rng, network),
            "predictions.safetensors": {
                shapes[stage][0]: _normal(rng, len(held_out), *shapes[stage][1]),
                "index": held_out,
            },
        }
        for stage, network in networks.items()
    }


def _weights(rng: np.random.Generator, network: nn.Module) -> Tensors:
    """Return weights that do not depend on how torch initialises a network."""
    state = network.state_dict()
    return {
        name: _normal(rng, *value.shape) / 4 if value.is_floating_point() else value.numpy()
        for name, value in state.items()
    }


def _videos(rng: np.random.Generator, clips: NDArray[np.uint8], made: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    truth = clips[made]

    def noisy() -> NDArray[np.uint8]:
        return np.clip(truth + rng.normal(scale=30.0, size=truth.shape), 0, 255).astype(np.uint8)

    own = {"videos": noisy(), "plain": noisy(), "index": made}
    controls = {"ceiling": noisy(), "ceiling_plain": noisy(), "mean_latent": noisy()[0], "index": made}
    library = {"index": made, "nearest_clip": np.arange(len(made)), "mean_clip": noisy()[0]}
    return {
        "reconstruct": {"videos.safetensors": own},
        "controls": {"videos.safetensors": controls},
        "library": {"library.safetensors": library},
    }


def _control_scores(rng: np.random.Generator, splits: Sequence[str], made: NDArray[np.int64]) -> dict[str, Any]:
    """Return values of shared controls and outputs of networks that no network computed."""
    shared = [name for name, control in CONTROLS.items() if control.shared and name != GENERATOR_CEILING]
    rows: dict[str, list[Value]] = {name: [] for name in dict.fromkeys(splits)}
    for name, clip, system, metric in product(rows, made, shared, CLIP_METRICS):
        if splits[list(made).index(clip)] == name:
            rows[name].append(Value(system, "", str(clip), metric, float(rng.random())))
    outputs = {
        f"truth_{name}.safetensors": {
            role: _normal(rng, splits.count(name), 1 if role == "video_classifier" else FRAMES, size)
            for role, size in JUDGED.items()
        }
        for name in rows
    }
    test = {"group_p": 0.5, "group_p_repeats": [0.5], "clips": 2, "clips_below_0.05": 0.5, "median_clip_p": 0.5}
    shuffle = {name: {"ceiling": dict.fromkeys(SHUFFLE_TESTED, test)} for name in rows}
    return {"per_clip.parquet": rows, "shuffle.json": shuffle, **outputs}


def _normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.normal(size=shape).astype(np.float32)


def _committed(runs: RunStore, stage: str, files: Mapping[str, Any], folder: Path) -> Artifacts:
    folder.mkdir()
    for name, content in files.items():
        if name.endswith(".json"):
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
        elif name == "per_clip.parquet":
            clips = {int(value.clip): f"film {value.clip}" for values in content.values() for value in values}
            write_values([(split, clips, values) for split, values in content.items()], folder / name)
        elif name.endswith(".parquet"):
            write_voxels(content, folder / name)
        else:
            save_file({key: np.ascontiguousarray(values) for key, values in content.items()}, folder / name)
    settings = {"reconstruct": {"motion": "decoded"}, "generator": {"steps": 4}}
    runs.commit(Manifest(f"{stage}-0", stage, settings, 0, {}, {}, {}, (), {}, 0.0, 0.0), folder)
    return runs.open(f"{stage}-0")


def networks_of_clips() -> Mapping[str, Any]:
    """Return stand-ins for the networks that judge clips: fixed linear maps of coarse frames."""
    rng = np.random.default_rng(2)
    sizes = {"image_classifier": 32, "video_classifier": 20, "vifi": 8, "clip": 8}
    return {role: _linear(rng.normal(size=(8 * 8 * 3, size)), role) for role, size in sizes.items()}


def _linear(weights: NDArray[np.float64], role: str) -> Any:
    def network(clip: NDArray[np.uint8]) -> NDArray[np.float64]:
        coarse = clip[:, 4::8, 4::8].reshape(len(clip), -1) / 255.0 - 0.5
        values: NDArray[np.float64] = coarse @ weights + 0.5
        return values.mean(axis=0, keepdims=True) if role == "video_classifier" else values

    return network


def pair_of_clips() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a true clip of the phantom and a noisy one that moves otherwise."""
    clips = render(sample_factors(np.random.default_rng(1), 2))
    noise = np.random.default_rng(3).normal(scale=20.0, size=clips[0].shape)
    mixed = 0.7 * clips[0] + 0.3 * clips[1] + noise
    return clips[0], np.clip(mixed, 0, 255).astype(np.uint8)
