"""The evaluate stage: metrics of the reconstructed videos and of all controls, as in the paper."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trainables.config.data import PhantomWorld
from trainables.config.video import EvaluateConfig, protocol_name
from trainables.context import StageResult, StageTask
from trainables.datasets.clusters import clusters_of_facts, kind_of
from trainables.datasets.prepared.tables import read_voxels
from trainables.judging.bench import Bench, judge_sources, load_bench
from trainables.judging.ceiling_text import CEILING_FACT
from trainables.judging.control_scores import read_split
from trainables.judging.controls import SYSTEM, SYSTEMS
from trainables.judging.judged_trial import JudgedTrial
from trainables.judging.library import OVERLAP_FACT
from trainables.judging.per_clip_table import write_values
from trainables.judging.protocols import protocol_text
from trainables.judging.score_trial import SplitScores, judge, row_json
from trainables.judging.trial_videos import read_material, with_added_controls
from trainables.judging.values import Value
from trainables.metrics.metric import Metric, split_prefix
from trainables.metrics.video import Role
from trainables.pages.drawing import Drawing
from trainables.pages.region_panels import region_panels
from trainables.pages.trial_page import write_page
from trainables.preparation.brain_maps import region_means, reliability_maps
from trainables.stage_table import STAGES, VIDEO_STAGES
from trainables.stages.other_subjects import TRAINED_ON
from trainables.systems import ABOUT
from trainables.tensors import map_tensors


def run(task: StageTask) -> StageResult:
    """Write `per_clip.parquet`, `summary.json`, `page.html` and `contact.png`; see `trainables.judging`.

    Metrics are means over the validation clips, and over the test clips with the prefix `test_`. Metrics of a control
    end in its name, such as `test_ssim_static`. A metric that is undefined on every clip is left out.

    Raises:
        ValueError: A network cannot be loaded, or reconstructions and controls are of different clips.
    """
    config = task.config.evaluate
    materials = [*map(with_added_controls, read_material(task.inputs, config, task.config.dataset))]
    bench = load_bench(config, shape=materials[0].shape, objects=materials[0].planted is not None)
    controls = task.inputs["control_scores"]
    clusters = _clusters(task)
    verdicts = [
        judge(material, bench, read_split(controls, material.split), clusters=clusters) for material in materials
    ]
    facts = (*_facts(task), *_judged_by(config, bench))
    judged = JudgedTrial(tuple(verdict.judged for verdict in verdicts), bench.metrics, facts)
    write_values(map(_table, verdicts), task.context.output / "per_clip.parquet", clusters=clusters)
    summary = {**_summary(verdicts, bench.metrics, judge_sources(config)), **_protocol(config, bench)}
    (task.context.output / "summary.json").write_text(json.dumps(summary, indent=1, allow_nan=False), encoding="utf-8")
    write_page(judged, task.context.output, _voxel_panels(task))
    counts = ", ".join(f"{len(split.clips)} {split.split}" for split in judged.splits)
    return StageResult(metrics=dict(_metrics(verdicts)), info={"clips": counts})


def _metrics(verdicts: Sequence[SplitScores]) -> Iterator[tuple[str, float]]:
    for verdict in verdicts:
        prefix = split_prefix(verdict.judged.split)
        for row in verdict.judged.rows:
            if row.mean is not None:
                yield f"{prefix}{row.metric}{_suffix(row.system)}", row.mean
        for system, outcomes in verdict.scores.shuffle.items():
            for metric, outcome in outcomes.items():
                yield f"{prefix}shuffle_p_{metric}{_suffix(system)}", outcome["group_p"]
                yield f"{prefix}shuffle_clips_{metric}{_suffix(system)}", outcome["clips_below_0.05"]


def _suffix(system: str) -> str:
    return "" if system == SYSTEM else f"_{system}"


def _summary(verdicts: Sequence[SplitScores], metrics: Sequence[Metric], sources: Mapping[Role, str]) -> dict[str, Any]:
    """Return `summary.json`. Means are over the clips on which a metric is defined for all systems that report it."""
    described = {
        metric.short: {"title": metric.label, "goal": metric.goal, "chance": metric.chance, "source": metric.source}
        for metric in metrics
    }
    splits = {
        verdict.judged.split: {
            "clips": len(verdict.judged.clips),
            "clusters": {"kind": kind_of(verdict.judged.clusters), "count": len(set(verdict.judged.clusters))},
            "rows": row_json(verdict.judged),
            "shuffle": verdict.scores.shuffle,
        }
        for verdict in verdicts
    }
    return {"systems": dict(SYSTEMS), "metrics": described, "judges": dict(sources), "splits": splits}


def _protocol(config: EvaluateConfig, bench: Bench) -> dict[str, Any]:
    evaluate = config.model_dump()
    name, text = protocol_name(evaluate), protocol_text(evaluate)
    return {"protocol": {"id": name, "text": text, "left_out": list(bench.remarks)}}


def _judged_by(config: EvaluateConfig, bench: Bench) -> Iterator[tuple[str, str]]:
    """Yield the facts of the page about the protocol, with the metrics that could not be computed."""
    yield "protocol", protocol_text(config.model_dump())
    if bench.remarks:
        yield "not judged", "; ".join(bench.remarks)


def _table(verdict: SplitScores) -> tuple[str, Mapping[int, str], Iterable[Value]]:
    """Return a split's part of `per_clip.parquet`, by clip, and by system in the order of tables."""
    judged, place = verdict.judged, {system: number for number, system in enumerate(SYSTEMS)}
    values = sorted(verdict.scores.values, key=lambda value: (int(value.clip), place[value.system]))
    return judged.split, dict(zip(judged.clips, judged.names, strict=True)), values


