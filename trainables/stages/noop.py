"""A stage that computes nothing: for tests of the platform, and to measure the platform's overhead."""

import json
import time

from trainables.context import StageResult, StageTask

FILE = "value.json"
_MEGA = 1 << 20


def run(task: StageTask) -> StageResult:
    """Report a value that decreases linearly to `noop.value` at the last epoch. Other epochs may leave checkpoints.

    Example:
        >>> run(task).metrics  # task: StageTask, whose config has noop.value 0.5
        {'value': 0.5}

    Raises:
        RuntimeError: Epoch `noop.fail_at` is reached.
        MemoryError: `noop.memory` megabytes cannot be allocated.
    """
    config = task.config.noop
    history = _agreed(task, _restored(task))
    before = len(history)
    for epoch, metrics in enumerate(history, start=1):  # see `Context.report`
        task.context.report(epoch, metrics)
    for epoch in range(before + 1, config.epochs + 1):
        held = bytearray(config.memory * _MEGA)
        time.sleep(config.sleep)
        if epoch == config.fail_at:
            raise RuntimeError(config.fail_with if config.fail_with else f"noop was asked to fail at epoch {epoch}")
        history.append({"value": config.value + 1.0 - epoch / config.epochs})
        if epoch < config.epochs and task.context.rank == 0 and task.context.pace.due():
            with task.context.checkpoint(epoch) as folder:
                (folder / "history.json").write_text(json.dumps(history))
                if held:
                    (folder / "held").write_bytes(held)
        task.context.report(epoch, history[-1])
    (task.context.output / FILE).write_text(json.dumps(config.value))
    facts = {"continued_after": str(before)}
    return StageResult(metrics={"value": config.value}, history=tuple(history), info=facts)


def _agreed(task: StageTask, history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return the history of worker 0. It may have written a checkpoint before another worker looked for one."""
    if task.context.world_size == 1:
        return history
    import torch  # not needed by a single process

    from trainables.distributed import Team

    team = Team(task.context.rank, task.context.world_size, torch.device("cpu"))
    return list(team.broadcast({"history": history})["history"])


def _restored(task: StageTask) -> list[dict[str, float]]:
    latest = task.context.checkpoints.latest()
    if latest is None:
        return []
    history: list[dict[str, float]] = json.loads((latest[1] / "history.json").read_text())
    return history
