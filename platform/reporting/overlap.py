"""How near the test clips of an ablation are to its training clips: to find a clip is not to reconstruct it."""

from collections.abc import Iterator, Mapping
from typing import Any

from platform.analysis.collect import AblationResult
from platform.reporting.words import number
from platform.study.design import BASELINE
from storage.errors import StoreError
from trainables.pages.grid import Cell, Grid

STAGE = "library"
LEAD = (
    "CLIP similarity of each test clip to the nearest training clip. A system that finds the nearest training clip "
    "reconstructs nothing, but scores well on metrics of meaning if test clips have near neighbours among training "
    "clips (spurious reconstruction, arXiv 2405.10078). The control nearest training clip is such a system."
)
_DIGITS = 3


def overlap_table(result: AblationResult) -> Grid | None:
    """Return the table, a row per subject; None if no trial has the stage run that it comes from."""
    rows = [
        (
            Cell(f"{subject}"),
            Cell(str(overlap["clips"])),
            Cell(str(overlap["same_frames"])),
            *(Cell(number(overlap["quantiles"][name], _DIGITS)) for name in ("0%", "25%", "50%", "75%", "100%")),
            Cell(number(overlap["any_training_clip"], _DIGITS)),
        )
        for subject, overlap in overlaps(result)
    ]
    if not rows:
        return None
    header = ("subject", "test clips", "with frames of a training clip", "least", "25%", "median", "75%", "most", "any")
    note = "any: median similarity of a test clip to a training clip, whichever. Least to most: to the nearest one."
    return Grid("Overlap of test and training clips", header, tuple(rows), (note,))


def overlaps(result: AblationResult) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield each subject with what the stage found of its test clips; none whose artifacts were deleted."""
    seen = set()
    for (condition, subject, _), trial in result.trials.items():
        if condition != BASELINE or subject in seen or STAGE not in trial.identities:
            continue
        try:
            overlap = result.runs.open(trial.identities[STAGE]).json("overlap.json")["test"]
        except StoreError:
            continue  # its artifacts were deleted
        seen.add(subject)
        yield subject, overlap
