"""Writes a small data set as NSD has it: two sessions of 30 trials, with planted answers to brightness."""

import csv
import json
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
from scipy.io import savemat

GRID = (5, 5, 4)
TRIALS, SESSIONS, SHARED, UNIQUE = 30, 2, 4, 16
IMAGES = SHARED + 2 * UNIQUE
DESIGN_TRIALS = 750
VISUAL = 6
"""Voxels of the region that answer."""


def order() -> np.ndarray:
    """Return the image of each trial of both sessions, as numbers of a subject's own 20 images, from 1."""
    rng = np.random.default_rng(5)
    shown = np.concatenate([np.repeat(np.arange(1, SHARED + UNIQUE + 1), 3)])
    return rng.permutation(shown)[: TRIALS * SESSIONS]


def own_images(subject: int) -> np.ndarray:
    """Return the numbers, from 1, of a subject's images in the brick: the shared ones first."""
    first = SHARED + (subject - 1) * UNIQUE
    return np.concatenate([np.arange(1, SHARED + 1), np.arange(first + 1, first + UNIQUE + 1)])


def brightness(number: int) -> float:
    """Return the brightness of image `number`, from 1; 0 to 1."""
    return (number * 7 % IMAGES) / IMAGES


def region() -> np.ndarray:
    """Return the indices of the region's voxels, [V, 3], in the order of the reader."""
    volume = np.zeros(GRID, bool)
    volume[1:4, 1:3, 1:3] = True
    return np.argwhere(volume)


def write_nsd(folder: Path, subjects: tuple[int, ...] = (1,), *, nifti: bool = False) -> Path:
    """Write design, images, captions, regions and betas. In the design, a session has the published 750 trials."""
    experiment = folder / "nsddata" / "experiments" / "nsd"
    experiment.mkdir(parents=True, exist_ok=True)
    ordering = np.ones((1, DESIGN_TRIALS * SESSIONS), np.int64)
    for session in range(SESSIONS):
        part = order()[session * TRIALS : (session + 1) * TRIALS]
        ordering[0, session * DESIGN_TRIALS : session * DESIGN_TRIALS + TRIALS] = part
    images = np.stack([own_images(subject) for subject in (1, 2)])
    shared = np.arange(1, SHARED + 1)[None]
    savemat(experiment / "nsd_expdesign.mat", {"masterordering": ordering, "subjectim": images, "sharedix": shared})
    with (experiment / "nsd_stim_info_merged.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["", "cocoId", "nsdId"], *([n, 1000 + n, n] for n in range(IMAGES))])
    captions = [{"image_id": 1000 + n, "caption": f"picture {n}\n seen {part}"} for n in range(IMAGES) for part in "ab"]
    (folder / "captions_train2017.json").write_text(json.dumps({"annotations": captions}))
    _write_images(folder / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5")
    for subject in subjects:
        _write_subject(folder, subject, nifti=nifti)
    return folder


def _write_images(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    brick = np.zeros((IMAGES, 40, 40, 3), np.uint8)
    for index in range(IMAGES):
        noise = np.random.default_rng(index).integers(0, 40, (40, 40, 3))
        brick[index] = np.clip(200 * brightness(index + 1) + noise, 0, 255)
    with h5py.File(path, "w") as file:
        file["imgBrick"] = brick


def _write_subject(folder: Path, subject: int, *, nifti: bool) -> None:
    name, mask = f"subj{subject:02d}", np.full(GRID, -1, np.int16)
    mask[tuple(region().T)] = 1
    rois = folder / "nsddata" / "ppdata" / name / "func1pt8mm" / "roi"
    rois.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(mask, np.diag([1.8, 1.8, 1.8, 1.0])), rois / "nsdgeneral.nii.gz")
    betas = folder / "nsddata_betas" / "ppdata" / name / "func1pt8mm" / "betas_fithrf_GLMdenoise_RR"
    betas.mkdir(parents=True, exist_ok=True)
    own = own_images(subject)
    for session in range(SESSIONS):
        images = own[order()[session * TRIALS : (session + 1) * TRIALS] - 1]
        values = np.random.default_rng([subject, session]).normal(size=(TRIALS, *GRID))
        values[(slice(None), *region()[:VISUAL].T)] += 6 * np.array([[brightness(n)] for n in images]) + session
        whole = (300 * values).round().astype(np.int16)  # [trials, i, j, k]
        stem = betas / f"betas_session{session + 1:02d}"
        if nifti:
            nib.save(nib.Nifti1Image(np.moveaxis(whole, 0, -1), np.eye(4)), f"{stem}.nii.gz")
        else:
            with h5py.File(f"{stem}.hdf5", "w") as file:
                file["betas"] = whole.transpose(0, 3, 2, 1)  # Matlab's order
