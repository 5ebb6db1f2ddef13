"""The clusters of a prepared data set's clips: films, else scanner runs, else blocks."""

from collections import defaultdict
from collections.abc import Sequence

from trainables.datasets.clusters import clusters_named
from trainables.datasets.prepared.blocks import ClipOrigin, joined_runs
from trainables.datasets.prepared.read import PreparedSet, PreparedSubject

_FEWEST = 2
"""Test clips of a single film (or run) are all alike: then the next smaller unit is taken."""


def prepared_clusters(data: PreparedSet) -> tuple[str, ...]:
    """Return the cluster of each clip.

    It is the film that a clip was cut from if the test clips come from two films or more. Else it is the scanner run if
    they were shown in two runs or more, where runs that share a clip are one. Else it is the block.
    """
    clips = data.clips
    films = [clip.source for clip in clips]
    is_test = [clip.split == "test" for clip in clips]
    if all(film for film, tested in zip(films, is_test, strict=True) if tested) and _several(films, is_test):
        return clusters_named("film", films)
    runs = _runs(data)
    if _several(runs, is_test):
        return clusters_named("run", runs)
    return clusters_named("block", [clip.block for clip in clips])


def _several(names: Sequence[object], is_test: Sequence[bool]) -> bool:
    return len({name for name, tested in zip(names, is_test, strict=True) if tested}) >= _FEWEST


def _runs(data: PreparedSet) -> list[int]:
    """Return the run of each clip, as a number; a clip that no subject saw has a number of its own."""
    shown: dict[str, list[str]] = defaultdict(list)
    for subject in data.subjects:
        for clip, run in _shown(subject):
            shown[clip].append(f"{subject.name} {run}")
    origins = [ClipOrigin(clip.clip_id, clip.source, "", tuple(shown[clip.clip_id])) for clip in data.clips]
    return [int(number) for number in joined_runs(origins)]


def _shown(subject: PreparedSubject) -> list[tuple[str, str]]:
    """Return clip and run of each presentation; presentations without a run are left out."""
    presentations = subject.rows if subject.kind == "rows" else subject.events
    return [(each.clip_id, each.run_id) for each in presentations if each.run_id]