def _clusters(task: StageTask) -> Sequence[str]:
    """Return the cluster of each clip of the data set; empty if every clip is on its own."""
    simulated = isinstance(task.config.dataset, PhantomWorld)
    return clusters_of_facts(task.inputs["data"].json("data.json"), simulated=simulated)


def _voxel_panels(task: StageTask) -> Sequence[Drawing]:
    """Return the mean noise ceilings by region of the trial's subject, as far as the data set knows them."""
    data, name = task.inputs["data"], f"voxel_table_{task.config.voxels.subject}.parquet"
    if name not in data.manifest.files:
        return ()
    table = read_voxels(data.path(name))
    return region_panels(region_means(reliability_maps(table), table))


def _facts(task: StageTask) -> Iterator[tuple[str, str]]:
    """Yield the facts that the page shows about the videos: identities and settings."""
    maker = VIDEO_STAGES[task.config.system]
    manifest = task.inputs[maker].manifest
    yield maker, f"{manifest.identity}, seed {manifest.seed}"
    if (about := ABOUT.get(task.config.system)) is not None:
        yield "the authors'", about.authors
        yield "ours", about.ours
        yield "further data", about.data
    yield "controls", task.inputs["controls"].manifest.identity
    yield "subject", str(task.inputs["voxels"].json("voxels.json")["subject"])
    if TRAINED_ON in (trained := task.inputs["voxels"].manifest.info):
        yield TRAINED_ON, trained[TRAINED_ON]
    settings = {name: manifest.config[name] for name in STAGES[maker].sections if name != "backbones"}
    for section, fields in {**settings, "judges": task.config.evaluate.model_dump(mode="json")}.items():
        yield section, ", ".join(f"{field} {value}" for field, value in fields.items())
    library = task.inputs["library"].manifest.info
    yield from ((name, library[name]) for name in (OVERLAP_FACT, CEILING_FACT) if name in library)
    frames, height, width = map_tensors(task.inputs[maker].path("videos.safetensors"))["videos"].shape[1:4]
    yield "videos", manifest.info.get("videos", f"native size {width}x{height}, {frames} frame{'s' * (frames > 1)}")
