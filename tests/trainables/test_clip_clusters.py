"""The cluster of each clip: what data sets know of it, and what earlier results had."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tests.trainables.folders import config, write_folder
from trainables import datasets
from trainables.config.data import AppearingConfig, PhantomConfig
from trainables.config.trial import resolve
from trainables.datasets.clusters import clusters_named, clusters_of_facts, kind_of
from trainables.datasets.errors import DatasetError
from trainables.datasets.phantom import stimuli
from trainables.datasets.prepared.clusters import prepared_clusters
from trainables.datasets.prepared.read import PreparedSet
from trainables.datasets.resplit import resplit

SMALL = {"train_clips": 10, "validation_clips": 3, "test_clips": 8}
OWN = ["train"] * 7 + ["validation"] * 2 + ["test"] * 2 + ["excluded"]


def test_names_that_no_two_clips_share_are_no_clusters() -> None:
    assert clusters_named("run", [3, 3, 5]) == ("run 3", "run 3", "run 5")
    assert clusters_named("film", "abc") == ("clip 0", "clip 1", "clip 2")
    assert kind_of(["film a", "film a", "film b", "clip 3"]) == "film"
    assert kind_of(["film a", "film b"]) == "clip"
    assert kind_of([]) == "clip"


def test_earlier_results_had_blocks_alone() -> None:
    old = {"block": [0, 0, 1]}
    assert clusters_of_facts(old, simulated=False) == ("block 0", "block 0", "block 1")
    assert clusters_of_facts(old, simulated=True) == ()
    assert clusters_of_facts({**old, "cluster": ["film a"] * 3}, simulated=True) == ["film a"] * 3


@pytest.mark.parametrize("kind", [PhantomConfig, AppearingConfig])
def test_clips_of_a_scene_share_object_and_ground_alone(kind: type[PhantomConfig | AppearingConfig]) -> None:
    data = datasets.load(kind(**SMALL, scene_clips=4, voxels=64, subjects=1))
    scenes = np.array(data.brains.cluster)
    assert [scenes.tolist().count(name) for name in dict.fromkeys(scenes.tolist())] == [4, 4, 2, 3, 4, 4]
    assert datasets.load_presentations(kind(**SMALL, scene_clips=4), data.stimuli).cluster == data.brains.cluster
    assert data.stimuli.factors is not None
    for name, values in data.stimuli.factors.items():
        shared = [len(set(np.array(values)[scenes == scene].tolist())) == 1 for scene in set(scenes.tolist())]
        assert all(shared) == (name in (*stimuli.SCENE, "onset")), name


def test_scenes_change_no_clip_if_each_has_one() -> None:
    alone, default = (datasets.load_clips(PhantomConfig(**SMALL, **extra)) for extra in ({"scene_clips": 1}, {}))
    assert alone.factors == default.factors
    assert datasets.load_brains(PhantomConfig(**SMALL, voxels=64, subjects=1), default).cluster == ()


def test_only_the_judged_clips_count() -> None:
    judged = {"generator.test_clips": 6, **{f"dataset.{name}": count for name, count in SMALL.items()}}
    assert datasets.judged_clusters(resolve(judged)) == tuple(f"clip {clip}" for clip in range(6))
    scenes = datasets.judged_clusters(resolve({**judged, "dataset.scene_clips": 4}))
    assert [scenes.count(scene) for scene in dict.fromkeys(scenes)] == [4, 2]


def made(*, films: str, blocks: list[int], runs: dict[str, list[str]]) -> PreparedSet:
    """A prepared data set of clips a, b, ...: films and blocks by clip, runs with the clips that they show."""
    clips = [
        SimpleNamespace(clip_id=name, source=film.strip(), block=block, split="train" if index < 2 else "test")
        for index, (name, film, block) in enumerate(zip("abcdefgh", films, blocks, strict=False))
    ]
    events = [SimpleNamespace(clip_id=clip, run_id=run) for run, shown in runs.items() for clip in shown]
    subject = SimpleNamespace(name="sub-01", kind="series", events=events)
    return cast(PreparedSet, SimpleNamespace(clips=clips, subjects=[subject]))


def test_a_prepared_set_takes_films_then_runs_then_blocks() -> None:
    blocks, runs = [0, 0, 1, 1, 2, 2], {"r1": ["a", "b"], "r2": ["c", "d"], "r3": ["d", "e"], "r4": ["f"]}
    assert kind_of(prepared_clusters(made(films="xxyyzz", blocks=blocks, runs=runs))) == "film"
    by_run = prepared_clusters(made(films="xxyyyy", blocks=blocks, runs=runs))
    assert by_run == ("run 0", "run 0", "run 1", "run 1", "run 1", "run 2"), "runs that share a clip are one"
    one_run = {"r1": ["a", "b"], "r2": ["c", "d", "e", "f"]}
    assert kind_of(prepared_clusters(made(films="xxyyyy", blocks=blocks, runs=one_run))) == "block"
    assert kind_of(prepared_clusters(made(films="      ", blocks=blocks, runs=one_run))) == "block"
    assert kind_of(prepared_clusters(made(films="uvwxyz", blocks=blocks, runs=runs))) == "clip"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "mine")


def clusters(root: Path, **overrides: Any) -> list[str]:
    return list(datasets.load(config(root, **overrides).dataset).brains.cluster)


def test_a_folder_has_blocks_or_what_its_file_says(folder: Path) -> None:
    assert kind_of(clusters(folder)) == "clip", "twelve clips make blocks of one"
    assert clusters(folder, dataset__block_clips=3)[2:5] == ["block 0", "block 1", "block 1"]
    names = sorted((path.name for path in (folder / "clips").iterdir()), key=lambda name: (len(name), name))
    (folder / "own.json").write_text(json.dumps(dict(zip(names, OWN, strict=True))))
    assert clusters(folder, dataset__split="own.json", dataset__block_clips=6)[5:7] == ["block 0", "block 1"]
    lines = [
        f"{name},{split},{'a' if index < 9 else ''}" for index, (name, split) in enumerate(zip(names, OWN, strict=True))
    ]
    (folder / "own.csv").write_text("\n".join(["name,split,cluster", *lines]))
    found = clusters(folder, dataset__split="own.csv")
    assert found[:9] == ["cluster a"] * 9
    assert len(set(found)) == 4, "a clip without a cluster is on its own"


def test_a_resplit_mixes_training_and_validation_blocks_and_keeps_the_test(folder: Path) -> None:
    block = [clip // 4 for clip in range(80)]
    split = [("validation", "test", "excluded")[b % 3] if b < 6 else "train" for b in block]
    assert resplit(split, block, seed=0) == split
    first, second = (resplit(split, block, seed=seed) for seed in (1, 2))
    assert first != second
    for drawn in (first, second):
        for name in ("test", "excluded"):
            assert [of == name for of in drawn] == [of == name for of in split]
        assert drawn.count("validation") == split.count("validation")
        assert all(len({drawn[row] for row in range(80) if block[row] == b}) == 1 for b in set(block))
    splits = [datasets.load(config(folder, dataset__resplit=seed).dataset).brains.split for seed in range(4)]
    assert len({tuple(row == "test" for row in split) for split in splits}) == 1
    assert len(set(map(tuple, splits))) > 1


def test_too_few_blocks_for_a_resplit_are_an_error() -> None:
    with pytest.raises(DatasetError, match="too few"):
        resplit(["train"] * 3 + ["validation", "test"], [0, 0, 0, 0, 1], seed=1)
