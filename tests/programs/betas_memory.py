"""Writes pickled betas of many clips, reads them as `prepare` does, and prints by how many MB the peak memory rose."""

import resource
import sys
from pathlib import Path

import numpy as np

from tests.fakes.pickles import write_holed_betas
from trainables.preparation.beta_subject import BetaSet, BetaSubject
from trainables.preparation.beta_surface import choose_vertices
from trainables.preparation.betas import BetaFile

folder, clips = Path(sys.argv[1]), int(sys.argv[2])
path = write_holed_betas(folder / "betas.pkl", (clips, 3, 6000))
names = tuple(f"{number:04}" for number in range(1, clips + 1))
sets = (BetaSet("train", (BetaFile(path),), names, repeats=3),)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
subject = BetaSubject("sub-01", folder, lambda: sets, lambda files: choose_vertices(None, (), files)).source()
voxels, (recording,) = subject.voxels(), subject.recordings()
rows = sum(len(block.values) * block.values.shape[1] for block in recording.blocks())
assert rows == clips * 3 * len(voxels)
assert all(np.isfinite(block.values).all() for block in recording.blocks())
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) / 1024)
