"""Reads per_clip.parquet of an evaluation by columns: thousands of rows in a few milliseconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Texts: TypeAlias = npt.NDArray[np.object_]

_GROUP = ("split", "system", "metric")
_TEXTS = (*_GROUP, "name", "reason")
_CLUSTER = "cluster"


@dataclass(frozen=True)
class ClipRows:
    """One metric of one system in one split."""

    clips: Integers
    """Numbers of the clips in the data set."""
    values: Floats
    """NaN if undefined."""
    names: Texts
    reasons: Texts
    """Why a value is undefined; empty if it is defined."""
    clusters: Texts
    """Cluster of each clip; empty in evaluations of earlier versions, which recorded none."""


@dataclass(frozen=True)
class PerClip:
    """The content of a file, sorted by group."""

    groups: Mapping[tuple[str, str, str], slice]
    """(split, system, metric) to its rows."""
    clips: Integers
    values: Floats
    names: Texts
    reasons: Texts
    clusters: Texts

    def rows(self, split: str, system: str, metric: str) -> ClipRows | None:
        """Return the rows of a group, or None if there are none."""
        part = self.groups.get((split, system, metric))
        if part is None:
            return None
        texts = (self.names[part], self.reasons[part], self.clusters[part])
        return ClipRows(self.clips[part], self.values[part], *texts)


def read_per_clip(path: Path) -> PerClip:
    """Read the per-clip values of one evaluation."""
    import pyarrow.parquet as pq

    # With dictionaries, only distinct texts become Python objects.
    names = [*_TEXTS, *((_CLUSTER,) if _CLUSTER in pq.read_schema(path).names else ())]
    with pq.ParquetFile(path, read_dictionary=names) as file:
        table = file.read(columns=[*names, "clip", "value"], use_threads=False).unify_dictionaries()
    texts = {name: _coded(table.column(name).combine_chunks()) for name in names}
    texts.setdefault(_CLUSTER, (np.zeros(len(table), np.int64), np.array([""], dtype=object)))
    group = np.zeros(len(table), np.int64)
    for name in _GROUP:
        codes, texts_of_codes = texts[name]
        group = group * len(texts_of_codes) + codes
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    ends = [*starts[1:].tolist(), len(order)][: len(starts)]
    firsts = [texts[name][1][texts[name][0][order[starts]]].tolist() for name in _GROUP]
    groups = dict(zip(zip(*firsts, strict=True), map(slice, starts.tolist(), ends), strict=True))
    values = np.array(table.column("value").to_numpy(), np.float64)[order]
    values[~np.isfinite(values)] = np.nan
    columns = (texts[name][1][texts[name][0][order]] for name in ("name", "reason", _CLUSTER))
    return PerClip(groups, table.column("clip").to_numpy()[order], values, *columns)


def _coded(column: Any) -> tuple[Integers, Texts]:
    """Return the code of each row's text, and the texts; the last text is empty and replaces null."""
    texts = np.array([*column.dictionary.to_pylist(), ""], dtype=object)
    codes = column.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, texts
