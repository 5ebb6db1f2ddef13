"""A stand-in for the driver of a verb, and for MLflow, whose view starts nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from platform.events import TrialEvent


class NoMlflow:
    """Keeps the reports that are attached."""

    def __init__(self) -> None:
        self.attached: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self) -> None:
        pass

    def see(self, event: TrialEvent) -> None:
        pass

    def close(self) -> None:
        pass

    def attach(self, page: Path) -> None:
        self.attached.append(page)


def drive_by(launch: Callable[[Any, Any], Any], monkeypatch: pytest.MonkeyPatch) -> NoMlflow:
    """Let `launch(study, options)` run the studies of verbs; return what takes the place of MLflow."""
    mlflow = NoMlflow()
    monkeypatch.setattr("platform.launch.launch", lambda study, options, *_: launch(study, options))
    monkeypatch.setattr("platform.launch.mlflow_view", lambda study, options: mlflow)
    return mlflow
