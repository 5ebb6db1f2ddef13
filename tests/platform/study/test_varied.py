"""`vary: [train, data]`: each seed has data of its own, which conditions share, and which the claim names."""

from pathlib import Path

import pytest

from platform.study.ablation_file import ABLATIONS, load_ablation
from platform.study.design import Design
from platform.study.plan import make_plan
from platform.study.registration import frozen, registered
from platform.study.varied import config_of_block, varied_of
from storage.memory import MemoryStore
from tests.platform.noop_ablations import build, complaints, register
from tests.trainables.folders import write_folder
from trainables import datasets
from trainables.config.data import DATASET_CONFIGS
from trainables.config.trial import config_from_json, resolve

TEXT = """\
primary: structure.test_latent_mse
seeds: 6
unit: seeds
conditions: {wo_detrending: {voxels.detrend: false}}
"""
BOTH = "primary: evaluate.test_ssim\nseeds: 6\nconditions: {a: {motion.depth: 3}}\n"
DATA = "vary: [train, data]\n"


def test_without_data_nothing_is_new() -> None:
    plain, written = build(TEXT), build(TEXT + "vary: [train]\n")
    assert plain.definition == written.definition == build(TEXT + "vary: train\n").definition
    assert "vary" not in plain.definition["design"]
    assert len({spec.config["dataset"]["seed"] for spec in plain.specs}) == 1


def test_each_seed_has_a_world_that_the_conditions_share() -> None:
    study = build(TEXT + DATA + "baseline: {dataset.seed: 10}\nseed: 3\n")
    worlds = {spec.trial: (spec.seed, spec.config["dataset"]["seed"]) for spec in study.specs}
    assert worlds["baseline-u0-s3"] == worlds["wo_detrending-u0-s3"] == (3, 13)
    assert {world for _, world in worlds.values()} == set(range(13, 19))
    by_stage = {
        name: [run for run in study.shared_runs() if run.stage == name] for name in ("clips", "data", "features")
    }
    assert {name: len(runs) for name, runs in by_stage.items()} == {"clips": 6, "data": 6, "features": 6}
    for run in study.shared_runs():
        assert run.identity in {own.identity for own in study.runs(study.config_of(run), seed=run.seed)}
    assert "dataset.seed + 3 to 8" in study.headline()["vary"]


def test_the_plan_counts_the_data_of_every_seed() -> None:
    stages = {name: make_plan(build(text), MemoryStore()) for name, text in (("one", TEXT), ("own", TEXT + DATA))}
    runs = {name: {stage.stage: stage.runs for stage in plan.stages} for name, plan in stages.items()}
    assert runs["one"] == {"clips": 1, "features": 1, "data": 1, "voxels": 2, "structure": 12}
    assert runs["own"] == {"clips": 6, "features": 6, "data": 6, "voxels": 12, "structure": 12}


def test_what_is_varied_is_registered() -> None:
    study, store = build(TEXT + DATA), MemoryStore()
    register(study, store)
    assert study.definition["sha256"] != build(TEXT).definition["sha256"]
    assert registered(store, study.id)[0].design == study.design
    assert frozen(study.design, {})["design"]["vary"] == ["train", "data"]


def test_a_folder_keeps_its_test_clips(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    baseline = f"baseline: {{dataset.kind: folder, dataset.path: {folder}}}\n"
    study = build(TEXT + DATA + baseline)
    configs = [config_from_json(spec.config) for spec in study.specs[:6]]
    splits = [datasets.load(config.dataset).brains.split for config in configs]
    assert len({tuple(name == "test" for name in split) for split in splits}) == 1
    assert len(set(map(tuple, splits))) > 2
    assert splits[0] == datasets.load(study.space.config({}).dataset).brains.split, "seed 0 is the split as it is"
    clips = {run.identity for spec in study.specs for run in spec.runs if run.stage in ("clips", "features")}
    assert len(clips) == 2, "clips and features are those of all seeds"
    assert varied_of(study.design) == "training clips"


def test_two_data_sets_as_one_cannot_be_varied() -> None:
    (line,) = complaints(TEXT + DATA + "baseline: {dataset: {kind: across, train: {seed: 0}, test: {seed: 1}}}\n")
    assert "vary: data sets of kind across cannot be varied; leave `data` out, or use one of: phantom" in line


@pytest.mark.parametrize("kind", [kind for kind in DATASET_CONFIGS if kind != "across"])
def test_every_other_kind_of_data_set_of_this_project_can_be_varied(kind: str) -> None:
    path = {} if kind in ("phantom", "appearing") else {"dataset.path": "/nowhere"}
    before = resolve({"dataset.kind": kind, **path})
    assert config_of_block(before, 0) == before
    assert config_of_block(before, 2) not in (before, config_of_block(before, 1))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (TEXT + "vary: [data]\n", "test.yaml:5:1: vary: must be [train] or [train, data], but got [data]"),
        (TEXT + "vary: [train, brain]\n", "vary"),
        (TEXT + "vary: []\n", "vary"),
        (BOTH + DATA + "unit: clips\n", "vary: with data, each block of a phantom has clips of its own"),
    ],
)
def test_what_cannot_be_varied_is_refused(text: str, wrong: str) -> None:
    (line,) = complaints(text)
    assert wrong in line


def test_seeds_are_the_only_unit_where_each_has_clips_of_its_own() -> None:
    assert varied_of(build(BOTH + DATA).design) == "data set"
    few = "baseline: {generator.test_clips: 3}\n"
    assert "3 clips allow no p below" in complaints(BOTH + few)[0]
    assert build(BOTH + DATA + few).design.unit == "both", "clips are then no unit"


def test_a_shipped_ablation_varies_the_data() -> None:
    study = load_ablation(ABLATIONS / "other_worlds.yaml")
    assert isinstance(study.design, Design)
    assert varied_of(study.design) == "data set"
    assert len({spec.config["dataset"]["seed"] for spec in study.specs}) == study.design.seeds
