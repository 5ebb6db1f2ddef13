"""Finds the files of a BIDS tree by their names: bold in its derivatives, events, confounds, sidecars."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.datasets.clip_names import NaturalKey, natural
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.preparation.files import is_named

_PASSED_OVER = frozenset({"stimuli", "sourcedata", "figures", "anat", "fmap", "dwi", "logs", "log"})
SURFACE = ".func.gii"
"""The extension of a series on one hemisphere."""
_OWN_SPACES = frozenset({"T1w", "fsnative"})
"""Spaces that differ from subject to subject; they are taken only if asked for."""


@dataclass(frozen=True)
class BidsName:
    """The parts of a BIDS file name."""

    path: Path
    entities: Mapping[str, str]
    suffix: str
    """The last part, such as `bold`."""
    extension: str
    """From the first dot, such as `.nii.gz`."""

    @property
    def key(self) -> "RunKey":
        """The run of the file."""
        run = self.entities.get("run", "")
        number = str(int(run)) if run.isdecimal() else run
        sub, ses, task = (self.entities.get(name, "") for name in ("sub", "ses", "task"))
        return RunKey(sub, ses, task, number)


@dataclass(frozen=True, order=True)
class RunKey:
    """The entities that all files of one run share. `run-1` equals `run-01`."""

    sub: str
    ses: str
    task: str
    run: str

    def __str__(self) -> str:
        parts = (("sub", self.sub), ("ses", self.ses), ("task", self.task), ("run", self.run))
        return "_".join(f"{name}-{value}" for name, value in parts if value)

    @property
    def order(self) -> NaturalKey:
        """A key that sorts runs naturally."""
        return natural(str(self))


def parse_name(path: Path) -> BidsName:
    """Split a file name into its parts.

    Examples:
        >>> name = parse_name(Path("sub-01_task-test_run-02_space-fsLR_den-91k_bold.dtseries.nii"))
        >>> name.suffix, name.extension, str(name.key)
        ('bold', '.dtseries.nii', 'sub-01_task-test_run-2')
    """
    stem, dot, extension = path.name.partition(".")
    parts = stem.split("_")
    entities = dict(part.split("-", 1) for part in parts if "-" in part)
    loose = [part for part in parts if "-" not in part]
    return BidsName(path, entities, "_".join(loose), dot + extension)


@dataclass(frozen=True)
class BidsTree:
    """The relevant files of a tree."""

    root: Path
    names: tuple[BidsName, ...]

    def events(self) -> dict[RunKey, Path]:
        """Return the table of events of each run."""
        return {name.key: name.path for name in self.names if name.suffix == "events" and name.extension == ".tsv"}

    def confounds(self) -> dict[RunKey, Path]:
        """Return fMRIPrep's table of confounds of each run, under its name of today or the older one."""
        tables = [
            name for name in self.names if name.suffix in ("timeseries", "regressors") and name.extension == ".tsv"
        ]
        return {name.key: name.path for name in tables if name.entities.get("desc") == "confounds"}

    def bold(self, space: str = "") -> dict[RunKey, BidsName]:
        """Return the best bold file of each run: CIFTI of fMRIPrep, of ciftify or HCP, volumes, then surfaces.

        Args:
            space: use this one only, such as MNI152NLin2009cAsym.
        """
        best: dict[RunKey, BidsName] = {}
        for name in sorted(self.names, key=lambda name: (_rank(name), natural(str(name.path)))):
            if _rank(name) < _NEVER and _is_wanted(name, space):
                best.setdefault(name.key, name)
        return best

    def mask_of(self, bold: BidsName) -> Path:
        """Return the brain mask next to a volume."""
        stem = bold.path.name.removesuffix(bold.extension)
        return bold.path.with_name(stem.replace("desc-preproc_bold", "desc-brain_mask") + bold.extension)

    def sidecars(self, bold: BidsName) -> list[Path]:
        """Return JSON files about a bold file, the most specific first: next to it, of the raw run, of the task."""
        stem = bold.path.name.removesuffix(bold.extension)
        own = [bold.path.with_name(f"{stem}{end}") for end in (".json", ".dtseries.json")]
        raw = [
            name.path
            for name in self.names
            if name.extension == ".json"
            and name.suffix == "bold"
            and "space" not in name.entities
            and "desc" not in name.entities
            and all(bold.entities.get(entity) == value for entity, value in name.entities.items())
        ]
        general = sorted(raw, key=lambda path: -len(path.name))
        return [path for path in [*own, *general] if is_named(path)]


_NEVER = 9


def _rank(name: BidsName) -> int:
    """Return the rank of a file, the preferred ones first, or `_NEVER`."""
    if "echo" in name.entities or name.entities.get("part", "mag") != "mag":
        return _NEVER
    if name.extension == ".dtseries.nii":
        if name.suffix == "bold":
            return 0 if name.entities.get("den", "91k") == "91k" else 3
        return {True: 1, False: 2}[name.suffix.endswith("clean")] if name.suffix.startswith("Atlas") else _NEVER
    if name.extension == SURFACE:  # found by its left hemisphere
        return 5 if name.suffix == "bold" and name.entities.get("hemi") == "L" else _NEVER
    is_volume = name.suffix == "bold" and name.extension in (".nii", ".nii.gz")
    return 4 if is_volume and name.entities.get("desc") == "preproc" else _NEVER


def right_of(left: BidsName) -> Path:
    """Return the file of the right hemisphere beside that of the left one."""
    return left.path.with_name(left.path.name.replace("_hemi-L", "_hemi-R"))


def space_of(name: BidsName) -> str:
    """Return the space of a bold file, with the density of a surface."""
    if name.extension == ".dtseries.nii":
        return f"{name.entities.get('space', 'fsLR')}-{'32k' if name.entities.get('den', '91k') == '91k' else '59k'}"
    return name.entities.get("space", "native")


def _is_wanted(name: BidsName, space: str) -> bool:
    if space:
        return space in (space_of(name), space_of(name).partition("-")[0])
    return name.entities.get("space") not in _OWN_SPACES


def scan(root: Path) -> BidsTree:
    """List a tree: its raw files, and its derivatives at any depth.

    Raises:
        DatasetError: There is no such folder, or it is no BIDS data set.
    """
    if not root.is_dir():
        raise DatasetError.of(DataProblem(str(root), "there is no such folder", "name the root of the BIDS data set"))
    names = tuple(parse_name(path) for path in _files(root))
    if not names:
        right = "name the folder that holds dataset_description.json and sub-01, ..."
        raise DatasetError.of(DataProblem(str(root), "has no file whose name begins with sub-", right))
    return BidsTree(root, names)


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _PASSED_OVER and not name.startswith("."))
        for name in sorted(files):
            if name.startswith(("sub-", "task-")):
                yield Path(folder, name)


def require_one_space(chosen: Sequence[BidsName]) -> str:
    """Return the space of all files.

    Raises:
        DatasetError: There is none, or more than one.
    """
    spaces = {space_of(name): name.path for name in chosen}
    if len(spaces) > 1:
        what = f"mixes spaces: {', '.join(f'{space} ({path.name})' for space, path in sorted(spaces.items()))}"
        raise DatasetError.of(DataProblem("bold", what, f"use --space {sorted(spaces)[0]}, or prepare them separately"))
    if not spaces:
        right = (
            "fMRIPrep must have been run with --level full, best with --cifti-output 91k; "
            "files of --level minimal or resampling hold no bold"
        )
        raise DatasetError.of(DataProblem("bold", "no preprocessed run was found", right))
    return next(iter(spaces))
