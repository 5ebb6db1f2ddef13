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
from trainables.metrics.flow import Grey
from trainables.metrics.video import Reading
from trainables.tensors import TensorShape, TensorWriter, map_tensors

PER_CLIP, SHUFFLE = "per_clip.parquet", "shuffle.json"
_FLOW = "flow"
"""Name of the flow beside the roles of networks."""
_MOST_FLOW = 2_000_000_000
"""Bytes of flow that are kept of a split: 136 clips of 8 frames and 512 pixels, 545 of 256 pixels. Beyond that, each
trial computes it anew, which takes a tenth of the time of all its flows."""


def truth_file(split: str) -> str:
    """Return the name of the file with the outputs of networks for the true clips of `split`."""
    return f"truth_{split}.safetensors"


class TruthOutputs:
    """Writes the outputs of networks and the flow of n true clips, one clip at a time, in any order."""

    def __init__(self, path: Path, clips: int, stack: ExitStack) -> None:
        self._path, self._clips, self._stack = path, clips, stack
        self._file: TensorWriter | None = None

    def write(self, row: int, truth: Reading) -> None:
        """Write what was computed of clip `row`. The first call decides the shapes."""
        outputs = {**truth.outputs, **self._kept_flow(truth)}
        if self._file is None:
            shapes = {role: TensorShape(out.dtype, (self._clips, *out.shape)) for role, out in outputs.items()}
            self._file = self._stack.enter_context(TensorWriter(self._path, shapes))
        for role, out in outputs.items():
            self._file.write(role, row, out[None])

    def _kept_flow(self, truth: Reading) -> dict[str, Floats]:
        flow = truth.flow.get("rgb")
        return {_FLOW: flow} if flow is not None and flow.nbytes * self._clips <= _MOST_FLOW else {}


@contextmanager
def write_outputs(folder: Path, split: str, *, clips: int) -> Iterator[TruthOutputs]:
    """Yield what writes `truth_SPLIT.safetensors`: role to outputs of the n clips, `[n, ...]`, and their flow."""
    with ExitStack() as stack:
        yield TruthOutputs(folder / truth_file(split), clips, stack)


@dataclass(frozen=True)
class SplitControls:
    """What was judged before any trial, of the n clips of one split."""

    scores: Scores
    """Of the controls that no decoder changes."""
    truth: Mapping[str, NDArray[Any]]
    """Role of a network to its outputs for the true clips, `[n, ...]`; their flow, if it is kept."""

    def outputs(self, row: int) -> dict[str, Floats]:
        """Return the outputs for one true clip, by role."""
        return {role: np.asarray(values[row]) for role, values in self.truth.items() if role != _FLOW}

    def flow(self, row: int) -> Mapping[Grey, Floats] | None:
        """Return the flow of one true clip, as in its reading; None if it is not kept."""
        return {"rgb": np.asarray(self.truth[_FLOW][row])} if _FLOW in self.truth else None


def read_split(stored: Artifacts, split: str) -> SplitControls:
    """Read what the stage `control_scores` stored of one split."""
    scores = Scores(read_values(stored.path(PER_CLIP), split), stored.json(SHUFFLE)[split])
    return SplitControls(scores, map_tensors(stored.path(truth_file(split))))


def write_shuffle(scores: Mapping[str, Scores], folder: Path) -> None:
    """Write the shuffle tests of each split."""
    tests = {split: of_split.shuffle for split, of_split in scores.items()}
    (folder / SHUFFLE).write_text(json.dumps(tests, indent=1, allow_nan=False), encoding="utf-8")
