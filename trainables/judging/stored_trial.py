"""Reads the evaluation of a trial from its stored stage runs. Nothing is computed again."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq

from storage.runs import Artifacts
from trainables.config.data import AnyDataset
from trainables.config.video import EvaluateConfig
from trainables.datasets.clusters import each_its_own
from trainables.judging.judged_trial import JudgedSplit
from trainables.judging.score_tables import ScoreRow
from trainables.judging.score_trial import shuffled_partners, videos_of
from trainables.judging.trial_videos import SplitVideos, read_material

_Scores = dict[tuple[str, str], dict[int, float | None]]


def read_judged(runs: Mapping[str, Artifacts], dataset: AnyDataset) -> Iterator[JudgedSplit]:
    """Yield the judged splits of a trial, validation clips first.

    Args:
        runs: Its stage runs `clips` (`data` in trials of earlier versions), `voxels`, `reconstruct`, `controls` and
            `evaluate`.
        dataset: Its data set: clips of a prepared one are read from there.
    """
    evaluate = runs["evaluate"]
    config = EvaluateConfig.model_validate(evaluate.manifest.config["evaluate"])
    splits = evaluate.json("summary.json")["splits"]
    table = pq.read_table(evaluate.path("per_clip.parquet")).to_pylist()
    for material in read_material(runs, config, dataset):
        rows = splits[material.split]["rows"]
        names = {line["clip"]: str(line["cluster"]) for line in table if line.get("cluster")}
        clusters = tuple(names.get(clip, each_its_own([clip])[0]) for clip in material.clips)
        yield _judged(material, clusters, rows, _scores(table, material.split), seed=config.seed)


def _scores(table: list[dict[str, Any]], split: str) -> _Scores:
    scores: _Scores = {}
    for line in table:
        if line["split"] == split:
            scores.setdefault((line["system"], line["metric"]), {})[line["clip"]] = line["value"]
    return scores


def _judged(
    material: SplitVideos, clusters: tuple[str, ...], rows: list[dict[str, Any]], scores: _Scores, *, seed: int
) -> JudgedSplit:
    return JudgedSplit(
        split=material.split,
        clips=material.clips,
        names=material.names,
        clusters=clusters,
        captions=material.captions,
        videos=videos_of(material, shuffled_partners(len(material.clips), seed)),
        values={key: tuple(of_clip.get(clip) for clip in material.clips) for key, of_clip in scores.items()},
        rows=tuple(ScoreRow(control="", **row) for row in rows),
    )
