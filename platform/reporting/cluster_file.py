"""Reads which cluster (film, run, scene) each clip of a folder of videos belongs to, from a column of a CSV file."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from platform.errors import UserError, nearest
from trainables.datasets.clusters import ClusterKind
from trainables.datasets.errors import some

OPTION = "--clusters"
_NAME = "name"


def read_clusters(argument: str, clips: Sequence[str]) -> dict[str, str]:
    """Return the cluster of each of `clips`, such as `film a`, from `argument`: `FILE.csv` or `FILE.csv:COLUMN`.

    The file has the columns `name`, with or without suffix, and COLUMN (`cluster` if none is named). Rows of other
    clips are passed over.

    Raises:
        UserError: The file cannot be read, lacks a column, or does not name every clip once with a cluster.
    """
    path, column = _parts(argument)
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        rows = [(row.get(_NAME), row.get(column)) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{OPTION} {argument}: cannot be read: {error}") from error
    header = reader.fieldnames or ()
    if missing := [name for name in (_NAME, column) if name not in header]:
        raise UserError(f"{OPTION} {argument}: has no column {missing[0]!r}; {nearest(missing[0], header)}")
    by_name = _by_name(clips)
    found: dict[str, list[str]] = {clip: [] for clip in clips}
    for name, cluster in rows:
        clip = by_name.get(name, by_name.get(_stem(name)))
        if clip is not None and cluster:
            found[clip].append(cluster)
    _require_one_each(argument, found)
    kind = column if column in get_args(ClusterKind) else "cluster"
    return {clip: f"{kind} {cluster}" for clip, (cluster,) in found.items()}


def _parts(argument: str) -> tuple[Path, str]:
    """Return file and column; a colon within the path is no separator."""
    before, colon, column = argument.rpartition(":")
    return (Path(before), column) if colon and before.endswith(".csv") else (Path(argument), "cluster")


def _by_name(clips: Sequence[str]) -> Mapping[str | None, str]:
    return {**{_stem(clip): clip for clip in clips}, **{clip: clip for clip in clips}}


def _stem(name: str | None) -> str | None:
    """Return a clip's name without suffix."""
    return None if name is None else name.rsplit(".", 1)[0]


def _require_one_each(argument: str, found: Mapping[str, Sequence[str]]) -> None:
    for what, wrong in (
        ("has no cluster for", [clip for clip, clusters in found.items() if not clusters]),
        ("has several rows for", [clip for clip, clusters in found.items() if len(clusters) > 1]),
    ):
        if wrong:
            raise UserError(f"{OPTION} {argument}: {what} {some(wrong)}; name each clip once, with its cluster")
