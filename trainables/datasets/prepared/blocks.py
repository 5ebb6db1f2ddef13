"""Splits a data set that has no split: by films, runs or blocks of neighbours. Detects exact duplicates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.prepared.tables import Split

_FEWEST = 3
"""Fewest groups of a split: training, validation and test get at least one each."""
_ADVICE = (
    "use --split-by source (films or segments), run (scanner runs), block (neighbours in blocks of --block-clips), "
    "or clip (only if no two clips are neighbours in a film), or give a column split"
)


@dataclass(frozen=True)
class SplitRule:
    """The options of a split."""

    by: Literal["auto", "given", "source", "run", "block", "clip"] = "auto"
    validation: float = 0.1
    """Share of the clips."""
    test: float = 0.1
    block_clips: int = 20
    seed: int = 0


@dataclass(frozen=True)
class ClipOrigin:
    """The facts about a clip that determine its split."""

    clip_id: str
    source: str
    sha256: str
    runs: tuple[str, ...] = ()
    """The runs in which it is shown, over all subjects."""
    split: Split | None = None
    block: int | None = None


@dataclass(frozen=True)
class SplitResult:
    """The split of each clip."""

    split: tuple[Split, ...]
    block: tuple[int, ...]
    same_as: tuple[str | None, ...]
    """An earlier clip with the same pixels."""
    by: str
    """The rule that was used, for the card."""
    warnings: tuple[DataProblem, ...] = ()


def split_clips(clips: Sequence[ClipOrigin], rule: SplitRule) -> SplitResult:
    """Split `clips`. Clips of one group (and exact duplicates) are always in one split.

    Raises:
        DatasetError: Only some clips have a split of their own, or there are too few groups.
    """
    same_as = earlier_copies(clips)
    given = [clip.split is not None for clip in clips]
    if any(given) and not all(given):
        example = clips[given.index(False)].clip_id
        what = f"{given.count(False)} of {len(clips)} clips have no split, for example {example!r}"
        raise DatasetError.of(DataProblem("clips, column split", what, "give one to every clip, or to none"))
    if rule.by == "given" and not all(given):
        raise DatasetError.of(DataProblem("clips, column split", "is missing", _ADVICE))
    if all(given) and rule.by in ("auto", "given"):
        return _given(clips, rule, same_as)
    by, group = _groups(clips, rule)
    group = _with_copies(group, clips, same_as)
    shares: dict[Split, float] = {"test": rule.test, "validation": rule.validation}
    split = assign_groups(group, np.ones(len(clips), bool), shares, rule.seed)
    return SplitResult(tuple(split), tuple(group.tolist()), same_as, by)


def earlier_copies(clips: Sequence[ClipOrigin]) -> tuple[str | None, ...]:
    """Return for each clip an earlier one with exactly its pixels, or None."""
    first: dict[str, str] = {}
    return tuple(
        None if (twin := first.setdefault(clip.sha256, clip.clip_id)) == clip.clip_id else twin for clip in clips
    )


def _given(clips: Sequence[ClipOrigin], rule: SplitRule, same_as: tuple[str | None, ...]) -> SplitResult:
    """Keep the data set's own split; if it has no validation clips, take whole groups of training clips for that."""
    split: list[Split] = [clip.split for clip in clips if clip.split is not None]
    for needed in ("train", "test"):
        if needed not in split:
            right = f"give split {needed!r} to some clips, or leave the column out and use --split-by"
            raise DatasetError.of(DataProblem("clips, column split", f"no clip is {needed!r}", right))
    blocks = [clip.block for clip in clips]
    own = np.array([block if block is not None else -1 for block in blocks])
    if "validation" in split:
        group = own if all(block is not None for block in blocks) else _numbered(map(_film, clips))
        return SplitResult(tuple(split), tuple(group.tolist()), same_as, "given")
    by, group = _groups(clips, rule)
    group = _with_copies(group, clips, same_as)
    open_clips = np.array([name == "train" for name in split])
    chosen = assign_groups(group, open_clips, {"validation": rule.validation}, rule.seed)
    split = [chosen[index] if is_open else split[index] for index, is_open in enumerate(open_clips)]
    warning = DataProblem("clips, column split", "no clip is 'validation'", f"taken from training, by {by}", False)
    return SplitResult(tuple(split), tuple(group.tolist()), same_as, f"given; validation by {by}", (warning,))


