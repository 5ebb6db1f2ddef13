"""The embedding map, and the report of a replication, which compares nothing."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from platform.analysis.collect import AblationResult, collect_ablation
from platform.reporting.charts import figures
from platform.reporting.contents import build_report
from platform.reporting.embedding import embedding_maps, embedding_table
from platform.reporting.texts import report_page
from storage.memory import MemoryStore
from storage.runs import Manifest, RunStore
from tests.platform.reporting.made_up_ablation import MadeUp, write_study

CLIPS = 48


def stored(runs: RunStore, stage: str, folder: Path, identity: str) -> str:
    runs.commit(Manifest(identity, stage, {}, 0, {}, {}, {}, (), {}, 0.0, 1.0), folder)
    return identity


def embedded(result: AblationResult, folder: Path) -> AblationResult:
    """Give every trial embeddings: the baseline's are told apart by shape, those of other conditions are noise."""
    shapes = np.arange(CLIPS) % 4
    (folder / "clips").mkdir(parents=True)
    (folder / "clips" / "clips.json").write_text(json.dumps({"factors": {"shape": shapes.tolist()}}))
    (folder / "voxels").mkdir()
    split = ["test" if clip >= 8 else "validation" for clip in range(CLIPS)]
    (folder / "voxels" / "voxels.json").write_text(json.dumps({"split": split}))
    common = {
        "clips": stored(result.runs, "clips", folder / "clips", "clips-1111111111111111"),
        "voxels": stored(result.runs, "voxels", folder / "voxels", "voxels-1111111111111111"),
    }
    rng, trials = np.random.default_rng(0), {}
    for number, (key, trial) in enumerate(result.trials.items()):
        vectors = rng.normal(size=(CLIPS, 16)).astype(np.float32)
        if key[0] == "baseline":
            vectors[np.arange(CLIPS), shapes] += 20.0
        place = folder / trial.name
        place.mkdir()
        save_file({"embedding": vectors, "index": np.arange(CLIPS)}, place / "predictions.safetensors")
        semantic = stored(result.runs, "semantic", place, f"semantic-{number:016x}")
        trials[key] = replace(trial, identities={**trial.identities, **common, "semantic": semantic})
    design = result.design.model_copy(update={"figures": ("embedding_map",)})
    return replace(result, trials=trials, registration=replace(result.registration, design=design))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> AblationResult:
    folder, store = tmp_path_factory.mktemp("embedding"), MemoryStore()
    made = MadeUp(seeds=2, clips=3, effects={"renamed": {}}, family=(), published=False, margins={})
    study = write_study(store, folder, made)
    return embedded(collect_ablation(store, study, cache=folder / "cache"), folder / "embedded")


def test_shapes_that_lie_together_are_counted_and_noise_is_at_chance(result: AblationResult) -> None:
    baseline, renamed = embedding_maps(result)
    assert baseline.alike == (1.0, 1.0)
    assert baseline.chance == pytest.approx(9 / 39)  # 40 test clips, ten of each shape
    assert all(share < 0.5 for share in renamed.alike)
    assert baseline.coordinates.shape == (40, 2)
    np.testing.assert_array_equal(embedding_maps(result)[0].coordinates, baseline.coordinates)
    table = embedding_table((baseline, renamed)).markdown()
    assert re.search(r"\| baseline \| 1\.000.*\| 0\.231 \| 2 \|", table)


def test_the_map_is_a_panel_per_condition_with_a_dot_for_every_clip(result: AblationResult) -> None:
    report = build_report(result, store="memory://")
    panels = figures(report.findings, (), embedding_maps(result))["embedding"]
    assert [panel.title for panel in panels] == ["Embedding map of baseline", "Embedding map of renamed"]
    assert panels[0].svg().count('r="3"') == 40
    assert all(shape in panels[0].svg() for shape in ("disc", "square", "triangle", "cross"))
    assert "nearest neighbour of the same shape: 1.00 (chance 0.23)" in report_page(report)


def test_a_design_that_asks_for_no_map_gets_none(result: AblationResult) -> None:
    plain = result.design.model_copy(update={"figures": ()})
    assert embedding_maps(replace(result, registration=replace(result.registration, design=plain))) == ()


def test_a_replication_answers_with_means_and_importance(tmp_path: Path) -> None:
    store = MemoryStore()
    made = MadeUp(
        subjects=(0, 1), seeds=3, clips=4, effects={}, family=(), published=False, margins={}, importance=True
    )
    report = build_report(
        collect_ablation(store, write_study(store, tmp_path, made), cache=tmp_path / "cache"), store="memory://"
    )
    texts = [text for _, text in report.conclusions]
    assert any(re.match(r"SSIM is 0\.3\d* \[.*\] over 3 seeds and 2 subjects", text) for text in texts), texts
    assert "without a comparison" in report.methods
    titles = [section.title for section in report.sections]
    assert "Importance of regions" in titles
    assert "Declared comparisons" not in titles
    assert "p (Holm)" not in report_page(report), "three seeds can test nothing"
