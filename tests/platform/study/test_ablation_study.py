"""An ablation as a study: names, seeds, and exactly the distinct stage runs."""

import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from platform.events import TrialEvent
from platform.screen.plan import plan_json, render_plan
from platform.screen.progress import Progress
from platform.study.plan import make_plan
from platform.study.registration import registered
from platform.study.space import Point
from storage.events import EventLog
from storage.memory import MemoryStore
from storage.runs import RunStore
from tests.platform.noop_ablations import NOOP, build, play, register
from trainables.config.trial import resolve
from trainables.execute import execute

TABLE6 = """\
primary: [reconstruct.made]
seeds: 8
unit: seeds
subjects: [0, 1]
conditions:
  wo_semantic: {reconstruct.semantic: noise}
  wo_structure: {reconstruct.structure: noise}
  wo_motion: {motion.kind: per_frame_mlp}
"""


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make planning independent of which networks are shipped, and give the reconstruction a metric."""
    from trainables.metrics.metric import Metric
    from trainables.metrics.registry import METRICS

    for name in ("fingerprint", "generator_fingerprint", "judges_fingerprint"):
        monkeypatch.setattr(f"trainables.backbones.{name}", lambda config: "some")
    made = Metric("reconstruct.made", title="made", goal="max", low=0.0, high=1.0, source="a test")
    monkeypatch.setitem(vars(METRICS)["_built_in"], "reconstruct.made", made)


@pytest.mark.usefixtures("weights")
def test_taking_a_decoder_away_at_reconstruction_trains_nothing_anew() -> None:
    study = build(TABLE6)
    plan = make_plan(study, MemoryStore())
    found = {use.stage: (use.shared, use.private, use.needed) for use in plan.stages}
    blocks, trials = 2 * 8, 4 * 2 * 8
    assert plan.trials == trials
    assert found == {
        "clips": (1, 0, trials),
        "data": (1, 0, trials),
        "features": (1, 0, trials),
        "voxels": (2, 0, trials),
        "semantic": (blocks, 0, trials),
        "structure": (blocks, 0, trials),
        "motion": (blocks, blocks, trials),
        "reconstruct": (0, trials, trials),
    }
    shared = study.shared_runs()
    assert len(shared) == 5 + 3 * blocks
    made: set[str] = set()
    for run in shared:
        assert set(run.inputs.values()) <= made, "inputs come first, and all of them are shared too"
        made.add(run.identity)
        assert study.config_of(run).voxels.subject in (0, 1)
    assert [run.stage for run in shared if study.is_needed_by_all(run)] == ["clips", "features", "data"]
    assert plan.seconds_saved == pytest.approx(plan.seconds_alone - plan.seconds)


def test_trials_are_named_and_seeded_by_block() -> None:
    study = build(NOOP + "  copy: {seed_offset: 100}\n", "seeds=7", "seed=3")
    specs = {spec.trial: spec for spec in study.specs}
    assert len(specs) == 3 * 7
    assert specs["half-u0-s3"].config["noop"]["value"] == 0.5
    assert specs["half-u0-s9"].seed == 9
    assert specs["copy-u0-s9"].seed == 109
    values = study.points[2]
    assert study.labels(0, values) == {"condition": "copy", "subject": "0", "seed": "3", "block": "u0-s3"}


def test_equal_conditions_share_every_stage_run() -> None:
    study = build(NOOP + "  same: {noop.value: 0.5}\n", "seeds=7")
    assert study.notes[0] == "same and half are the same after resolution: their stage runs are executed once"
    assert Counter(study.uses.values()) == {1: 7, 2: 7}


def test_the_definition_does_not_know_how_many_seeds_were_added() -> None:
    study, more = build(), build(NOOP, "seeds=7")
    assert study.definition["sha256"] != more.definition["sha256"]
    from dataclasses import replace

    assert replace(study, repeats=9).definition == study.definition
    assert study.id == "test"
    assert replace(study, attempt=2).id == "test.2"


def test_a_plan_knows_what_is_stored_and_what_has_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    study, store = build(), MemoryStore()
    register(study, store)
    assert registered(store, study.id)[0].design == study.design
    (run,) = study.specs[0].runs
    execute(run, resolve({}), runs=RunStore(store, cache=tmp_path), scratch=tmp_path)
    (use,) = make_plan(study, store).stages
    assert (use.runs, use.to_do, use.forecast.samples) == (12, 11, 1)
    play(study, store)
    plan = make_plan(study, store)
    assert (plan.ended, plan.stages[0].to_do, plan.seconds) == (12, 0, 0.0)
    render_plan(plan, study, console=Console(width=120))
    text = capsys.readouterr().out
    assert "12 of 12 trials have already ended" in text
    assert "sharing saves" in text
    assert plan_json(plan, study)["stages"][0]["runs"] == 12


def test_the_summary_holds_means_and_leaves_differences_to_the_paired_tests() -> None:
    study = build()
    results: list[tuple[Point, dict[str, float]]] = [
        ({"condition": name, "subject": 0}, {"noop.value": value})
        for name, value in (("baseline", 1.0), ("baseline", 3.0), ("half", 5.0))
    ]
    assert study.summary(results) == {
        "mean.baseline.noop.value": 2.0,
        "mean.half.noop.value": 5.0,
    }


def test_the_final_table_shows_every_condition_in_the_designs_order_and_calls_none_the_best() -> None:
    text = NOOP.replace("seeds: 6", "seeds: 7").replace(
        "half: {noop.value: 0.5}", "more: {noop.value: 2}\n  half: {noop.value: 0.5}"
    )
    study, store = build(text), MemoryStore()
    register(study, store)
    play(study, store, outcome={"half-u0-s3": "FAILED"})
    console = Console(file=io.StringIO(), width=140, markup=False)
    progress = Progress(study, console=console)
    for value in EventLog(store, study.id).read():
        progress.see(TrialEvent.from_json(value))
    progress.close()
    assert isinstance(console.file, io.StringIO)
    table = console.file.getvalue().rpartition("20 completed, 1 failed")[2]
    rows = [line.split() for line in table.splitlines()]
    rows_of = {row[0]: row[1:] for row in rows if row and row[0] in study.design.names}
    assert list(rows_of) == ["baseline", "more", "half"]
    assert rows_of["baseline"] == ["0", "0", "7", "2.0", "s"]
    assert rows_of["more"] == ["0", "2", "7", "2.0", "s"]
    assert rows_of["half"] == ["0", "failed", "2.0", "s"], "a condition of which a trial failed has no mean"
    assert "best" not in table
