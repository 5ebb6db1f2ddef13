"""A stage that computes nothing: for the platform's own tests, and to measure what the platform costs."""

import json
import tempfile
import time
from pathlib import Path

from trainables.context import StageResult, StageTask

FILE = "value.json"


def run(task: StageTask) -> StageResult:
    """Report a value that falls linearly to `noop.value` at the last epoch; checkpoint every epoch but the last.

    Raises:
        RuntimeError: Epoch `noop.fail_at` is reached.
    """
    config = task.config.noop
    history = _restored(task)
    for epoch in range(len(history) + 1, config.epochs + 1):
        time.sleep(config.sleep)
        if epoch == config.fail_at:
            raise RuntimeError(f"noop was asked to fail at epoch {epoch}")
        history.append({"value": config.value + 1.0 - epoch / config.epochs})
        if epoch < config.epochs:
            _checkpoint(task, history)
        task.context.report(epoch, history[-1])
    (task.context.output / FILE).write_text(json.dumps(config.value))
    return StageResult(metrics={"value": config.value}, history=tuple(history))


def _restored(task: StageTask) -> list[dict[str, float]]:
    latest = task.context.checkpoints.latest()
    if latest is None:
        return []
    history: list[dict[str, float]] = json.loads((latest[1] / "history.json").read_text())
    return history


def _checkpoint(task: StageTask, history: list[dict[str, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "history.json").write_text(json.dumps(history))
        task.context.checkpoints.save(len(history), Path(folder))
