"""A map of the CLIP embeddings that the semantic decoder predicts: are clips with the same shape close (Fig. 21)?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from platform.analysis.collect import AblationResult, AblationTrial
from platform.analysis.per_clip import Floats
from platform.reporting.words import DASH, number
from storage.errors import StoreError
from trainables.datasets.phantom.stimuli import SHAPES
from trainables.pages.grid import Cell, Grid

FIGURE = "embedding_map"
_FEWEST = 4
"""Smallest number of clips for a map."""
_PERPLEXITY = 30.0


@dataclass(frozen=True)
class EmbeddingMap:
    """The test clips of one condition: a map for its first trial, neighbour statistics for all trials."""

    condition: str
    trial: str
    coordinates: Floats
    """[clips, 2]: t-SNE; large distances have no meaning."""
    shapes: tuple[str, ...]
    """The shape in each clip; empty if the data set has no shapes."""
    alike: tuple[float, ...]
    """Per trial: share of clips whose nearest neighbour (by embedding, not in the map) shows the same shape."""
    chance: float
    """The same share for a random neighbour."""

    @property
    def caption(self) -> str:
        """The neighbour statistic as text."""
        if not self.alike:
            return "the data set has no labels of what a clip shows"
        share = number(float(np.mean(self.alike)), 2)
        return f"nearest neighbour of the same shape: {share} (chance {number(self.chance, 2)})"


@dataclass(frozen=True)
class _Embedded:
    vectors: Floats
    """[clips, width], each of length 1."""
    shapes: npt.NDArray[np.int64] | None
    """[clips]"""


def embedding_maps(result: AblationResult) -> tuple[EmbeddingMap, ...]:
    """Return a map of each condition with a completed trial; empty if the design does not include this figure."""
    if FIGURE not in result.design.figures:
        return ()
    maps = []
    for condition in result.conditions:
        embedded = list(_embedded(result, condition))
        if embedded:
            trial, first = embedded[0]
            named = () if first.shapes is None else tuple(tuple(SHAPES)[code] for code in first.shapes.tolist())
            alike = tuple(_alike(clips.vectors, clips.shapes) for _, clips in embedded if clips.shapes is not None)
            chance = np.nan if first.shapes is None else _by_chance(first.shapes)
            maps.append(EmbeddingMap(condition, trial.name, _laid_out(first.vectors), named, alike, chance))
    return tuple(maps)


def embedding_table(maps: tuple[EmbeddingMap, ...]) -> Grid:
    """Return the table of the neighbour statistic of each condition, with the chance level."""
    rows = []
    for embedding in maps:
        ends = f"{number(min(embedding.alike), 3)} to {number(max(embedding.alike), 3)}" if embedding.alike else ""
        share = Cell(number(float(np.mean(embedding.alike)), 3) if embedding.alike else DASH, (ends,))
        rows.append(
            (Cell(embedding.condition), share, Cell(number(embedding.chance, 3)), Cell(str(len(embedding.alike))))
        )
    header = ("condition", "neighbour of the same shape", "chance", "trials")
    note = "Nearest by cosine of the predicted embeddings of test clips, not by the map. The range is over trials."
    return Grid("Embedding map", header, tuple(rows), (note,))


def _embedded(result: AblationResult, condition: str) -> Iterator[tuple[AblationTrial, _Embedded]]:
    for (name, _, _), trial in result.trials.items():
        if name == condition and trial.outcome == "COMPLETED":
            try:
                clips = _read(result, trial)
            except StoreError:
                continue  # its artifacts were deleted
            if len(clips.vectors) >= _FEWEST:
                yield trial, clips


def _read(result: AblationResult, trial: AblationTrial) -> _Embedded:
    """Read the predictions of `trial` for its test clips. Raises `StoreError`."""
    path = result.runs.open(trial.identities["semantic"]).path("predictions.safetensors")
    with safe_open(path, framework="numpy") as file:
        vectors, index = file.get_tensor("embedding").astype(np.float64), file.get_tensor("index")
    split = np.array(result.runs.open(trial.identities["voxels"]).json("voxels.json")["split"])
    test = split[index] == "test"
    vectors, index = vectors[test], index[test]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    stage = "clips" if "clips" in trial.identities else "data"  # of trials of earlier versions
    factors = result.runs.open(trial.identities[stage]).json(f"{stage}.json")["factors"]
    return _Embedded(vectors, None if factors is None else np.array(factors["shape"], np.int64)[index])


def _alike(vectors: Floats, shapes: npt.NDArray[np.int64]) -> float:
    nearness = vectors @ vectors.T
    np.fill_diagonal(nearness, -np.inf)
    return float(np.mean(shapes[nearness.argmax(axis=1)] == shapes))


def _by_chance(shapes: npt.NDArray[np.int64]) -> float:
    counts = np.bincount(shapes)
    return float((counts * (counts - 1)).sum() / (len(shapes) * (len(shapes) - 1)))


def _laid_out(vectors: Floats) -> Floats:
    """Return t-SNE of `vectors` [clips, width] as [clips, 2]. It is deterministic."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    tsne = TSNE(2, perplexity=min(_PERPLEXITY, (len(vectors) - 1) / 3), init="pca", random_state=0)
    with threadpool_limits(1):  # its threads synchronise often, which takes minutes on busy cores
        coordinates = tsne.fit_transform(vectors)
    return np.asarray(coordinates, np.float64)
