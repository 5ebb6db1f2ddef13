"""The values of one metric in an ablation, for all conditions and controls, as paired tables for the tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from platform.analysis.collect import AblationResult, ClipValues
from platform.analysis.measures import Measure
from platform.analysis.per_clip import Floats
from platform.record.results import Result, controls, error_line
from platform.statistics.attainable import ClaimUnit
from platform.statistics.comparison_plan import ComparisonPlan
from platform.statistics.paired import CompleteCases, PairedTable, Side, TableIndex, complete_cases
from platform.study.design import BASELINE, has_clips
from platform.study.varied import varied_of
from trainables.judging.controls import SYSTEM

NOT_FINISHED = "not finished"
"""Why a trial that is still running has no value."""


@dataclass(frozen=True)
class ConditionValues:
    """One metric: the values of all conditions [subjects, seeds, clips], and of its controls in the baseline."""

    measure: Measure
    unit: ClaimUnit
    clips: tuple[int, ...]
    by_condition: Mapping[str, Floats]
    undefined: str
    """Why values of finished trials are undefined, if it is recorded."""
    controls: Mapping[str, Floats]
    clusters: tuple[str, ...] = ()
    """Cluster of each clip; empty if every clip is on its own or nothing is recorded."""

    @property
    def undefined_clips(self) -> int:
        """The largest number of clips that a mean excludes because a finished trial has no value for them."""
        rows = (*self.by_condition.values(), *self.controls.values())
        gaps = [np.isnan(row) & np.isfinite(row).any(axis=2, keepdims=True) for row in rows]
        return max((int(gap.any(axis=(0, 1)).sum()) for gap in gaps), default=0)

    def complete_cases(self, before: Floats, after: Floats) -> CompleteCases:
        """Apply the listwise rule to two conditions [subjects, seeds, clips]."""
        subjects, seeds, clips = map(range, before.shape)
        axes = (tuple(map(str, subjects)), tuple(seeds), tuple(clips))
        return complete_cases(PairedTable("", self.measure.metric, before, after, *axes, clusters=self.clusters))


def comparison_plan(result: AblationResult, units: Sequence[ClaimUnit]) -> ComparisonPlan:
    """Return the level, unit and margins of the design for metrics with these units."""
    design = result.design
    # Metrics with one value per trial have no clips: with "both", every test would be refused.
    unit: ClaimUnit = "seeds" if units and all(unit == "seeds" for unit in units) else design.unit
    return ComparisonPlan(
        alpha=design.alpha, unit=unit, margins=design.margins, varied=varied_of(design), dataset=result.dataset
    )


def condition_values(result: AblationResult, metric: Measure) -> ConditionValues:
    """Return the values of `metric`, with those of its controls in the baseline."""
    if not has_clips(metric.name):
        by_condition = {condition: values[..., None] for condition, values in result.scalars(metric.name).items()}
        return ConditionValues(
            metric, "seeds", (0,), by_condition, "the trial reports no such number", _scalar_controls(result, metric)
        )
    clip_values: ClipValues = result.clips(metric.name)
    controls_of = {system: result.clips(metric.name, system) for system in result.systems() if system != SYSTEM}
    with_values = {
        name: _aligned(clips, clip_values.clips)
        for name, clips in controls_of.items()
        if np.isfinite(clips.values[BASELINE]).any()
    }
    # Blocks with clips of their own are the only units: a clip is seen in one block alone.
    unit: ClaimUnit = "seeds" if clip_values.own_clips else result.design.unit
    reasons = "; ".join(clip_values.reasons)
    described = (clip_values.clips, clip_values.values, reasons, with_values, clip_values.clusters)
    return ConditionValues(metric, unit, *described)


def _aligned(control: ClipValues, clips: Sequence[int]) -> Floats:
    """Return the values of a control in the baseline, [subjects, seeds, clips], in the order of `clips`."""
    if tuple(clips) == control.clips:
        return control.values[BASELINE]
    values = control.values[BASELINE]
    aligned = np.full((*values.shape[:2], len(clips)), np.nan)
    for column, clip in enumerate(clips):
        if clip in control.clips:
            aligned[..., column] = values[..., control.clips.index(clip)]
    return aligned


def _scalar_controls(result: AblationResult, target: Measure) -> dict[str, Floats]:
    arrays: dict[str, Floats] = {}
    for (condition, subject, seed), trial in result.trials.items():
        if condition == BASELINE and trial.outcome == "COMPLETED":
            for name, value in controls(Result(trial.name, metrics=trial.metrics), target.metric).items():
                array = arrays.setdefault(name, np.full((len(result.subjects), len(result.seeds), 1), np.nan))
                array[result.subjects.index(subject), result.seeds.index(seed)] = value
    return arrays


def paired_table(result: AblationResult, values: ConditionValues, condition: str) -> PairedTable:
    """Return `condition` paired with the baseline, with the reason for each missing value."""
    sides = {name: (values.by_condition[name], name) for name in (BASELINE, condition)}
    return _paired(result, values, condition, baseline=sides[BASELINE], condition=sides[condition])


def control_table(result: AblationResult, values: ConditionValues, control: str) -> PairedTable:
    """Return the baseline (as the condition) paired with its own `control` (as the baseline); the control's name."""
    own = values.by_condition[BASELINE], BASELINE
    return _paired(result, values, control, baseline=(values.controls[control], BASELINE), condition=own)


def _paired(result: AblationResult, values: ConditionValues, name: str, **sides: tuple[Floats, str]) -> PairedTable:
    """Return the table of two sides: values [subjects, seeds, clips], and the condition whose trials have them."""
    reasons: dict[TableIndex, str] = {}
    order: tuple[Side, ...] = ("baseline", "condition")
    for side in order:
        array, condition = sides[side]
        for u, s, c in np.argwhere(np.isnan(array)).tolist():
            key = condition, result.subjects[u], result.seeds[s]
            reasons[TableIndex(side, u, s, c)] = _reason(result, values, key)
    before, after = (sides[side][0] for side in order)
    listed = (tuple(map(str, result.subjects)), result.seeds, values.clips, reasons, values.clusters)
    return PairedTable(name, values.measure.metric, before, after, *listed)


def _reason(result: AblationResult, values: ConditionValues, key: tuple[str, int, int]) -> str:
    trial = result.trials[key]
    if trial.outcome is None:
        return NOT_FINISHED
    if trial.outcome != "COMPLETED":
        return error_line(trial.error)
    return f"undefined: {values.undefined}" if values.undefined else "no value in the store"
