"""The part of the data card about what held-out clips share with training clips: to find is not to decode."""

from collections.abc import Callable, Mapping

from trainables.datasets.prepared.read import PreparedSet
from trainables.datasets.prepared.similarity import NEAR, difference_hash, near_pairs
from trainables.datasets.prepared.tables import ClipRow
from trainables.pages.grid import Cell, Grid

_TITLE = "Overlap of test and training clips"
_SHARED: Mapping[str, Callable[[ClipRow], str]] = {
    "exactly the pixels of a training clip": lambda clip: clip.sha256,
    "the first text of a training clip": lambda clip: clip.caption,
    "a film of which training clips were cut": lambda clip: clip.source,
}
"""What a held-out clip may share with a training clip, to what is compared."""


def overlap_grid(data: PreparedSet) -> Grid:
    """Return how many validation and test clips share pixels, pictures, texts or films with a training clip."""
    held_out = {name: [clip for clip in data.clips if clip.split == name] for name in ("validation", "test")}
    near = _nearly_equal(data)
    shared: dict[str, Callable[[ClipRow], bool]] = {
        "a middle frame that looks nearly equal": lambda c: c.clip_id in near
    }
    for label, value_of in _SHARED.items():
        known = {value_of(clip) for clip in data.clips if clip.split == "train"} - {""}  # a film that nobody knows
        shared[label] = lambda clip, known=known, value_of=value_of: value_of(clip) in known  # type: ignore[misc]
    rows = [
        (Cell(label), *(Cell(f"{sum(map(is_shared, clips)):,} of {len(clips):,}") for clips in held_out.values()))
        for label, is_shared in shared.items()
    ]
    notes = (
        f"Nearly equal: 64-bit difference hashes of the middle frames that differ in {NEAR} bits or fewer. Nearness in "
        "meaning is in the reports of studies: similarity of CLIP embeddings, and the control nearest training clip.",
    )
    return Grid(_TITLE, ("clips with", *held_out), tuple(rows), notes)


def _nearly_equal(data: PreparedSet) -> frozenset[str]:
    """Return the names of held-out clips whose middle frame looks like that of a training clip."""
    used = [index for index, clip in enumerate(data.clips) if clip.split != "excluded"]
    hashes = [difference_hash(data.frames[index]) for index in used]
    groups = ["train" if data.clips[index].split == "train" else "held out" for index in used]
    pairs = near_pairs(hashes, groups)
    clips = (data.clips[used[member]] for pair in pairs for member in pair)
    return frozenset(clip.clip_id for clip in clips if clip.split != "train")
