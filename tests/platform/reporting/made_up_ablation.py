"""A made-up ablation in a store: a real design, and records and per-clip values with planted effects, nothing run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform.study.design import (
    BASELINE,
    Condition,
    DataSet,
    DeclaredComparison,
    Design,
    Published,
    Source,
    block_name,
    trial_name,
)
from platform.study.registration import Amendment, frozen
from storage.base import Store
from storage.events import EventLog
from storage.runs import Manifest, RunStore
from storage.studies import save_amendment, save_study
from trainables.judging.ceiling_text import CEILING_FACT

STUDY = "made_up"
BEGAN = 1_790_000_000.0
SSIM, EPE, TWO_WAY, VIFI = (f"evaluate.test_{name}" for name in ("ssim", "epe", "two_way_i", "vifi"))
TRUE = {SSIM: 0.32, EPE: 2.1, TWO_WAY: 0.82, VIFI: 0.61, "evaluate.test_psnr": 12.0}
"""Metric to the baseline's true mean."""
EFFECTS: Mapping[str, Mapping[str, float]] = {
    "wo_semantic": {SSIM: -0.03, TWO_WAY: -0.12, VIFI: -0.08},
    "wo_structure": {SSIM: -0.14, "evaluate.test_psnr": -2.0},
    "wo_motion": {EPE: 0.4},
    "renamed": {},
}
"""Condition to metric to the planted difference."""
CONTROLS = {"static": -0.05, "shuffled_fmri": -0.2, "random_clip": -0.25, "ceiling": 0.2}
"""Control to what is added to every metric that is better when higher, and taken from the others."""
REGIONS = ("V1", "V2", "V3", "V4", "LO", "MT", "MST", "TPOJ")


_QUANTILES = {"0%": 0.5, "25%": 0.6, "50%": 0.71, "75%": 0.8, "100%": 1.0}
OVERLAP = {"clips": 10, "same_frames": 0, "quantiles": _QUANTILES, "any_training_clip": 0.25}
"""As in the stage's overlap.json."""


@dataclass(frozen=True)
class MadeUp:
    """What the study is like."""

    subjects: tuple[int, ...] = (0,)
    seeds: int = 7
    clips: int = 12
    failed: frozenset[str] = frozenset()
    """Names of trials that failed."""
    error: str = "RuntimeError: out of memory"
    waiting: frozenset[str] = frozenset()
    """Names of trials that have not ended."""
    published: bool = True
    importance: bool = False
    vary: tuple[Source, ...] = ("train",)
    """With `data`, each seed has clips of its own."""
    film_clips: int = 0
    """Clips of a film; 0: evaluations of an earlier version, without clusters."""
    family: Sequence[tuple[str, str]] = (
        ("wo_semantic", TWO_WAY),
        ("wo_structure", SSIM),
        ("wo_motion", EPE),
        ("renamed", SSIM),
    )
    margins: Mapping[str, float] = field(default_factory=lambda: {SSIM: 0.03, EPE: 0.15})
    effects: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: EFFECTS)
    controls: Mapping[str, float] = field(default_factory=lambda: CONTROLS)
    """As `CONTROLS`."""
    saturated: frozenset[str] = frozenset()
    """Metrics of which every value of the system is 1."""

    ceiling: str = ""
    """Noise ceiling of the voxels, as the stage `library` reports it."""
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    """The section of the config; empty: that of an earlier version."""
    datasets: Mapping[str, "MadeUp"] = field(default_factory=dict)
    """Several data sets: what the study is like in each; conditions, seeds and family are those of the whole."""

    @property
    def design(self) -> Design:
        rows = {BASELINE: "full", **{name: name for name in ("wo_semantic", "wo_structure", "wo_motion")}}
        columns = {SSIM: "ssim", EPE: "epe", TWO_WAY: "two_way_i", "evaluate.test_psnr": "psnr"}
        table = Published(table="table6.csv", conditions=rows, columns=columns)
        return Design(
            baseline={},
            conditions={name: Condition(overrides={"motion.depth": 3}) for name in self.effects},
            subjects=self.subjects,
            seeds=self.seeds,
            seed=0,
            primary=(TWO_WAY, SSIM, EPE),
            family=tuple(DeclaredComparison(condition=condition, metric=metric) for condition, metric in self.family),
            unit="both",
            alpha=0.05,
            margins=dict(self.margins),
            tolerance=0.1,
            vary=self.vary,
            published=(table,) if self.published else (),
            datasets=tuple(
                DataSet(name=name, overrides={"dataset.seed": index}, subjects=each.subjects)
                for index, (name, each) in enumerate(self.datasets.items())
            ),
        )


def write_study(store: Store, scratch: Path, made: MadeUp, *, added: int = 0, study: str = STUDY) -> str:
    """Put the study on record; `added` seeds were amended later. Returns its id."""
    design = made.design
    frozen_design = frozen(design, {"evaluate": "evaluate-0000000000000000"})
    definition = {"targets": list(design.primary), "seed": 0, "repeats": made.seeds, **frozen_design}
    save_study(store, study, {"id": study, "definition": definition})
    if added:
        amendment = Amendment(made.seeds, made.seeds + added, BEGAN + 9000)
        save_amendment(store, study, 1, asdict(amendment))
    runs = RunStore(store, cache=scratch / "cache")
    log = EventLog(store, study)
    for dataset, part in design.parts.items():
        like = made.datasets.get(dataset, made)
        for key in product(part.names, part.subjects, range(made.seeds + added)):
            name = trial_name(*key, dataset)
            identities = _stages(runs, scratch, like, key, name)
            for number, event in enumerate(
                _events(like, name, key, identities, {"dataset": dataset} if dataset else {})
            ):
                log.append(name, number, {"trial": name, "sequence": number, **event})
    return study


