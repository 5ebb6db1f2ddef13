"""What is handed out when, without Ray: held-back duplicates, lost workers, prolonged studies, early stops."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from ray.tune.schedulers import TrialScheduler

from platform.events import TrialEvent
from platform.run.halve_batch import halved
from platform.run.ray.schedulers import scheduler
from platform.run.retries import RETRIES, RetryCounts
from platform.run.run_leases import RunLeases
from platform.study.domains import Choice
from platform.study.space import Space
from platform.study.study import Study
from platform.study.sweep_file import load_study
from storage.checkpoints import with_checkpoints
from storage.errors import UnavailableError
from storage.lease import Lease
from storage.memory import MemoryStore
from storage.runs import RunStore
from tests.clocks import SetClock
from tests.platform.noop_studies import dispatcher, end, noop_study, play
from trainables.config.trial import TrialConfig, resolve
from trainables.execute import execute
from trainables.failure import Cause
from trainables.graph import stage_runs
from trainables.on_ray import EPOCH, TARGET


def duplicates(folder: Path, text: str = "") -> Study:
    """Return a study in which all points are the same stage run."""
    usual = noop_study(folder, f"sampler: grid\n{text}", space="space: {noop.epochs: {int: [1, 4]}}")
    return replace(usual, trials=4, space=Space({"noop.sleep": Choice(choice=(0.1, 0.2, 0.3, 0.4))}))


def test_a_run_that_is_being_made_is_not_made_a_second_time(tmp_path: Path) -> None:
    running, _ = dispatcher(duplicates(tmp_path), [], tmp_path)
    running.concurrent = 3
    first = running.next()
    assert first is not None
    assert [running.next(), running.next()] == [None, None]
    assert not running.done
    running.started(first.trial)
    running.ended(first.trial, end({}, "FAILED"))
    second = running.next()
    assert second is not None
    assert second.trial != first.trial


def test_a_checkpoint_stays_while_another_trial_waits_for_its_stage_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(RunLeases, "abandon", lambda leases, identities: removed.extend(identities))
    running, _ = dispatcher(duplicates(tmp_path), [], tmp_path)
    running.concurrent = 4
    for left in (True, True, True, False):
        spec = running.next()
        assert spec is not None
        running.next()  # proposes those that are left
        running.started(spec.trial)
        running.ended(spec.trial, end({}, "PRUNED"))
        assert removed == ([] if left else [spec.runs[0].identity])


def test_what_no_trial_will_finish_is_removed_also_if_a_worker_writes_late(tmp_path: Path) -> None:
    store = MemoryStore()
    runs = RunStore(store, cache=tmp_path / "cache")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "file").write_text("1")
    leases = RunLeases(store, runs)
    for identity in ("noop-1", "noop-2", "noop-3"):
        runs.checkpoints(identity).save(1, tmp_path / "state")
    leases.abandon(["noop-1", "noop-2"])
    assert leases.acquire("t0009", ["noop-2"]), "another trial was proposed for it"
    leases.close()
    runs.checkpoints("noop-2").save(2, tmp_path / "state")
    assert with_checkpoints(store) == {"noop-2", "noop-3"}
    late = RunLeases(store, runs)
    late.abandon(["noop-3"])
    runs.checkpoints("noop-3").save(2, tmp_path / "state")  # by a worker that does not know yet
    late.close()
    assert with_checkpoints(store) == {"noop-2"}


def test_waiting_for_another_driver_asks_the_store_little(tmp_path: Path) -> None:
    asked: list[str] = []

    class Asked(MemoryStore):
        def __getattribute__(self, name: str) -> Any:
            if name in ("put", "get", "list", "delete", "exists", "size"):
                asked.append(name)
            return super().__getattribute__(name)

    store, clock = Asked(), SetClock()
    first, second = (RunLeases(store, RunStore(store, cache=tmp_path), clock=clock) for _ in range(2))
    assert first.acquire("t0000", ["noop-2"])
    requests = []
    for _ in range(20):  # two seconds
        before = len(asked)
        assert not second.acquire("t0001", ["noop-1", "noop-2"])
        requests.append(len(asked) - before)
        clock.sleep(0.1)
    assert [count for count in requests[1:] if count > 0] == [3], "in a second: is it stored, who holds it"
    first.release("t0000")
    clock.sleep(1.0)
    assert second.acquire("t0001", ["noop-1", "noop-2"])
    assert second.held("t0001") == {"noop-1", "noop-2"}
    first.close()
    second.close()


def test_what_is_held_back_lets_others_pass(tmp_path: Path) -> None:
    running, _ = dispatcher(duplicates(tmp_path, "repeats: 2"), [], tmp_path)
    running.concurrent = 4
    handed = [running.next() for _ in range(4)]
    assert [spec.trial for spec in handed if spec is not None] == ["t0000-s0", "t0000-s1"]


def test_no_more_run_than_there_is_room_for(tmp_path: Path) -> None:
    running, _ = dispatcher(noop_study(tmp_path, "trials: 9"), [], tmp_path)
    running.concurrent = 3
    assert sum(running.next() is not None for _ in range(9)) == 3


def test_a_run_that_another_driver_makes_is_waited_for(tmp_path: Path) -> None:
    store = MemoryStore()
    (run,) = stage_runs(resolve({}), seed=0, targets=["noop"])
    runs = RunStore(store, cache=tmp_path)
    clock = SetClock()
    leases = RunLeases(store, runs, clock=clock)
    other = Lease(store, f"run-{run.identity}")
    other.acquire()
    assert not leases.acquire("t0000", [run.identity])
    execute(run, resolve({}), runs=runs, scratch=tmp_path)
    clock.sleep(1.0)
    assert leases.acquire("t0000", [run.identity]), "it is stored now, so there is nothing to wait for"
    other.release()


def test_claims_are_all_or_none(tmp_path: Path) -> None:
    store = MemoryStore()
    leases = RunLeases(store, RunStore(store, cache=tmp_path))
    assert leases.acquire("a", ["noop-1", "noop-2"])
    assert not leases.acquire("b", ["noop-3", "noop-2"])
    assert leases.acquire("c", ["noop-3"])
    leases.release("a")
    assert leases.acquire("b", ["noop-2"])
    leases.close()
    with Lease(store, "run-noop-2"):
        pass


def test_a_trial_whose_worker_was_lost_is_one_trial_with_another_attempt(tmp_path: Path) -> None:
    running, heard = dispatcher(noop_study(tmp_path, "trials: 2"), [], tmp_path)
    spec = running.next()
    assert spec is not None
    row = {"stage": "noop", "epoch": 1, "metrics": {"value": 0.5}, "time": 0.0}
    running.started(spec.trial)
    running.rows(spec.trial, [row])
    running.failed(spec.trial, "its worker was lost", "WORKER_LOST")
    assert running.next() == spec, "before any other"
    running.started(spec.trial)
    running.rows(spec.trial, [row, {**row, "epoch": 2}])
    running.failed(spec.trial, "noop failed", "ERROR")
    starts = [event.body for event in heard.events if event.kind == "started"]
    rows = [row["epoch"] for event in heard.events if event.kind == "epochs" for row in event.body["rows"]]
    assert starts == [{"attempt": 1}, {"attempt": 2, "after": {"cause": "WORKER_LOST", "error": "its worker was lost"}}]
    assert rows == [1, 2]
    body = heard.events[-1].body
    assert (body["error"], body["cause"], body["step"]) == ("noop failed", "ERROR", 2)
    assert (body["attempts"], body["retries"]) == (2, {"WORKER_LOST": 1})


@pytest.mark.parametrize("cause", get_args(Cause))
def test_retries_are_bounded_for_each_cause_by_itself(cause: Cause, tmp_path: Path) -> None:
    running, heard = dispatcher(noop_study(tmp_path, "trials: 1"), [], tmp_path)
    causes: list[Cause] = ["OUT_OF_MEMORY" if cause == "WORKER_LOST" else "WORKER_LOST", *[cause] * 9]
    tried = 0
    for each in causes:
        spec = running.next()
        if spec is None:
            break
        running.started(spec.trial)
        running.failed(spec.trial, "it failed", each)
        tried += 1
    assert tried == 2 + RETRIES.get(cause, 0)
    assert [event.kind for event in heard.events].count("finished") == 1
    assert heard.events[-1].body["cause"] == cause
    assert running.next() is None
    assert running.done


def test_tasks_are_tried_again_as_often_as_trials_each_by_itself() -> None:
    counts = RetryCounts()
    assert [counts.allow("part 1", "WORKER_LOST") for _ in range(4)] == [True, True, False, False]
    assert [counts.allow("part 1", "OUT_OF_MEMORY") for _ in range(2)] == [True, False]
    assert counts.allow("part 2", "WORKER_LOST")
    assert not counts.allow("part 2", "ERROR")


def test_a_trial_whose_end_could_not_be_recorded_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tune takes the error of this process, whose store is lost, for one of the trial."""
    running, heard = dispatcher(noop_study(tmp_path, "trials: 2"), [], tmp_path)
    spec = running.next()
    assert spec is not None
    running.started(spec.trial)
    kept: list[TrialEvent] = []  # as the spool keeps an event that the store did not take

    def put(event: TrialEvent) -> None:
        kept.append(event)
        raise UnavailableError("the network drive is gone")

    monkeypatch.setattr(heard, "put", put)
    with pytest.raises(UnavailableError, match="drive is gone"):  # the last rows come together with the end
        running.rows(spec.trial, [{"stage": "noop", "epoch": 1, "metrics": {"value": 0.5}, "time": 0.0}])
    with pytest.raises(UnavailableError, match="drive is gone"):
        running.failed(spec.trial, "its worker was lost: Traceback ...", "ERROR")
    assert [event.kind for event in kept] == ["epochs"]


