"""What the data card says of a prepared data set, as tables and lists, from its tables and the verdict on it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from trainables.backbones.sources import PHANTOM
from trainables.datasets.errors import DataReport
from trainables.datasets.prepared.description import Description
from trainables.datasets.prepared.read import PreparedSet, PreparedSubject
from trainables.datasets.prepared.tables import SPLITS, ClipRow, VoxelTable
from trainables.pages.grid import Cell, Grid
from trainables.preparation.card_overlap import overlap_grid

_MOST_REGIONS = 60
_NO_REGION = "no region"


@dataclass(frozen=True)
class CardFacts:
    """The content of a card."""

    title: str
    facts: tuple[tuple[str, str], ...]
    citation: tuple[str, ...]
    tables: tuple[Grid, ...]
    processing: tuple[str, ...]
    """What was done to the fMRI."""
    defects: tuple[str, ...]
    """What is known to be wrong or missing."""
    findings: tuple[str, ...]
    """What the checks found: leaks, duplicates, constant voxels, the lag."""


def card_facts(data: PreparedSet, report: DataReport) -> CardFacts:
    """Gather what the card says."""
    about = data.description
    return CardFacts(
        title=f"Data card: {about.name}",
        facts=tuple(_facts(about)),
        citation=about.citation,
        tables=(_splits(data), overlap_grid(data), _subjects(data), _regions(data.subjects), _captions(data.clips)),
        processing=about.processing,
        defects=about.defects,
        findings=tuple(f"{each.where}: {each.what}; {each.right}" for each in report.problems),
    )


def _facts(about: Description) -> Iterator[tuple[str, str]]:
    clips = about.clips
    yield "licence", about.licence if about.licence else "unknown"
    yield "source", about.source if about.source else "unknown"
    if about.accessed:
        yield "accessed", about.accessed
    yield "kind", "BOLD series with onsets" if about.kind == "series" else "one row per presentation"
    still = "; each is one image, repeated: not for motion" if about.still else ""
    yield "clips", f"{clips.count:,} of {clips.frames} frames, {clips.height} x {clips.width} pixels{still}"
    yield "subjects", ", ".join(about.subjects)
    yield "space", about.space if about.space else "unknown"
    yield "units", about.units
    if about.tr is not None:
        yield "TR", f"{about.tr:g} s"
        rounded = "" if about.rounded_lag is None else f", in studies {about.rounded_lag}"
        yield "lag", f"{about.lag_s:g} s from a clip's onset{rounded}"
    yield "split by", about.split_by
    yield "previews", "allowed" if about.previews else "not allowed by the licence, as far as known"
    yield "reader", f"{about.reader.name} {about.reader.version}"
    yield "size", f"{sum(file.bytes for file in about.files.values()) / 1e6:,.1f} MB in {len(about.files)} files"
    yield "SHA-256", about.digest


def _splits(data: PreparedSet) -> Grid:
    shown = {subject.name: Counter(subject.shown()) for subject in data.subjects}
    header = ("split", "clips", "blocks", "sources", *(f"repeats, {name}" for name in shown))
    rows = []
    for split in SPLITS:
        clips = [clip for clip in data.clips if clip.split == split]
        if not clips:
            continue
        sources = {clip.source for clip in clips}
        counts = (str(len(clips)), str(len({clip.block for clip in clips})), _count_of_known(sources))
        repeats = (_range([shows[clip.clip_id] for clip in clips]) for shows in shown.values())
        rows.append(tuple(map(Cell, (split, *counts, *repeats))))
    copies = sum(clip.same_as is not None for clip in data.clips)
    notes = (
        f"Clips of one block are always in one split. {copies} clip(s) have exactly the pixels of an earlier one.",
        "Repeats: fewest to most presentations of a clip; 0: never shown to this subject.",
    )
    return Grid("Splits", header, tuple(rows), notes)


def _count_of_known(sources: Set[str]) -> str:
    return "unknown" if "" in sources else str(len(sources))


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _subjects(data: PreparedSet) -> Grid:
    series = data.description.kind == "series"
    header = ("subject", "voxels", "volumes" if series else "rows", "presentations")
    rows = []
    for subject in data.subjects:
        cells = [subject.name, f"{len(subject.voxels):,}", f"{len(subject.values):,}", f"{len(subject.shown()):,}"]
        if series:
            excluded = [run for run in subject.runs if run.excluded is not None]
            left_out = "; ".join(f"{run.run_id}: {run.excluded}" for run in excluded)
            cells += [str(len(subject.runs) - len(excluded)), left_out if left_out else "none"]
        rows.append(tuple(map(Cell, cells)))
    return Grid("Subjects", (*header, "runs", "runs left out") if series else header, tuple(rows))


def _regions(subjects: Sequence[PreparedSubject]) -> Grid:
    """Return voxels and reliability of each main region, a column per subject."""
    names = Counter(name for subject in subjects for name in subject.voxels.roi.tolist())
    shown = [name for name, _ in names.most_common(_MOST_REGIONS)]
    rows = []
    for name in sorted(shown):
        cells = [_region(subject.voxels, name) for subject in subjects]
        rows.append((Cell(name if name else _NO_REGION), *cells))
    notes = [
        "Voxels; below: median noise ceiling of one presentation and of the mean over repeats, in percent of variance "
        "(all clips; reported, not used to select voxels), and median correlation between repeats of training clips.",
    ]
    if len(names) > len(shown):
        notes.append(f"The {len(shown)} largest of {len(names)} regions.")
    further = dict.fromkeys(name for subject in subjects for name in subject.voxels.regions)
    if further:
        notes.append(f"Further regions, which may overlap: {', '.join(further)}.")
    return Grid("Voxels by region", ("region", *(subject.name for subject in subjects)), tuple(rows), tuple(notes))


def _region(voxels: VoxelTable, name: str) -> Cell:
    member = voxels.roi == name
    medians = [
        (label, _median(values[member]) if values is not None and member.any() else None)
        for label, values in (
            ("ceiling", voxels.noise_ceiling_1),
            ("of mean", voxels.noise_ceiling_n),
            ("r", voxels.repeat_r),
        )
    ]
    digits = {"r": 2}
    lines = tuple(f"{label} {value:.{digits.get(label, 0)}f}" for label, value in medians if value is not None)
    return Cell(f"{int(member.sum()):,}", lines)


def _median(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None


def _unknown_words(clips: Sequence[ClipRow]) -> str:
    """Return how many different words of the captions the phantom's tokenizer lacks; CLIP's has parts for any word."""
    from tokenizers import Tokenizer  # takes a tenth of a second

    tokenizer = Tokenizer.from_file(str(PHANTOM / "stable_diffusion" / "tokenizer" / "tokenizer.json"))
    words = {token for clip in clips for text in clip.captions for token in re.findall(r"[^\W\d_]+", text.lower())}
    known = {word for word in words if tokenizer.token_to_id(word) is not None}
    return f"{len(words - known):,} of {len(words):,} different words"


def _captions(clips: Sequence[ClipRow]) -> Grid:
    texts = [[text.split() for text in clip.captions] for clip in clips]
    words = [len(text) for each in texts for text in each]
    train = {clip.caption for clip in clips if clip.split == "train"}
    test = [clip.caption for clip in clips if clip.split == "test"]
    values: Mapping[str, str] = {
        "texts per clip": _range([len(each) for each in texts]),
        "words per text, median": f"{np.median(words):g}",
        "words, longest": str(max(words)),
        "different first texts": f"{len({clip.caption for clip in clips}):,} of {len(clips):,} clips",
        "test clips with a training clip's first text": f"{sum(text in train for text in test)} of {len(test)}",
        "words that the small networks' text encoder does not know": _unknown_words(clips),
    }
    rows = tuple((Cell(name), Cell(value)) for name, value in values.items())
    return Grid("Captions", ("captions", ""), rows)
