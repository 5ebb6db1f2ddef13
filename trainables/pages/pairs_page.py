"""The page of videos from other sources: like the page of a trial, with the systems as columns."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainables.datasets.clip_names import natural
from trainables.judging.controls import CONTROLS, PAIR_CONTROLS, PairControl
from trainables.judging.paired_marks import ClipScores, paired_marks
from trainables.judging.pairing import Failure
from trainables.judging.score_pairs import PairJudge
from trainables.judging.score_tables import ScoreRow, Sheet, column
from trainables.judging.values import Value
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.pages.exhibits import Exhibit, ExhibitSection, choose_clips
from trainables.pages.grid import grid_of
from trainables.pages.trial_page import write_sections

_RANKED_BY = CLIP_METRICS["ssim"]


def write_pairs_page(
    judge: PairJudge,
    values: Sequence[Value],
    rows: Sequence[ScoreRow],
    *,
    failures: Sequence[Failure],
    comparisons: Sequence[Sheet],
    folder: Path,
) -> None:
    """Write `page.html` and `contact.png` into `folder`. Clips are selected by the SSIM of the first system.

    The tables `comparisons` follow the table of scores.
    """
    pairing = judge.pairing
    order = [system.name for system in pairing.systems]
    present = {(row.system, row.control) for row in rows if row.clips > 0}
    kinds = [
        (name, control) for control in PAIR_CONTROLS for name in order if control == "" or (name, control) in present
    ]
    size = f"{pairing.size[0]}x{pairing.size[1]}, {pairing.frames} frames"
    facts = [*((system.name, str(system.folder)) for system in pairing.systems), ("judged at", size)]
    facts.append(("protocol", str(judge.protocol)))
    facts += [("failure", f"{failure.file}: {failure.reason}") for failure in failures]
    section = ExhibitSection(
        title="Judged videos",
        clips=len(_ranked(values, order[0])),
        systems={column(name, control): _meaning(control) for name, control in kinds},
        metrics=judge.metrics,
        rows=tuple(replace(row, system=column(row.system, row.control), control="") for row in rows),
        marks=paired_marks(_by_clip(values), judge.metrics, [column(name, control) for name, control in kinds]),
        comparisons=tuple(map(grid_of, comparisons)),
        ranked_by=_RANKED_BY,
        exhibits=_exhibits(judge, values, order[0]),
    )
    write_sections("Reconstructed video against its truth", facts, [section], folder)


def _by_clip(values: Sequence[Value]) -> ClipScores:
    """Return the values of each column and metric, in one order of all clips."""
    position = {clip: index for index, clip in enumerate(dict.fromkeys(value.clip for value in values))}
    scores: dict[tuple[str, str], list[float | None]] = {}
    for value in values:
        key = (column(value.system, value.control), value.metric)
        scores.setdefault(key, [None] * len(position))[position[value.clip]] = value.value
    return scores


def _meaning(control: PairControl) -> str:
    return "the system" if control == "" else CONTROLS[control].meaning


def _ranked(values: Sequence[Value], system: str) -> dict[str, float]:
    """Return the clips of `system` and their values of the metric for the ranks, in natural order of names."""
    scores = {
        value.clip: value.value
        for value in values
        if (value.system, value.control, value.metric) == (system, "", _RANKED_BY.short) and value.value is not None
    }
    return {name: scores[name] for name in sorted(scores, key=natural)}


def _exhibits(judge: PairJudge, values: Sequence[Value], system: str) -> tuple[Exhibit, ...]:
    ranked = _ranked(values, system)
    names = list(ranked)
    scores = {(v.clip, v.system): v.value for v in values if v.control == "" and v.metric == _RANKED_BY.short}
    return tuple(
        Exhibit(
            group=group,
            rank=rank,
            name=names[index],
            caption="",
            videos=judge.videos(names[index]),
            scores={each.name: scores.get((names[index], each.name)) for each in judge.pairing.systems},
        )
        for group, rank, index in choose_clips(list(ranked.values()), _RANKED_BY)
    )
