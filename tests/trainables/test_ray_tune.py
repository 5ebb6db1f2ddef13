"""The private names of Ray Tune, which the driver uses."""

import inspect
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from tests.ray_private import resolve


def test_tune_counts_no_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the module that we change for the function, each time."""
    from ray.air._internal import usage
    from ray.tune import Callback, tune

    from trainables.ray_internals.tune import count_no_callbacks

    monkeypatch.setattr(usage, "tag_callbacks", usage.tag_callbacks)
    count_no_callbacks()
    assert usage.tag_callbacks([Callback()]) is False
    assert "air_usage.tag_callbacks(" in inspect.getsource(tune.run)


def test_tune_asks_for_the_trial_function_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial asks for it by these names of its module: when it is made, for its resources, and when it is placed."""
    from ray.tune import registry
    from ray.tune.experiment import Trial
    from ray.tune.experiment import trial as module

    from trainables.ray_internals.tune import look_up_once

    asked: list[str] = []

    def get(name: str) -> type:
        asked.append(name)
        if name == "unknown":
            raise ValueError(name)
        return int

    monkeypatch.setattr(registry, "get_trainable_cls", get)
    for name in ("get_trainable_cls", "validate_trainable"):
        monkeypatch.setattr(module, name, vars(module)[name])
        assert f"{name}(" in inspect.getsource(Trial)
    look_up_once()
    assert [vars(module)[name]("ours") for name in ("validate_trainable", "get_trainable_cls")] == [int, int]
    assert asked == ["ours"]
    for _ in range(2):
        with pytest.raises(ValueError, match="unknown"):
            vars(module)["validate_trainable"]("unknown")
    look_up_once()  # of the next study
    assert vars(module)["get_trainable_cls"]("ours") is int
    assert asked == ["ours", "unknown", "unknown", "ours"]


def test_tune_keeps_no_state_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would write it by the method that we replace, and then look for it in the class that we replace."""
    from ray.tune import run
    from ray.tune.execution.tune_controller import TuneController

    from trainables.ray_internals.tune import keep_no_state

    names: Any = run.__globals__
    monkeypatch.setitem(names, "ExperimentAnalysis", names["ExperimentAnalysis"])
    monkeypatch.setattr(TuneController, "checkpoint", TuneController.checkpoint)
    keep_no_state()
    controller: Any = object()
    assert TuneController.checkpoint(controller, force=True, wait=True) is None
    assert names["ExperimentAnalysis"](experiment_checkpoint_path="nowhere", trials=[]) is None
    source = inspect.getsource(run)
    assert "runner.checkpoint(" in source
    assert "return ExperimentAnalysis(" in source


def test_tune_copies_no_variables_into_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of its own either: a trial without a runtime environment takes a process that is there already."""
    from ray.runtime_env import RuntimeEnv
    from ray.tune.execution import class_cache

    from tests.ray_private import trial_environment
    from trainables.ray_internals.tune import pass_nothing_to_trials

    fresh = runpy.run_path(class_cache.__file__)
    for name in ("ENV_VARS_TO_PROPAGATE", "DEFAULT_ENV_VARS"):
        monkeypatch.setattr(class_cache, name, fresh[name].copy())
    for name in fresh["ENV_VARS_TO_PROPAGATE"]:
        monkeypatch.setenv(name, "planted")
    trainable = type("Trainable", (), {})
    assert "planted" in trial_environment(trainable)["env_vars"].values(), "it would copy them"
    pass_nothing_to_trials()
    given = trial_environment(trainable)
    assert RuntimeEnv(**given).serialize() == RuntimeEnv().serialize() == "{}"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_process_of_a_trial_can_be_killed() -> None:
    from ray.tune.experiment import Trial

    from trainables.ray_internals.tune import kill_worker

    class Worker:
        def get_auto_filled_metrics(self, **_: Any) -> dict[str, Any]:
            return {}

    actor: Any = ray.remote(Worker).options(num_cpus=0).remote()
    trial = Trial("none", stub=True)
    trial.set_ray_actor(actor)  # type: ignore[no-untyped-call]
    kill_worker(trial)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.get_auto_filled_metrics.remote(), timeout=60)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_error_of_a_trial_is_a_text_at_once(tmp_path: Path) -> None:
    from tests.ray_private import failed_trial
    from trainables.ray_internals.tune import error_text

    trial = failed_trial(tmp_path, ray.exceptions.RayActorError(error_msg="the node of the worker has died"))
    assert "the node of the worker has died" in error_text(trial)


def test_pending_trials_are_stopped_in_their_order() -> None:
    from ray.tune.experiment import Trial

    from trainables.ray_internals.tune import stop_pending_trials

    running, *pending = [SimpleNamespace(status=status) for status in (Trial.RUNNING, *[Trial.PENDING] * 3)]
    stopped: list[Any] = []
    stop_pending_trials(
        SimpleNamespace(get_live_trials=lambda: [running, *pending], stop_trial=stopped.append), count=2
    )
    assert stopped == pending[:2]


def test_a_free_worker_waits_for_a_trial_that_has_none() -> None:
    from trainables.ray_internals.tune import keep_starting_workers

    class Controller:
        def __init__(self) -> None:
            self._trial_to_actor = {"starting": 1, "resetting": 2, "without resources": 3}
            self._actor_manager = SimpleNamespace(is_actor_started=lambda actor: actor != 3)
            self._resetting_trials = {"resetting"}
            self.reused: list[str] = []

        def _maybe_reuse_cached_actor(self, trial: str) -> bool:
            self.reused.append(trial)
            return True

    controller = Controller()
    for _ in range(2):
        keep_starting_workers(SimpleNamespace(_tune_controller=controller))
    trials = ("starting", "resetting", "without resources", "new")
    answers = [controller._maybe_reuse_cached_actor(trial) for trial in trials]
    assert answers == [False, True, True, True]
    assert controller.reused == list(trials[1:])


def test_tune_knows_the_last_result_by_our_key() -> None:
    from trainables.on_ray import DONE

    assert resolve("ray.tune.result.DONE") == DONE
