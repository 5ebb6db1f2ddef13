"""The CLIP embeddings that the semantic decoder predicts, as a map: do clips of one shape lie together (Fig. 21)?"""

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
"""Clips below which there is nothing to lay out."""
_PERPLEXITY = 30.0


@dataclass(frozen=True)
class EmbeddingMap:
    """The test clips of one condition: laid out for its first trial, counted for all of them."""

    condition: str
    trial: str
    places: Floats
    """[clips, 2]: t-SNE; distances far apart mean nothing."""
    shapes: tuple[str, ...]
    """The shape that each clip shows; empty where the data set does not tell."""
    alike: tuple[float, ...]
    """Share of clips whose nearest neighbour among the embeddings themselves shows the same shape, per trial."""
    chance: float
    """The same for a neighbour drawn at random."""

    @property
    def told(self) -> str:
        """The number that goes with the picture, in words."""
        if not self.alike:
            return "the data set does not tell what a clip shows"
        share = number(float(np.mean(self.alike)), 2)
        return f"nearest neighbour of the same shape: {share} (chance {number(self.chance, 2)})"


@dataclass(frozen=True)
class _Embedded:
    vectors: Floats
    """[clips, width], each of length 1."""
    shapes: npt.NDArray[np.int64] | None
    """[clips]"""


def embedding_maps(result: AblationResult) -> tuple[EmbeddingMap, ...]:
    """Return a map of each condition with a completed trial; empty where the design asks for none."""
    if FIGURE not in result.design.figures:
        return ()
    maps = []
    for condition in result.conditions:
        found = list(_embedded(result, condition))
        if found:
            trial, first = found[0]
            named = () if first.shapes is None else tuple(tuple(SHAPES)[code] for code in first.shapes.tolist())
            alike = tuple(_alike(one.vectors, one.shapes) for _, one in found if one.shapes is not None)
            chance = np.nan if first.shapes is None else _by_chance(first.shapes)
            maps.append(EmbeddingMap(condition, trial.name, _laid_out(first.vectors), named, alike, chance))
    return tuple(maps)


def embedding_table(maps: tuple[EmbeddingMap, ...]) -> Grid:
    """The number of each condition beside chance."""
    rows = []
    for one in maps:
        ends = f"{number(min(one.alike), 3)} to {number(max(one.alike), 3)}" if one.alike else ""
        share = Cell(number(float(np.mean(one.alike)), 3) if one.alike else DASH, (ends,))
        rows.append((Cell(one.condition), share, Cell(number(one.chance, 3)), Cell(str(len(one.alike)))))
    header = ("condition", "neighbour of the same shape", "chance", "trials")
    note = "By cosine among the test clips' predicted embeddings, not in the picture; the range is over trials."
    return Grid("Embedding map", header, tuple(rows), (note,))


def _embedded(result: AblationResult, condition: str) -> Iterator[tuple[AblationTrial, _Embedded]]:
    for (name, _, _), trial in result.trials.items():
        if name == condition and trial.outcome == "COMPLETED":
            try:
                one = _read(result, trial)
            except StoreError:
                continue  # its artifacts are gone
            if len(one.vectors) >= _FEWEST:
                yield trial, one


def _read(result: AblationResult, trial: AblationTrial) -> _Embedded:
    """Read what `trial` predicts for its test clips. Raises `StoreError`."""
    path = result.runs.open(trial.identities["semantic"]).path("predictions.safetensors")
    with safe_open(path, framework="numpy") as file:
        vectors, index = file.get_tensor("embedding").astype(np.float64), file.get_tensor("index")
    split = np.array(result.runs.open(trial.identities["voxels"]).json("voxels.json")["split"])
    test = split[index] == "test"
    vectors, index = vectors[test], index[test]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    factors = result.runs.open(trial.identities["data"]).json("data.json")["factors"]
    return _Embedded(vectors, None if factors is None else np.array(factors["shape"], np.int64)[index])


def _alike(vectors: Floats, shapes: npt.NDArray[np.int64]) -> float:
    nearness = vectors @ vectors.T
    np.fill_diagonal(nearness, -np.inf)
    return float(np.mean(shapes[nearness.argmax(axis=1)] == shapes))


def _by_chance(shapes: npt.NDArray[np.int64]) -> float:
    counts = np.bincount(shapes)
    return float((counts * (counts - 1)).sum() / (len(shapes) * (len(shapes) - 1)))


def _laid_out(vectors: Floats) -> Floats:
    """Return t-SNE of `vectors` [clips, width] as [clips, 2], the same every time."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    tsne = TSNE(2, perplexity=min(_PERPLEXITY, (len(vectors) - 1) / 3), init="pca", random_state=0)
    with threadpool_limits(1):  # its threads wait for each other a thousand times; on busy cores that takes minutes
        places = tsne.fit_transform(vectors)
    return np.asarray(places, np.float64)