def _film(clip: ClipOrigin) -> str:
    """Return the name of the film that a clip was cut from; a clip of an unknown film is alone."""
    return clip.source if clip.source else f"\0{clip.clip_id}"


def _groups(clips: Sequence[ClipOrigin], rule: SplitRule) -> tuple[str, NDArray[np.int64]]:
    """Return the rule by which clips are grouped, and the group of each."""
    by = rule.by if rule.by not in ("auto", "given") else _automatic(clips)
    match by:
        case "source":
            group = _numbered(clip.source for clip in clips)
        case "run":
            group = joined_runs(clips)
        case "block":
            group = _neighbours(clips, rule.block_clips)
        case _:
            group = np.arange(len(clips))
    count = len(np.unique(group))
    if count < _FEWEST:
        what = f"by {by}, {len(clips)} clips make {count} group(s); training, validation and test need {_FEWEST}"
        raise DatasetError.of(DataProblem("split", what, _ADVICE))
    return by, group


def _automatic(clips: Sequence[ClipOrigin]) -> str:
    if all(clip.source for clip in clips) and len({clip.source for clip in clips}) >= _FEWEST:
        return "source"
    if all(clip.runs for clip in clips) and len(np.unique(joined_runs(clips))) >= _FEWEST:
        return "run"
    sources, runs = len({clip.source for clip in clips}), len({run for clip in clips for run in clip.runs})
    what = f"the clips have no split, and come from {sources} source(s) and {runs} run(s)"
    raise DatasetError.of(DataProblem("split", what, _ADVICE))


def _numbered(names: Iterable[str]) -> NDArray[np.int64]:
    """Return a number for each name, in the order of their first appearance."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names])


def joined_runs(clips: Sequence[ClipOrigin]) -> NDArray[np.int64]:
    """Group clips that share a run; a clip that is shown in several runs joins them. A clip never shown is alone."""
    root: dict[str, str] = {}

    def find(run: str) -> str:
        while root.setdefault(run, run) != run:
            run = root[run]
        return run

    for clip in clips:
        for run in clip.runs[1:]:
            root[find(run)] = find(clip.runs[0])
    return _numbered(find(clip.runs[0]) if clip.runs else f"\0{clip.clip_id}" for clip in clips)


def _neighbours(clips: Sequence[ClipOrigin], size: int) -> NDArray[np.int64]:
    """Group neighbours of one source in blocks of `size`."""
    seen: dict[str, int] = {}
    names = []
    for clip in clips:
        position = seen[clip.source] = seen.get(clip.source, -1) + 1
        names.append(f"{clip.source}\0{position // size}")
    return _numbered(names)


def _with_copies(
    group: NDArray[np.int64], clips: Sequence[ClipOrigin], same_as: Sequence[str | None]
) -> NDArray[np.int64]:
    """Join the groups of exact duplicates."""
    joined, of_clip = group.copy(), {clip.clip_id: index for index, clip in enumerate(clips)}
    for index, twin in enumerate(same_as):
        if twin is not None:
            joined[joined == joined[index]] = joined[of_clip[twin]]
    return _numbered(map(str, joined.tolist()))


def assign_groups(
    group: NDArray[np.int64], is_open: NDArray[np.bool_], shares: Mapping[Split, float], seed: int
) -> list[Split]:
    """Give whole groups to the splits of `shares` until each has its share of the open clips; the rest is training."""
    split: list[Split] = ["train"] * len(group)
    order = [int(number) for number in np.random.default_rng([seed, 2]).permutation(np.unique(group[is_open]))]
    for name, share in shares.items():
        taken, wanted = 0, share * is_open.sum()
        while len(order) > 1 and (taken == 0 or taken + 0.5 * (group[is_open] == order[0]).sum() <= wanted):
            members = np.nonzero((group == order.pop(0)) & is_open)[0].tolist()
            taken += len(members)
            for index in members:
                split[index] = name
    if len({split[index] for index in np.nonzero(is_open)[0].tolist()}) <= len(shares):
        raise DatasetError.of(DataProblem("split", f"{len(np.unique(group))} group(s) are too few", _ADVICE))
    return split
