import json
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from platform.record.trial_log import proposed_body
from platform.screen.plan import plan_json, render_plan
from platform.screen.units import duration, size
from platform.study.plan import Plan, make_plan
from platform.study.study import Study
from storage.base import Store
from storage.events import EventLog
from storage.runs import Manifest, RunStore
from storage.uri import open_store
from tests.platform.made_up_events import made_up_event
from tests.platform.study_texts import NOOP, build
from trainables.graph import StageRun
from trainables.stage_table import STAGES

MOTION = """\
target: motion.rollout_mse
trials: 6
space:
  motion.depth: {int: [1, 3]}
  motion.train.lr: {log_uniform: [1e-4, 1e-2]}
"""


@pytest.fixture(autouse=True)
def same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.backbones.fingerprint", lambda config: "some")


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def keep(store: Store, runs: Iterable[StageRun], folder: Path, *, seconds: float = 2.0, num_bytes: int = 100) -> None:
    """Put finished stage runs into the store."""
    folder.mkdir(exist_ok=True)
    for number, run in enumerate(runs):
        (folder / "data.bin").write_bytes(bytes([number]) * num_bytes)
        manifest = Manifest(run.identity, run.stage, run.config, run.seed, run.inputs, {}, {}, (), {}, 0.0, seconds)
        RunStore(store, cache=folder).commit(manifest, folder)


def counts(plan: Plan) -> dict[str, tuple[int, bool, int]]:
    return {stage.stage: (stage.runs, stage.exact, stage.cached) for stage in plan.stages}


def brute_force(study: Study) -> dict[str, int]:
    """Count distinct stage runs of a grid by making every trial."""
    runs = {
        (run.stage, run.identity)
        for point, values in enumerate(study.space.grid())
        for repeat in range(study.repeats)
        for run in study.spec(point, repeat, values).runs
    }
    return {stage: sum(name == stage for name, _ in runs) for stage in STAGES if any(name == stage for name, _ in runs)}


def test_stages_that_no_swept_field_reaches_are_shared(store: Store) -> None:
    study = build(MOTION)
    plan = make_plan(study, store)
    assert [run.stage for run in plan.shared] == ["clips", "features", "data", "voxels", "structure"]
    assert study.own_stages() == ("motion",)
    assert counts(plan)["motion"] == (6, False, 0)
    trial = study.spec(0, 0, {"motion.depth": 1, "motion.train.lr": 1e-3})
    assert tuple(run for run in trial.runs if run.stage != "motion") == plan.shared


def test_what_depends_on_a_swept_field_through_its_inputs_is_private(store: Store) -> None:
    study = build(MOTION + "  structure.hidden: {choice: [64, 128]}\n")
    plan = make_plan(study, store)
    assert study.own_stages() == ("structure", "motion")
    assert counts(plan)["structure"] == (2, False, 0)


def test_a_swept_data_field_leaves_only_what_it_does_not_touch(store: Store) -> None:
    study = build(MOTION + "  voxels.lag_tr: {int: [1, 3]}\n")
    plan = make_plan(study, store)
    assert [run.stage for run in plan.shared] == ["clips", "features", "data"]
    assert study.own_stages() == ("voxels", "structure", "motion")
    assert counts(plan)["voxels"] == (3, False, 0)


def test_repeats_share_what_is_not_seeded(store: Store) -> None:
    study = build(MOTION + "repeats: 3\n")
    plan = make_plan(study, store)
    assert counts(plan) == {
        "clips": (1, True, 0),
        "data": (1, True, 0),
        "features": (1, True, 0),
        "voxels": (1, True, 0),
        "structure": (3, True, 0),
        "motion": (18, False, 0),
    }
    assert plan.trials == 18
    assert [run.stage for run in study.shared_runs()] == [
        "clips",
        "features",
        "data",
        "voxels",
        "structure",
        "structure",
        "structure",
    ]


@pytest.mark.parametrize(
    "space",
    [
        "motion.depth: {int: [1, 3]}",
        "motion.depth: {int: [1, 3]}\n  structure.hidden: {choice: [64, 128]}",
        "motion.kind: {choice: [cmg, per_frame_mlp]}\n  motion.depth: {int: [1, 3], when: {motion.kind: cmg}}",
        "voxels.lag_tr: {int: [0, 2]}\n  motion.depth: {choice: [1, 2]}",
    ],
)
def test_a_grid_is_counted_exactly(space: str, store: Store) -> None:
    study = build(f"target: motion.rollout_mse\nsampler: grid\nrepeats: 2\nspace:\n  {space}\n")
    plan = make_plan(study, store)
    assert {stage.stage: stage.runs for stage in plan.stages} == brute_force(study)
    assert all(stage.exact for stage in plan.stages)