def _events(
    made: MadeUp, name: str, key: tuple[str, int, int], identities: Mapping[str, str], dataset: Mapping[str, str]
) -> list[dict[str, Any]]:
    condition, subject, seed = key
    block = block_name(subject, seed, *dataset.values())
    labels = {"condition": condition, "subject": str(subject), "seed": str(seed), "block": block, **dataset}
    body = {
        "point": 0,
        "repeat": seed,
        "seed": seed,
        "values": {**dataset, "condition": condition, "subject": subject},
        "config": {"dataset": {"kind": "phantom"}, **({"evaluate": made.evaluate} if made.evaluate else {})},
        "runs": [
            {"stage": stage, "identity": one, "seed": seed, "config": {}, "inputs": {}}
            for stage, one in identities.items()
        ],
        "labels": labels,
    }
    events: list[dict[str, Any]] = [{"kind": "proposed", "time": BEGAN + seed, "body": body}]
    if name in made.waiting:
        return events
    failed = name in made.failed
    ended = {
        "outcome": "FAILED" if failed else "COMPLETED",
        "metrics": _trial_metrics(made) if not failed else {},
        "step": 0,
        "error": f"Traceback (most recent call last):\n{made.error}" if failed else None,
        "seconds": 100.0,
        "runs": {}
        if failed
        else {
            stage: {"identity": one, "reused": stage == "data", "seconds": 10.0 if stage == "data" else 25.0}
            for stage, one in identities.items()
        },
    }
    return [*events, {"kind": "finished", "time": BEGAN + 100 + seed, "body": ended}]


def _trial_metrics(made: MadeUp) -> dict[str, float]:
    if not made.importance:
        return {}
    methods = ("weight_product", "gradient", "permutation")
    return {f"importance.motion_{method}_regions": 0.8 for method in methods}


def _stages(runs: RunStore, scratch: Path, made: MadeUp, key: tuple[str, int, int], name: str) -> dict[str, str]:
    seed = key[2]
    identities = {"data": "data-0000000000000000", "evaluate": f"evaluate-{name}"}
    if name in made.failed | made.waiting:
        return identities
    folder = scratch / name
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows(made, key)), folder / "per_clip.parquet")
    runs.commit(_manifest(identities["evaluate"], "evaluate", seed), folder)
    if made.ceiling:
        identities["library"] = f"library-{name}"
        folder = scratch / f"{name}-library"
        folder.mkdir()
        (folder / "overlap.json").write_text(json.dumps({"test": OVERLAP}), encoding="utf-8")
        runs.commit(_manifest(identities["library"], "library", seed, {CEILING_FACT: made.ceiling}), folder)
    if made.importance:
        identities["importance"] = f"importance-{name}"
        folder = scratch / f"{name}-importance"
        folder.mkdir()
        planted = [0.1, 0.1, 0.2, 0.1, 0.1, 0.8, 0.9, 0.3]
        found = {"weight_product": planted[::-1], "gradient": planted, "permutation": planted, "planted": planted}
        facts = {"regions": REGIONS, "importance": {"motion": found}, "carries": {}}
        (folder / "regions.json").write_text(json.dumps(facts), encoding="utf-8")
        runs.commit(_manifest(identities["importance"], "importance", seed), folder)
    return identities


def _manifest(identity: str, stage: str, seed: int, facts: Mapping[str, str] | None = None) -> Manifest:
    info = {"python": "3.11.9", "torch": "2.9.0", "device": "cpu", **({} if facts is None else facts)}
    return Manifest(identity, stage, {}, seed, {}, {}, {}, (), info, BEGAN, 25.0)


def rows(made: MadeUp, key: tuple[str, int, int]) -> list[dict[str, Any]]:
    """Return per_clip.parquet of one trial: clips differ in all trials alike, seeds and cells by chance."""
    condition, subject, seed = key
    clip_effect = np.random.default_rng(1).normal(0, 0.05, made.clips)
    own = np.random.default_rng([7, subject, seed, list(made.design.names).index(condition)])
    found = []
    world = f"world {seed}: " if "data" in made.vary else ""
    for metric, mean in TRUE.items():
        size = mean * 0.1
        shift = made.effects.get(condition, {}).get(metric, 0.0) + own.normal(0, size * 0.05)
        values = mean + shift + size * clip_effect * 4 + own.normal(0, size * 0.1, made.clips)
        sign = -1 if metric == EPE else 1
        noise = own.normal(0, size * 0.1, (len(made.controls), made.clips))
        shifted = zip(made.controls.items(), noise, strict=True)
        systems = {name: values + sign * by * mean + rest for (name, by), rest in shifted}
        systems["system"] = values if metric not in made.saturated else np.ones(made.clips)
        for system, numbers in systems.items():
            highest = 1.0 if metric in (SSIM, TWO_WAY, VIFI) else np.inf
            for clip, value in enumerate(np.clip(numbers, 0.0, highest).tolist()):
                cell = {"split": "test", "clip": 100 + clip, "name": f"{world}clip {clip}", "system": system}
                cell |= {"cluster": f"film {clip // made.film_clips}"} if made.film_clips else {}
                found.append({**cell, "metric": metric.removeprefix("evaluate.test_"), "value": value, "reason": ""})
    return found
