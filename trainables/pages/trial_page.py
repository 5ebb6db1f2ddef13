"""The page of one trial: its videos beside the truth and every control, and what the metrics say of them."""

from collections.abc import Sequence
from pathlib import Path

from trainables.judging.controls import SYSTEM, SYSTEMS, TRUTH
from trainables.judging.judged_trial import JudgedSplit, JudgedTrial
from trainables.metrics.registry import CLIP_METRICS, Metric
from trainables.pages.document import document
from trainables.pages.exhibits import Exhibit, ExhibitSection, choose_clips
from trainables.pages.pictures import write_contact_sheet

LIMIT = 3_000_000
"""Bytes of a page, which MLflow shows in a frame and people send by mail."""
_SIZES = ((128, 85), (128, 60), (96, 50), (64, 40), (48, 30), (32, 20))
"""Longer side in pixels and WebP quality of the clips, tried in turn until the page is small enough."""
_RANKED_BY = CLIP_METRICS["ssim"]


def write_page(judged: JudgedTrial, folder: Path) -> None:
    """Write `page.html` and `contact.png` for one trial into `folder`.

    Clips are chosen by the system's SSIM: the best, the median and the worst of each split.
    """
    sections = [_section(split, judged.metrics) for split in judged.splits]
    write_sections("Reconstructed video", judged.facts, sections, folder)


def write_sections(
    title: str, facts: Sequence[tuple[str, str]], sections: Sequence[ExhibitSection], folder: Path
) -> None:
    """Write `page.html`, smaller than `LIMIT`, and `contact.png` into `folder`."""
    for side, quality in _SIZES:
        page = document(title, facts, sections, side=side, quality=quality)
        if len(page.encode()) < LIMIT:
            break
    (folder / "page.html").write_text(page, encoding="utf-8")
    write_contact_sheet(sections, folder / "contact.png")


def _section(split: JudgedSplit, metrics: tuple[Metric, ...]) -> ExhibitSection:
    chosen = choose_clips(split.values[SYSTEM, _RANKED_BY.short], _RANKED_BY)
    there = {row.system for row in split.rows}
    return ExhibitSection(
        title=f"{split.split.capitalize()} clips",
        clips=len(split.names),
        systems={name: text for name, text in SYSTEMS.items() if name in there},
        metrics=metrics,
        rows=split.rows,
        ranked_by=_RANKED_BY,
        exhibits=tuple(
            Exhibit(
                group=group,
                place=place,
                name=split.names[index],
                caption=split.captions[index],
                videos={name: split.videos[name][index] for name in (TRUTH, *SYSTEMS) if name in split.videos},
                scores={
                    name: split.values[name, _RANKED_BY.short][index]
                    for name in SYSTEMS
                    if (name, _RANKED_BY.short) in split.values
                },
            )
            for group, place, index in chosen
        ),
    )
