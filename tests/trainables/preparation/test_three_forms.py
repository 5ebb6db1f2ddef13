"""One study as published files, as a BIDS tree and as a lab's own arrays: the prepared data sets agree."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.fakes.cifti import reduced_brain, write_atlas
from tests.fakes.phantom_study import DESIGN, LABELS, SILENT, differences, make_study, prepare_all, write_trees
from trainables.datasets.prepared.read import open_prepared

SMALL = replace(
    DESIGN,
    train=("seg1", "seg2", "seg3"),
    validation=("seg3",),
    repeats={"seg": 2, "test": 3},
    clips=12,
    leading={17: 1},
)


def small_atlas(folder: Path) -> Path:
    """Write an atlas of a few vertices per area in each hemisphere."""
    brain = reduced_brain(120, subcortex=None)
    names = [*dict.fromkeys(name for labels in LABELS.values() for name in labels), *SILENT]
    areas = [names[vertex % len(names)] for vertex in range(120)]
    labels = [f"{side}_{area}_ROI" for side in "LR" for area in areas]
    return write_atlas(folder / "atlas.dlabel.nii", labels, brain)


def test_three_forms_of_one_study_give_the_same_rows_voxels_and_order(tmp_path: Path) -> None:
    atlas = small_atlas(tmp_path)
    study = make_study(atlas, design=SMALL, voxels=40)
    write_trees(study, tmp_path)
    prepare_all(study, tmp_path, atlas)
    found = differences(tmp_path)
    assert {name: value for name, value in found.items() if value is not True and not value < 1e-5} == {}
    assert len(found) == 6
    (subject,) = open_prepared(tmp_path / "as_cc2017").subjects
    assert set(subject.voxels.roi) <= {name for labels in LABELS.values() for name in labels} | set(SILENT)
    segment = np.asarray(subject.values[:12])
    answers = study.responses[:12] - study.responses[:12].mean(axis=0)
    planted = study.responses.std(axis=0) > 0
    correlation = [np.corrcoef(segment[:, v], answers[:, v])[0, 1] for v in np.flatnonzero(planted)]
    assert np.median(correlation) > 0.7, "what was planted is in what was prepared"
