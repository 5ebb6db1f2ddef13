"""Writes a BIDS tree with fMRIPrep derivatives from a table of runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.fakes.cifti import Brain, write_dtseries
from trainables.preparation.confounds import MOTION

DERIVATIVES = Path("derivatives") / "fmriprep"


@dataclass(frozen=True)
class BidsRun:
    """One run of one subject."""

    sub: str
    task: str
    values: NDArray[np.float32]
    """[volumes, grayordinates]"""
    events: Sequence[Mapping[str, Any]] = ()
    """Rows of events.tsv; none writes no file."""
    run: str = ""
    ses: str = ""
    sidecar: Mapping[str, Any] = field(default_factory=lambda: {"RepetitionTime": 2.0})
    displacement: Sequence[float] = ()
    """Framewise displacement; none is 0."""

    @property
    def stem(self) -> str:
        """The entities that all files of the run share."""
        parts = (("sub", self.sub), ("ses", self.ses), ("task", self.task), ("run", self.run))
        return "_".join(f"{name}-{value}" for name, value in parts if value)

    def folder(self, root: Path) -> Path:
        """Return its folder `func` under `root`."""
        return root / f"sub-{self.sub}" / (f"ses-{self.ses}" if self.ses else "") / "func"

    def bold(self, root: Path) -> Path:
        """Return its preprocessed file."""
        return self.folder(root / DERIVATIVES) / f"{self.stem}_space-fsLR_den-91k_bold.dtseries.nii"

    def confounds(self, root: Path) -> Path:
        """Return its table of confounds."""
        return self.folder(root / DERIVATIVES) / f"{self.stem}_desc-confounds_timeseries.tsv"


def write_bids(root: Path, runs: Sequence[BidsRun], brain: Brain) -> Path:
    """Write raw events, CIFTI, sidecars and confounds of all runs."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "fake", "BIDSVersion": "1.9.0"}))
    for run in runs:
        bold = write_dtseries(run.bold(root), run.values, brain)
        bold.with_name(bold.name.replace(".dtseries.nii", ".json")).write_text(json.dumps(run.sidecar))
        _write_tsv(run.confounds(root), _confounds(run))
        if run.events:
            _write_tsv(run.folder(root) / f"{run.stem}_events.tsv", run.events)
    return root


def _confounds(run: BidsRun) -> list[dict[str, Any]]:
    rng = np.random.default_rng([3, len(run.values), len(run.run)])
    displacement = [*run.displacement] if run.displacement else [0.0] * len(run.values)
    rows: list[dict[str, Any]] = [dict(zip(MOTION, rng.normal(size=6).round(5), strict=True)) for _ in run.values]
    for row, value in zip(rows, ["n/a", *displacement[1:]], strict=True):
        row["framewise_displacement"] = value
    return rows


def _write_tsv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
