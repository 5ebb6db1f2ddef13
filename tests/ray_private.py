"""The private names of Ray that only tests use. Those of the program: `trainables.ray_internals`."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray._private.runtime_env.packaging import _get_excludes


def metadata() -> Any:
    """Return Ray's client of what a cluster keeps about its jobs, with all its keys."""
    worker: Any = ray._private.worker.global_worker
    return worker.gcs_client


def excluded(folder: Path, patterns: list[str]) -> Callable[[Path], bool]:
    """Return Ray's own decision on which files of a working directory it does not upload."""
    decide: Callable[[Path], bool] = _get_excludes(folder, patterns)
    return decide


def trial_environment(trainable: type) -> dict[str, Any]:
    """Return the runtime environment that Ray Tune gives to the process of a trial."""
    from ray.tune.execution.class_cache import _ActorClassCache

    actor = _ActorClassCache().get(trainable)  # type: ignore[no-untyped-call]
    environment: dict[str, Any] = actor._default_options["runtime_env"]
    return environment


def failed_trial(folder: Path, error: Exception) -> Any:
    """Return a trial of Ray Tune below `folder` that has failed with `error`."""
    from ray.train._internal.storage import StorageContext
    from ray.tune.experiment import Trial

    storage = StorageContext(str(folder), "experiment", trial_dir_name="trial")
    trial = Trial("none", stub=True, storage=storage)
    trial.init_local_path()  # type: ignore[no-untyped-call]
    trial.handle_error(error)  # type: ignore[arg-type]
    return trial


def resolve(name: str) -> Any:
    """Import the longest part of `name` that is a module, and follow the rest as attributes."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            value = getattr(value, part)
        return value
    raise AttributeError(name)
