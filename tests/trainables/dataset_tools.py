"""Runs the data and voxels stages into a folder, without a store."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from storage.runs import Artifacts, Checkpoints
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context, StageFunction, StageTask
from trainables.stages import clips, data


class Folder:
    """Stands in for the artifacts of a finished stage run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


def run_stage(
    function: StageFunction, config: TrialConfig, output: Path, inputs: Mapping[str, Folder] | None = None
) -> Folder:
    output.mkdir(parents=True)
    given = cast(Mapping[str, Artifacts], inputs if inputs is not None else {})
    function(StageTask(config, 0, given, Context(output, cast(Checkpoints, None))))
    return Folder(output)


def run_data(config: TrialConfig, folder: Path) -> dict[str, Folder]:
    """Run the stages `clips` and `data`."""
    made = {"clips": run_stage(clips.run, config, folder / "clips")}
    made["data"] = run_stage(data.run, config, folder / "data", made)
    return made


SMALL: Mapping[str, Any] = {
    "dataset.train_clips": 40,
    "dataset.validation_clips": 8,
    "dataset.test_clips": 8,
    "dataset.block_clips": 8,
    "dataset.subjects": 2,
    "dataset.voxels": 80,
}


def small(**overrides: Any) -> TrialConfig:
    return resolve({**SMALL, **{name.replace("__", "."): value for name, value in overrides.items()}})
