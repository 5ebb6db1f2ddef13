"""`dataset.json`: the description of a prepared data set."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from trainables.config.base import Config, Count, Natural, NonNegative, Positive
from trainables.datasets.errors import DataProblem, DatasetError

FORMAT_VERSION = 1
DESCRIPTION_FILE = "dataset.json"
_ROUNDING = 0.01
"""Volumes by which the lag may differ from a whole number without a warning."""
MESH_VERTICES = {"fsLR-32k": 32492, "fsLR-59k": 59292, "fsaverage": 163842, "fsaverage5": 10242, "fsaverage6": 40962}
"""Vertices of a hemisphere, by the space of the data set."""
SetKind = Literal["series", "rows"]


class ReaderUsed(Config):
    """The reader that made the data set."""

    name: str
    version: Count = 1
    options: Mapping[str, Any] = Field(default_factory=dict)


class ClipShape(Config):
    """All clips of a data set have one shape, [frames, height, width, 3]."""

    count: Count
    frames: Count
    height: Count
    width: Count


class FileFacts(Config):
    """Size and digest of a file."""

    bytes: Natural
    sha256: str


class LagCurve(Config):
    """Correlation of visual voxels with the clips' motion at each shift: the check of the lag."""

    seconds: tuple[float, ...]
    correlation: tuple[float, ...]


SubjectName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""Also the name of a folder."""


class SetFacts(Config):
    """The facts about a data set that its reader knows before anything is written."""

    name: str
    kind: SetKind
    """`series`: BOLD volumes over time with onsets of clips; `rows`: one vector per presentation."""
    licence: str
    """"" means unknown."""
    citation: tuple[str, ...] = ()
    source: str = ""
    """Source of the data, such as a DOI."""
    accessed: str = ""
    """Date on which it was obtained, YYYY-MM-DD."""
    reader: ReaderUsed
    defects: tuple[str, ...] = ()
    """Known errors and gaps of the data."""
    space: str = ""
    """fsLR-32k, MNI152NLin2009cAsym, ..."""
    units: Literal["zscore", "psc", "a.u."] = "a.u."
    lag_s: NonNegative = 0.0
    """Seconds from the onset of a clip to its response; 0 for rows."""
    tr: Positive | None = None
    """Seconds per volume; None for rows."""
    processing: tuple[str, ...] = ()
    """Preprocessing of the fMRI, in sentences that the card lists."""
    previews: bool = False
    """Whether the licence allows frames of the clips in reports."""
    still: bool = False
    """Whether each clip is one image, repeated: then nothing that moves can be decoded or judged."""


class Description(SetFacts):
    """The content of `dataset.json`."""

    format: Literal["mindsweep-data"] = "mindsweep-data"
    version: Literal[1] = 1
    split_by: str = "given"
    """The rule by which clips were split."""
    subjects: tuple[SubjectName, ...]
    clips: ClipShape
    lag_curve: Mapping[str, LagCurve] = Field(default_factory=dict)
    """By subject; series only."""
    files: Mapping[str, FileFacts] = Field(default_factory=dict)
    """Every file but this one and the cards, by its path."""
    digest: str = ""
    """SHA-256 over the sorted (path, SHA-256) of `files`."""

    @property
    def lag_volumes(self) -> int:
        """The lag in whole volumes, as studies use it; 0 for rows."""
        return 0 if self.tr is None else round(self.lag_s / self.tr)

    @property
    def rounded_lag(self) -> str | None:
        """The rounded lag as text if it is not a whole number of volumes; else None."""
        if self.tr is None or abs(self.lag_s / self.tr - self.lag_volumes) <= _ROUNDING:
            return None
        return f"{self.lag_volumes} volume(s) = {self.lag_volumes * self.tr:g} s"


def read_description(folder: Path) -> Description:
    """Return the description of the data set in `folder`. Raises `DatasetError`, which lists all that is wrong."""
    path = folder / DESCRIPTION_FILE
    try:
        return description_of(path.read_bytes(), str(path))
    except FileNotFoundError:
        right = "name the folder of a data set that `python -m platform.prepare` wrote (docs/data-format.md)"
        what = "there is no such file" if folder.is_dir() else "there is no such folder"
        raise DatasetError.of(DataProblem(str(path if folder.is_dir() else folder), what, right)) from None
    except NotADirectoryError:
        right = "name the folder that holds dataset.json"
        raise DatasetError.of(DataProblem(str(folder), "is no folder", right)) from None
    except OSError as error:
        raise DatasetError.of(DataProblem(str(path), f"cannot be read: {error}", "it must be JSON")) from error


def description_of(data: bytes, path: str) -> Description:
    """Return the description in the bytes of a `dataset.json`. Raises `DatasetError`, which names `path`."""
    try:
        return Description.model_validate_json(data.decode("utf-8"))
    except ValidationError as error:
        raise DatasetError.of(*(_problem(path, entry) for entry in error.errors())) from error
    except ValueError as error:
        raise DatasetError.of(DataProblem(path, f"cannot be read: {error}", "it must be JSON")) from error


def _problem(path: str, entry: Any) -> DataProblem:
    key = ".".join(map(str, entry["loc"]))
    value = "" if entry["type"] == "missing" else f", but is {json.dumps(entry['input'], default=str)[:80]}"
    return DataProblem(f"{path}, {key}" if key else path, f"{entry['msg']}{value}", "see docs/data-format.md")


def write_description(description: Description, folder: Path) -> None:
    """Write `dataset.json`."""
    text = description.model_dump_json(indent=1)
    (folder / DESCRIPTION_FILE).write_text(f"{text}\n", encoding="utf-8")