def test_what_the_store_holds_is_not_counted_as_work(store: Store, tmp_path: Path) -> None:
    study = build(MOTION + "points: [{motion.train.lr: 1e-3}]\n")
    first = study.spec(0, 0, study.space.points[0])
    keep(store, first.runs, tmp_path / "files", seconds=3.0, num_bytes=50)
    plan = make_plan(study, store)
    assert plan.cached == {run.identity for run in first.runs}
    assert counts(plan)["motion"] == (6, False, 1)
    assert plan.seconds == pytest.approx(5 * 3.0)
    assert plan.bytes == 5 * 50
    motion = plan.stages[-1].forecast
    assert (motion.seconds, motion.bytes, motion.samples) == (3.0, 50, 1)


def test_trials_that_have_ended_are_no_work_even_if_they_were_stopped(store: Store) -> None:
    study = build(MOTION)
    log = EventLog(store, study.id)
    for point in range(4):
        spec = study.spec(point, 0, {"motion.depth": 1 + point % 2, "motion.train.lr": 1e-3})
        end: dict[str, Any] = {"outcome": "PRUNED", "metrics": {}, "error": None, "seconds": 1.0, "runs": {}}
        bodies = {"proposed": proposed_body(spec, point=point, repeat=0, values={}, labels={}), "finished": end}
        for number, (kind, body) in enumerate(list(bodies.items())[: 2 if point < 3 else 1]):
            log.append(spec.trial, number, made_up_event(spec.trial, number, kind, 1.0, body).to_json())
    plan = make_plan(study, store)
    assert plan.ended == 3
    assert counts(plan)["motion"] == (2 + 2, False, 2)  # two configs among four points, two points to come
    assert plan.stages[-1].to_do == 2
    assert "3 of 6 trials have already ended" in rendered(plan, study)


def test_first_guesses_are_called_guesses(store: Store) -> None:
    plan = make_plan(build(MOTION), store)
    assert all(stage.forecast.samples == 0 for stage in plan.stages)
    assert {stage.stage: (stage.forecast.seconds, stage.forecast.bytes) for stage in plan.stages} == {
        stage.stage: STAGES[stage.stage].guess for stage in plan.stages
    }
    assert "guess" in rendered(plan, build(MOTION))


def test_stored_times_are_said_to_be_of_any_settings(store: Store, tmp_path: Path) -> None:
    study = build(MOTION)
    words = "stored times are those of earlier runs of the stage, whatever their settings"
    assert words not in rendered(make_plan(study, store), study)
    other = build(MOTION + "points: [{motion.train.lr: 1e-3}]\nbase: {dataset.train_clips: 7}\n")
    keep(store, other.spec(0, 0, other.space.points[0]).runs, tmp_path / "files")
    assert words in rendered(make_plan(study, store), study)


def test_planning_writes_nothing(tmp_path: Path) -> None:
    make_plan(build(NOOP), open_store((tmp_path / "store").as_uri()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_long_grid_is_planned_in_a_moment(store: Store) -> None:
    text = NOOP.replace("trials: 4\n", "sampler: grid\nrepeats: 2\n").replace("[0, 1]", "[0, 1], step: 0.0005")
    plan = make_plan(build(text), store)
    (noop,) = plan.stages
    assert plan.trials == 2001 * 4 * 2
    assert (noop.runs, noop.exact) == (2001 * 4 * 2, False)


def rendered(plan: Plan, study: Study) -> str:
    text = StringIO()
    render_plan(plan, study, console=Console(file=text, width=120, markup=False))
    return text.getvalue()


def test_the_table_tells_fields_stages_and_totals(store: Store) -> None:
    study = build(MOTION + "  motion.kind: {choice: [cmg, per_frame_mlp]}\nscheduler: {asha: {grace_epochs: 5}}\n")
    text = rendered(make_plan(study, store), study)
    for part in (
        study.id,
        "motion.kind",
        "choice [cmg, per_frame_mlp]",
        "int [1, 3]",
        "grace_epochs 5",
        "<= 6",
        "to do: at most 11",
    ):
        assert part in text


def test_the_json_holds_the_same(store: Store) -> None:
    study = build(MOTION)
    value = json.loads(json.dumps(plan_json(make_plan(study, store), study)))
    assert value["study"] == study.id
    assert value["trials"] == 6
    assert [stage["stage"] for stage in value["stages"]] == [
        "clips",
        "features",
        "data",
        "voxels",
        "structure",
        "motion",
    ]
    assert value["stages"][-1]["to_do"] == 6


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.05, "0.05 s"), (99, "1:39 min"), (240, "4:00 min"), (36000, "10:00 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 B"), (1500, "1.5 kB"), (160_000_000, "160 MB"), (2e13, "20 TB")]
)
def test_sizes(num_bytes: float, text: str) -> None:
    assert size(num_bytes) == text
