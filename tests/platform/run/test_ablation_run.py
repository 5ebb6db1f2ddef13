"""One ablation run whole: exactly the distinct stage runs, and a failing arm that takes nobody with it."""

from pathlib import Path

from platform.analysis.collect import collect_ablation
from platform.run.driver import run_study
from platform.study.ablation_file import load_ablation
from platform.study.plan import make_plan
from storage.local import LocalStore
from tests.platform.noop_ablations import written
from tests.platform.noop_studies import inline_in

TEXT = """\
primary: [noop.value]
seeds: 8
unit: seeds
baseline: {noop.epochs: 2}
conditions:
  half: {noop.value: 0.5}
  same: {noop.value: 0.5}
  copy: {seed_offset: 100}
  broken: {noop.fail_at: 1}
  broken_too: {noop.fail_at: 1}
"""


def test_distinct_work_runs_once_and_a_broken_arm_stops_no_other(tmp_path: Path) -> None:
    study = load_ablation(written(tmp_path, TEXT))
    store = LocalStore(tmp_path / "store")
    (planned,) = make_plan(study, store).stages
    assert (planned.shared, planned.private) == (16, 16)
    summary = run_study(study, inline_in(tmp_path))
    assert summary.trials == {"completed": 32, "pruned": 0, "failed": 16, "unfinished": 0}
    assert summary.stage_runs["executed"] == planned.runs - 8, "all but the broken ones, which store nothing"
    result = collect_ablation(store, study.id, cache=tmp_path / "cache")
    assert result.complete
    assert (result.scalars("noop.value")["same"] == 0.5).all()
    assert {trial.condition for trial in result.unusable} == {"broken", "broken_too"}
    assert all("asked to fail" in str(trial.error) for trial in result.unusable)
    executed = [identity for trial in result.trials.values() for identity in trial.executed]
    assert len(executed) == len(set(executed)) == 16, "the shared ones ran before the trials"
    again = run_study(study, inline_in(tmp_path))
    assert again.stage_runs == {"executed": 0, "reused": 0}
