"""Training rows of several subjects: reading them, and their sparsified fMRI side by side in a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.augment import Sparsifier
from trainables.config.decoders import SparsifyConfig
from trainables.context import StageTask
from trainables.stages.other_subjects import other_file
from trainables.tensors import map_tensors

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SubjectRows:
    """The training rows of one subject among several."""

    fmri: Tensor
    """[rows, voxels of the subject]"""
    clip: Tensor
    """For each row, the place of its clip among those whose features were read, int64 [rows]."""


def trained_clips(
    task: StageTask, members: Mapping[str, Tensor], *, with_validation: bool
) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """Return the clips that are trained on, each once, and of several subjects the file and the clips of each.

    Args:
        task: A stage with the input `voxels`.
        members: The clips of each split that the judged subject answered. This subject comes first.
        with_validation: Whether validation clips are trained on, too. They come last.
    """
    train, more = members["train"], members["validation"][: None if with_validation else 0]
    own = torch.cat((train, more))
    others = task.inputs["voxels"].json("voxels.json").get("others", {})
    if not others:
        return own, []
    answered, files = [train], [("voxels.safetensors", own)]
    for number, facts in others.items():
        split = np.array(facts["split"])
        answered.append(torch.from_numpy(np.flatnonzero(split == "train")))
        also = more[torch.from_numpy(split == "validation")[more]]
        files.append((other_file(int(number)), torch.cat((answered[-1], also))))
    return torch.cat((torch.cat(answered).unique(), more)), files  # type: ignore[no-untyped-call]


def read_subjects(
    task: StageTask, files: Sequence[tuple[str, Tensor]], *, clips: Tensor, device: torch.device
) -> tuple[SubjectRows, ...]:
    """Return the rows of each subject on `device`, as `trained_clips` names `files` and `clips`."""
    place = torch.full((int(clips.max()) + 1,), -1)
    place[clips] = torch.arange(len(clips))
    result = []
    for name, index in files:
        fmri: Floats = map_tensors(task.inputs["voxels"].path(name))["fmri"][index.numpy()]
        result.append(SubjectRows(torch.from_numpy(fmri).to(device), place[index].to(device)))
    return tuple(result)


class PooledFmri:
    """The training rows of several subjects, in the order of these, as a `Sparsifier` has those of one.

    A batch has the voxels of all subjects side by side, and after them a column for each subject, as
    `trainables.networks.subject_layers` wants it. Each subject's rows are sparsified by themselves. How many of them a
    batch has is read back from the device, once per subject and batch.
    """

    def __init__(self, config: SparsifyConfig, subjects: Sequence[SubjectRows]) -> None:
        """Prepare for the rows of `subjects`."""
        self._sparsifiers = [Sparsifier(config, rows.fmri) for rows in subjects]
        device, counts = subjects[0].fmri.device, [len(rows.fmri) for rows in subjects]
        self._subject = torch.repeat_interleave(torch.arange(len(subjects)), torch.tensor(counts)).to(device)
        self._row = torch.cat([torch.arange(count) for count in counts]).to(device)
        self._clip = torch.cat([rows.clip for rows in subjects])
        self.voxels = [rows.fmri.shape[1] for rows in subjects]
        """Of each subject."""
        self._chosen = torch.arange(len(self._row), device=device)

    def __len__(self) -> int:
        """Return the number of rows that are trained on."""
        return len(self._chosen)

    def choose(self, *, own: bool) -> None:
        """Train on the rows of the first subject alone, or on those of the others alone. Rows are counted anew."""
        self._chosen = ((self._subject == 0) == own).nonzero()[:, 0]

    def clips(self, rows: Tensor) -> Tensor:
        """Return the place of each row's clip among the features."""
        return self._clip[self._chosen[rows]]

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draw for the whole epoch, if the config says so."""
        for sparsifier in self._sparsifiers:
            sparsifier.begin_epoch(generator)

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Return the sparsified fMRI of `rows` side by side, [batch, all voxels + subjects]."""
        rows = self._chosen[rows]
        batch = self._sparsifiers[0].fmri.new_zeros(len(rows), sum(self.voxels) + len(self.voxels))
        first = 0
        for number, (sparsifier, voxels) in enumerate(zip(self._sparsifiers, self.voxels, strict=True)):
            places = (self._subject[rows] == number).nonzero()[:, 0]
            if len(places) > 0:
                batch[places, first : first + voxels] = sparsifier(self._row[rows[places]], generator)
                batch[places, sum(self.voxels) + number] = 1.0
            first += voxels
        return batch

    def state(self) -> dict[str, Tensor]:
        """Return the accumulated sparsification."""
        return {
            f"{number}.{name}": tensor
            for number, sparsifier in enumerate(self._sparsifiers)
            for name, tensor in sparsifier.state().items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state that `state` returned."""
        for number, sparsifier in enumerate(self._sparsifiers):
            start = f"{number}."
            sparsifier.restore({k.removeprefix(start): v for k, v in state.items() if k.startswith(start)})
