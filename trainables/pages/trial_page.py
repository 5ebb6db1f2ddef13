"""The page of a trial: its videos with the truth and all controls, and the values of all metrics."""

from collections.abc import Sequence
from pathlib import Path

from trainables.judging.controls import SYSTEM, SYSTEMS, TRUTH
from trainables.judging.judged_trial import JudgedSplit, JudgedTrial
from trainables.judging.paired_marks import paired_marks
from trainables.judging.video_sequences import VideosOfClip
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.metric import Metric
from trainables.pages.document import videos_page
from trainables.pages.drawing import Drawing
from trainables.pages.exhibits import Exhibit, ExhibitSection, choose_clips
from trainables.pages.pictures import write_contact_sheet

LIMIT = 3_000_000
"""Maximum size of a page in bytes, since MLflow shows it in a frame and people send it by mail."""
_SIZES = ((128, 85), (128, 60), (96, 50), (64, 40), (48, 30), (32, 20))
"""Longer side in pixels and WebP quality of the clips. The first pair that makes the page small enough is used."""
_RANKED_BY = CLIP_METRICS["ssim"]


def write_page(judged: JudgedTrial, folder: Path, panels: Sequence[Drawing] = ()) -> None:
    """Write `page.html` and `contact.png` of a trial into `folder`.

    The clips are the best, the median and the worst of each split by the SSIM of the reconstruction. `panels` show the
    voxels of its subject.
    """
    sections = [_section(split, judged.metrics) for split in judged.splits]
    write_sections("Reconstructed video", judged.facts, sections, folder, panels)


def write_sections(
    title: str,
    facts: Sequence[tuple[str, str]],
    sections: Sequence[ExhibitSection],
    folder: Path,
    panels: Sequence[Drawing] = (),
) -> None:
    """Write `page.html` and `contact.png` into `folder`. The page is smaller than `LIMIT` if possible."""
    for side, quality in _SIZES:
        page = videos_page(title, facts, sections, side=side, quality=quality, panels=panels)
        if len(page.encode()) < LIMIT:
            break
    (folder / "page.html").write_text(page, encoding="utf-8")
    write_contact_sheet(sections, folder / "contact.png")


def _section(split: JudgedSplit, metrics: tuple[Metric, ...]) -> ExhibitSection:
    chosen = choose_clips(split.values[SYSTEM, _RANKED_BY.short], _RANKED_BY)
    present = {row.system for row in split.rows}
    videos = {name: split.videos[name] for name in (TRUTH, *SYSTEMS) if name in split.videos}
    return ExhibitSection(
        title=f"{split.split.capitalize()} clips",
        clips=len(split.names),
        systems={name: text for name, text in SYSTEMS.items() if name in present},
        metrics=metrics,
        rows=split.rows,
        marks=paired_marks(
            split.values, metrics, [name for name in SYSTEMS if name in present], clusters=split.clusters
        ),
        clusters=split.clusters,
        ranked_by=_RANKED_BY,
        exhibits=tuple(
            Exhibit(
                group=group,
                rank=rank,
                name=split.names[index],
                caption=split.captions[index],
                videos=VideosOfClip(videos, index),
                scores={
                    name: split.values[name, _RANKED_BY.short][index]
                    for name in SYSTEMS
                    if (name, _RANKED_BY.short) in split.values
                },
            )
            for group, rank, index in chosen
        ),
    )
