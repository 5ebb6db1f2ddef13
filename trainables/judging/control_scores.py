"""What `control_scores` leaves: values and shuffle tests of the controls, and what networks say of the true clips."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.runs import Artifacts
from trainables.judging.per_clip_table import read_values
from trainables.judging.values import Scores
from trainables.metrics.clip import Floats
from trainables.tensors import TensorShape, TensorWriter, map_tensors

PER_CLIP, SHUFFLE = "per_clip.parquet", "shuffle.json"


def truth_file(split: str) -> str:
    """Return the name of the file with the outputs of networks for the true clips of `split`."""
    return f"truth_{split}.safetensors"


class TruthOutputs:
    """Writes the outputs of networks for n true clips, one clip at a time, in any order."""

    def __init__(self, path: Path, clips: int, stack: ExitStack) -> None:
        self._path, self._clips, self._stack = path, clips, stack
        self._file: TensorWriter | None = None

    def write(self, row: int, outputs: Mapping[str, Floats]) -> None:
        """Write the outputs for clip `row`, by role. The first call decides their shapes."""
        if self._file is None:
            shapes = {role: TensorShape(out.dtype, (self._clips, *out.shape)) for role, out in outputs.items()}
            self._file = self._stack.enter_context(TensorWriter(self._path, shapes))
        for role, out in outputs.items():
            self._file.write(role, row, out[None])


@contextmanager
def write_outputs(folder: Path, split: str, *, clips: int) -> Iterator[TruthOutputs]:
    """Yield what writes `truth_SPLIT.safetensors`: role to outputs of the n clips, `[n, ...]`."""
    with ExitStack() as stack:
        yield TruthOutputs(folder / truth_file(split), clips, stack)


@dataclass(frozen=True)
class SplitControls:
    """What was judged before any trial, of the n clips of one split."""

    scores: Scores
    """Of the controls that no decoder changes."""
    truth: Mapping[str, NDArray[Any]]
    """Role of a network to its outputs for the true clips, `[n, ...]`."""

    def outputs(self, row: int) -> dict[str, Floats]:
        """Return the outputs for one true clip, by role."""
        return {role: np.asarray(values[row]) for role, values in self.truth.items()}


def read_split(stored: Artifacts, split: str) -> SplitControls:
    """Read what the stage `control_scores` stored of one split."""
    scores = Scores(read_values(stored.path(PER_CLIP), split), stored.json(SHUFFLE)[split])
    return SplitControls(scores, map_tensors(stored.path(truth_file(split))))


def write_shuffle(scores: Mapping[str, Scores], folder: Path) -> None:
    """Write the shuffle tests of each split."""
    tests = {split: of_split.shuffle for split, of_split in scores.items()}
    (folder / SHUFFLE).write_text(json.dumps(tests, indent=1, allow_nan=False), encoding="utf-8")
