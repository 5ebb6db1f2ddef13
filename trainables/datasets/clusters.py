"""Clusters of clips: which clips are alike because they come from one film, scanner run, block or scene.

A cluster is named by its kind and its name, such as `film seg1` or `block 12`; a clip on its own is `clip 7`. Tests
over clips take a cluster as one unit. Importing this loads no engine.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

ClusterKind: TypeAlias = Literal["film", "run", "block", "scene", "cluster", "clip"]
"""What the clips of a cluster share. `clip`: nothing, every clip is on its own; `cluster`: what a user's file says."""


def clusters_named(kind: ClusterKind, names: Iterable[object]) -> tuple[str, ...]:
    """Return the cluster of each clip, from what names it. If no two clips share a name, each is on its own.

    Example:
        >>> clusters_named("film", ["a", "a", "b"])
        ('film a', 'film a', 'film b')
        >>> clusters_named("film", ["a", "b"])
        ('clip 0', 'clip 1')
    """
    given = [str(name) for name in names]
    if len(set(given)) == len(given):
        return each_its_own(range(len(given)))
    return tuple(f"{kind} {name}" for name in given)


def each_its_own(clips: Iterable[object]) -> tuple[str, ...]:
    """Return a cluster for each of `clips`."""
    return tuple(f"clip {clip}" for clip in clips)


def kind_of(clusters: Sequence[str]) -> str:
    """Return what clips share a cluster for, from the cluster of each clip; `clip` if no two clips share one."""
    if len(set(clusters)) == len(clusters):
        return "clip"
    words = Counter(cluster.partition(" ")[0] for cluster in clusters)
    return max(words, key=lambda word: words[word])


def clusters_of_facts(facts: Mapping[str, Any], *, simulated: bool) -> Sequence[str]:
    """Return the cluster of each clip from a stored `data.json`; empty if every clip is on its own.

    Earlier versions stored blocks and no clusters. Blocks are then the clusters, except of a simulated data set, whose
    clips were independent.
    """
    if "cluster" in facts:
        stored: Sequence[str] = facts["cluster"]
        return stored
    return () if simulated else clusters_named("block", facts.get("block", ()))