def test_another_driver_counts_the_retries_on(tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 1")
    running, heard = dispatcher(study, [], tmp_path)
    first = running.next()
    assert first is not None
    running.started(first.trial)
    running.failed(first.trial, "it allocates", "OUT_OF_MEMORY")
    assert running.next() == first
    running.started(first.trial)
    again, later = dispatcher(study, heard.events, tmp_path)
    spec = again.next()
    assert spec is not None
    again.started(spec.trial)
    again.failed(spec.trial, "it allocates", "OUT_OF_MEMORY")
    assert later.events[-1].kind == "finished"


DECODER = """target: structure.latent_mse
space: {structure.train.lr: {uniform: [0.001, 0.002]}}
trials: 2
base: {structure.train.batch_size: 50, structure.train.workers: 1..2, semantic.train.micro_batch: 7}
"""


@pytest.mark.parametrize(
    ("stage", "halves"), [("structure", {"structure": 13}), (None, {"structure": 13}), ("data", {})]
)
def test_too_little_memory_is_answered_with_half_the_rows(
    stage: str | None, halves: dict[str, int], tmp_path: Path
) -> None:
    """Of a batch of 50 each of two workers has 25 rows. Identities stay, so the checkpoint is found."""
    (tmp_path / "decoder.yaml").write_text(DECODER)
    study = load_study(tmp_path / "decoder.yaml")
    running, heard = dispatcher(study, [], tmp_path)
    first = running.next()
    assert first is not None
    running.started(first.trial)
    running.rows(first.trial, [{"stage": "structure", "epoch": 1, "metrics": {"latent_mse": 0.5}, "time": 0.0}])
    running.ended(first.trial, {**end({}, "FAILED"), "cause": "OUT_OF_MEMORY", "stage": stage})
    second = running.next()
    assert second is not None
    running.started(second.trial)
    assert second.runs == first.runs
    sections = {name: dict(section) for name, section in first.config.items() if name in halves}
    for name, rows in halves.items():
        sections[name]["train"] = {**sections[name]["train"], "micro_batch": rows}
    assert second.config == {**first.config, **sections}
    TrialConfig.model_validate(second.config)
    told = {"micro_batch": halves} if halves else {}
    assert heard.events[-1].body == {"attempt": 2, "after": {"cause": "OUT_OF_MEMORY", "error": None, **told}}
    if stage == "structure":
        later, _ = dispatcher(study, heard.events, tmp_path)
        assert later.next() == second, "another driver does not go back to the whole batch"


def test_a_single_row_is_not_halved(tmp_path: Path) -> None:
    (tmp_path / "decoder.yaml").write_text(DECODER.replace("batch_size: 50", "batch_size: 2"))
    running, _ = dispatcher(load_study(tmp_path / "decoder.yaml"), [], tmp_path)
    spec = running.next()
    assert spec is not None
    assert halved(spec, "structure") == (spec, {})


def test_what_never_began_is_handed_out_again_and_is_no_attempt(tmp_path: Path) -> None:
    running, heard = dispatcher(noop_study(tmp_path, "trials: 2"), [], tmp_path)
    spec = running.next()
    assert spec is not None
    running.put_back(spec.trial)
    assert running.next() == spec
    running.started(spec.trial)
    assert heard.events[-1].body == {"attempt": 1}


def test_a_study_can_be_prolonged(tmp_path: Path) -> None:
    short, heard = dispatcher(noop_study(tmp_path, "trials: 3"), [], tmp_path)
    assert len(list(play(short, 9))) == 3
    assert not short.has_work()
    longer, _ = dispatcher(noop_study(tmp_path, "trials: 5"), heard.events, tmp_path)
    assert longer.has_work()
    assert [trial["trial"] for trial in play(longer, 9)] == ["t0003", "t0004"]


class Attempt:
    """A trial as Tune knows it: each attempt has another id."""

    def __init__(self, trial_id: str, trial: str) -> None:
        self.trial_id, self.config = trial_id, {"trial": trial}


def test_a_trial_that_is_tried_again_counts_once(tmp_path: Path) -> None:
    """Three attempts at one good trial would fill the rung with good values and stop one that is in the middle."""
    asha = "{asha: {grace_epochs: 2, reduction_factor: 2}}"
    study = noop_study(tmp_path, f"trials: 9\nscheduler: {asha}\nbase: {{noop.epochs: 8}}")
    judge = scheduler(study, {"t0000": {1: 0.9, 2: 0.8}, "t0001": {1: 0.3, 2: 0.2}})

    def reports(trial_id: str, trial: str, curve: dict[int, float]) -> list[str]:
        attempt = Attempt(trial_id, trial)
        judge.on_trial_add(None, attempt)  # type: ignore[arg-type]
        return [judge.on_trial_result(None, attempt, {EPOCH: e, TARGET: v}) for e, v in curve.items()]  # type: ignore[arg-type]

    reports("a", "t0002", {1: 0.3, 2: 0.2})
    reports("b", "t0002", {2: 0.2, 3: 0.19})
    assert reports("c", "t0001", {3: 0.19}) == [TrialScheduler.CONTINUE], "begun by an earlier driver"
    reports("d", "t0003", {1: 0.8, 2: 0.7})
    assert reports("e", "t0004", {1: 0.5, 2: 0.4}) == [TrialScheduler.CONTINUE] * 2, "the third of five: 0.2 0.2 0.4"


@pytest.mark.parametrize("name", ["fifo", "asha", "median"])
def test_trials_that_wait_in_vain_are_taken_back(name: str, tmp_path: Path) -> None:
    waiting, running = SimpleNamespace(status="PENDING"), SimpleNamespace(status="RUNNING")
    stopped: list[object] = []
    tune: Any = SimpleNamespace(stop_trial=stopped.append, get_trials=list, get_live_trials=lambda: [running, waiting])
    tune._tune_controller = SimpleNamespace(_maybe_reuse_cached_actor=None)
    study = noop_study(tmp_path, f"trials: 2\nscheduler: {name}")
    scheduler(study, {}).choose_trial_to_run(tune)
    assert stopped == []
    scheduler(study, {}, lambda: 2).choose_trial_to_run(tune)
    assert stopped == [waiting]


def test_the_median_is_over_trials_and_not_attempts(tmp_path: Path) -> None:
    text = "trials: 9\nscheduler: {median: {min_trials: 3}}\nbase: {noop.epochs: 8}"
    judge = scheduler(noop_study(tmp_path, text), {"t0000": {1: 0.1}, "t0001": {1: 0.1}})
    verdicts = [
        judge.on_trial_result(None, Attempt(trial_id, trial), {EPOCH: epoch, TARGET: value})  # type: ignore[arg-type]
        for trial_id, trial, epoch, value in [("a", "t0001", 1, 0.1), ("b", "t0001", 2, 0.1), ("c", "t0002", 1, 0.9)]
    ]
    assert verdicts == [TrialScheduler.CONTINUE] * 3, "two others are too few to judge by"


@pytest.mark.parametrize("text", ["{asha: {reduction_factor: 2}}", "{median: {min_trials: 2}}"])
def test_a_scheduler_knows_the_trials_of_earlier_processes(text: str, tmp_path: Path) -> None:
    study = noop_study(tmp_path, f"trials: 9\nscheduler: {text}\nbase: {{noop.epochs: 8}}")
    good = {f"t{n:04d}": dict.fromkeys(range(1, 9), 0.1 + n / 100) for n in range(3)}

    def verdict(curves: dict[str, dict[int, float]]) -> str:
        judge, trial = scheduler(study, curves), Attempt("new", "t0009")
        judge.on_trial_add(None, trial)  # type: ignore[arg-type]
        return judge.on_trial_result(None, trial, {EPOCH: 1, TARGET: 0.9})  # type: ignore[arg-type]

    assert verdict({}) == TrialScheduler.CONTINUE
    assert verdict(good) == TrialScheduler.STOP


def test_reused_and_executed_stage_runs_are_counted(tmp_path: Path) -> None:
    running, _ = dispatcher(noop_study(tmp_path, "trials: 2"), [], tmp_path)
    for reused in (True, False):
        spec = running.next()
        assert spec is not None
        running.started(spec.trial)
        done = {"noop": {"identity": spec.runs[0].identity, "reused": reused, "seconds": 0.1}}
        running.ended(spec.trial, {**end({"noop.value": 0.5}), "runs": done})
    assert (running.reused, running.executed) == (1, 1)
