"""A page of a report with the maps of voxels: one trial for each subject."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from platform.analysis.collect import AblationResult
from platform.analysis.search_result import SearchResult
from platform.errors import UserError
from platform.figures.map_stages import MAPS, has_maps
from platform.figures.maps_document import MEANING, TITLE, MapsDocument
from platform.figures.trial_maps import write_trial_maps
from platform.study.design import BASELINE
from storage.errors import StoreError
from storage.runs import RunStore
from trainables.datasets.errors import DatasetError


@dataclass(frozen=True)
class MappedTrial:
    """A completed trial that has a map."""

    name: str
    subject: int
    identities: Mapping[str, str]


def write_ablation_maps(result: AblationResult, folder: Path) -> list[tuple[str, str]]:
    """Write the page of an ablation, its pictures and files for viewers.

    Of several data sets, the page of each is in a folder with its name.

    Returns:
        Its title and name; nothing if no trial of the baseline has a map.
    """
    completed = (
        MappedTrial(trial.name, trial.subject, trial.identities)
        for (condition, _, _), trial in result.trials.items()
        if condition == BASELINE and trial.outcome == "COMPLETED"
    )
    dataset = result.dataset
    pages = _write_page("the first completed trial of the baseline", completed, result.runs, folder / dataset)
    return [(f"{title}: {dataset}", f"{dataset}/{name}") for title, name in pages] if dataset else pages


def write_sweep_maps(search: SearchResult, runs: RunStore, folder: Path) -> list[tuple[str, str]]:
    """Write the page of a sweep, as `write_ablation_maps` does: the best trial of each subject that has a map."""
    return _write_page("the first completed trial of the best point", best_trials(search), runs, folder)


def best_trials(search: SearchResult) -> Iterator[MappedTrial]:
    """Yield the completed trials of a sweep: those of the best point first, by number of the repeat."""
    proposed = {record.trial: record.proposed for record in search.records}
    for point in search.allowed:
        for trial in search.trials:
            config = proposed.get(trial.trial)
            if trial.point == point.point and trial.outcome == "COMPLETED" and config is not None:
                yield MappedTrial(trial.trial, int(config.config["voxels"]["subject"]), trial.identities)


def _write_page(which: str, completed: Iterable[MappedTrial], runs: RunStore, folder: Path) -> list[tuple[str, str]]:
    pictures: list[Path] = []
    notes: list[str] = []
    trials = [*_first_of_subjects(completed)]
    for trial in trials:
        try:
            files, note = write_trial_maps(runs, trial.identities, trial.subject, folder / MAPS)
        except (StoreError, DatasetError, UserError) as error:
            notes.append(f"{trial.name}: no maps: {error}")
            continue
        pictures += [path for path in files if path.suffix == ".png"]
        notes += [note] if note else []
    if not pictures:
        return []
    lead = f"Of each subject {which}: {', '.join(trial.name for trial in trials)}. {MEANING}"
    MapsDocument(lead, [*dict.fromkeys(notes)], pictures).write(folder)
    return [(TITLE, MAPS)]


def _first_of_subjects(completed: Iterable[MappedTrial]) -> Iterator[MappedTrial]:
    seen = set()
    for trial in completed:
        if has_maps(trial.identities) and trial.subject not in seen:
            seen.add(trial.subject)
            yield trial
