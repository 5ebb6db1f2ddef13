"""The private names of Ray Train. Its behaviour on real workers: tests/trainables/test_on_workers.py."""

import inspect
from typing import Any

import pytest

from tests.ray_private import resolve

TRAIN = "ray.train.v2._internal."


def test_a_worker_that_is_lost_at_the_start_counts_as_lost() -> None:
    from trainables.failure import cause_of
    from trainables.ray_internals.train import START_ERRORS

    for kind in START_ERRORS:
        assert cause_of(kind(2)) == "WORKER_LOST", f"{kind.__name__} is unknown to trainables.failure"


def test_what_ended_a_worker_can_be_read() -> None:
    from trainables.ray_internals.train import death_of, raised_by

    cause = ValueError("of the user's code")
    lost = resolve(f"{TRAIN}exceptions.WorkerHealthCheckFailedError")("no answer", cause)
    raised = resolve(f"{TRAIN}exceptions.UserExceptionWithTraceback")(cause, "Traceback")
    assert (death_of(lost), raised_by(lost)) == (cause, None)
    assert (death_of(raised), raised_by(raised)) == (None, cause)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data")
def test_a_trainer_of_ours_has_our_callback_and_starts_no_extra_actors() -> None:
    from ray.train import UserCallback
    from ray.train.torch import TorchTrainer

    from trainables.ray_internals.train import RunsInThisProcess

    class Trainer(RunsInThisProcess, TorchTrainer):
        pass

    def callbacks(trainer: Any) -> set[str]:
        return {type(callback).__name__ for callback in trainer._create_default_callbacks()}

    ours = Trainer(lambda: None)
    ours.report_callback = UserCallback()
    extra = {"DatasetsCallback", "PlacementGroupCleanerCallback"}
    assert callbacks(TorchTrainer(lambda: None)) - callbacks(ours) == extra, "Ray's callbacks have changed"
    handlers = [each for each in ours._create_default_callbacks() if type(each).__name__ == "UserCallbackHandler"]
    assert any(ours.report_callback in handler._user_callbacks for handler in handlers)


def test_the_controller_is_made_of_what_the_trainer_hands_over() -> None:
    controller = inspect.signature(resolve(f"{TRAIN}execution.controller.TrainController"))
    handed_over = {"train_fn_ref", "train_run_context", "scaling_policy", "failure_policy", "callbacks"}
    assert handed_over <= set(controller.parameters)
    assert inspect.iscoroutinefunction(resolve(f"{TRAIN}execution.controller.TrainController.run"))
