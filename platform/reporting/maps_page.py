"""A page of a report with the maps of voxels: one trial of the baseline for each subject."""

import base64
from collections.abc import Iterator
from pathlib import Path

from platform.analysis.collect import AblationResult, AblationTrial
from platform.errors import UserError
from platform.figures.map_stages import has_maps
from platform.figures.trial_maps import write_trial_maps
from platform.study.design import BASELINE
from storage.errors import StoreError
from trainables.datasets.errors import DatasetError
from trainables.pages.kit import render_template

_PAGE = "maps"
_TITLE = "Maps of voxels"
_TEMPLATE = Path(__file__).with_name("maps.html")
_LEAD = (
    "Of each subject the first completed trial of the baseline. Noise ceilings are of the data set; importance is what "
    "a decoder relies on; encoding is the correlation, on test clips, of a voxel's responses with those that ridge "
    "regression predicts from features of the clips. Maps of one measure have one scale within a picture. The files "
    "beside this page are for brain viewers."
)


def write_maps_page(result: AblationResult, folder: Path) -> list[tuple[str, str]]:
    """Write the page, its pictures and files for viewers; return its title and name, or nothing without maps."""
    pictures: list[Path] = []
    notes: list[str] = []
    for trial in _trials(result):
        try:
            files, note = write_trial_maps(result.runs, trial.identities, trial.subject, folder / _PAGE)
        except (StoreError, DatasetError, UserError) as error:
            notes.append(f"{trial.name}: no maps: {error}")
            continue
        pictures += [path for path in files if path.suffix == ".png"]
        notes += [note] if note else []
    if not pictures:
        return []
    notes = list(dict.fromkeys(notes))
    shown = [(path.stem.replace("_", ", "), _uri(path)) for path in pictures]
    page = render_template(_TEMPLATE, title=_TITLE, lead=_LEAD, notes=notes, pictures=shown)
    (folder / f"{_PAGE}.html").write_text(page, encoding="utf-8")
    lines = [f"# {_TITLE}", _LEAD, *notes, *(f"![{path.stem}]({_PAGE}/{path.name})" for path in pictures)]
    (folder / f"{_PAGE}.md").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return [(_TITLE, _PAGE)]


def _trials(result: AblationResult) -> Iterator[AblationTrial]:
    """Yield for each subject the first completed trial of the baseline that has a map."""
    seen = set()
    for (condition, subject, _), trial in result.trials.items():
        is_done = condition == BASELINE and trial.outcome == "COMPLETED" and has_maps(trial.identities)
        if is_done and subject not in seen:
            seen.add(subject)
            yield trial


def _uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
