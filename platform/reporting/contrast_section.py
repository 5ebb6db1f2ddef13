"""The parts of a report about contrasts: effects of a factorial, steps of a path, and subjects with the prevalence."""

from collections.abc import Iterator

from platform.analysis.design_contrasts import by_subject, compared_contrasts, prevalence_of
from platform.analysis.findings import Findings
from platform.analysis.measures import Measure
from platform.reporting.comparison_table import comparison_table
from platform.reporting.texts import ReportSection
from platform.reporting.words import DASH, p_text
from platform.statistics.signed_p import SignedP
from trainables.pages.grid import Cell, Grid

MOST = 40
"""Comparisons beyond which subjects are shown alone only in declared ones: a table of hundreds answers no question."""
_LEAD = (
    "Exploratory: not adjusted, no stars. A main effect is the mean at one level minus the mean at the first, over all "
    "other fields; an interaction is half the difference between the effects of one field at two levels of the other. "
    "On a path, each step is compared with the step before."
)


def contrast_sections(findings: Findings) -> Iterator[ReportSection]:
    """Yield the sections that the design gives rise to; none for a design without factorial, path and subjects."""
    contrasts = compared_contrasts(findings)
    if contrasts:
        title = "Effects and steps"
        yield ReportSection(title, _LEAD, (comparison_table(contrasts, findings, title=title),))
    if len(findings.result.subjects) > 1 and findings.conditions:
        yield ReportSection("Subjects alone", grids=(_subjects(findings),))


def _subjects(findings: Findings) -> Grid:
    """Return the table of p and direction in each subject, and the prevalence of the effect."""
    result, alpha = findings.result, findings.result.design.alpha
    rows: list[tuple[Cell, ...]] = []
    for condition, measure in _shown(findings):
        tested = by_subject(findings, condition, measure.name)
        cells = []
        for each in tested:
            sense = measure.sense(each.difference) if each.difference else ""
            cells.append(Cell(p_text(each.p).removeprefix("= "), (sense,) if sense else ()))
        rows.append((Cell(condition), Cell(measure.heading), *cells, _prevalence(tested, alpha)))
    header = ("condition", "metric", *(f"subject {subject}" for subject in result.subjects), "prevalence")
    notes = (
        "p of each subject alone, not adjusted, with the direction of the difference. Prevalence: the share of people "
        f"with the effect, from the subjects that show it in one direction at {alpha:g}; {1 - alpha:.0%} interval. It "
        "is a lower estimate, since a test may miss an effect. None is given where too few seeds or clips can show it.",
        "The tests of the other tables hold for these subjects; only the prevalence speaks of other people.",
    )
    return Grid("Subjects alone", header, tuple(rows), notes)


def _shown(findings: Findings) -> list[tuple[str, Measure]]:
    """Return the comparisons of the table: all, or the declared ones if there are more than `MOST`."""
    pairs = [(condition, measure) for condition in findings.conditions for measure in findings.measures]
    declared = {(each.name, each.metric) for each in findings.declared}
    return pairs if len(pairs) <= MOST else [pair for pair in pairs if (pair[0], pair[1].name) in declared]


def _prevalence(tested: tuple[SignedP, ...], alpha: float) -> Cell:
    """Return the prevalence with its interval, unless no subject could have shown the effect."""
    smallest = max(each.smallest_p for each in tested)
    if not smallest <= alpha:
        return Cell(DASH, (f"smallest possible p {p_text(smallest).removeprefix('= ')}",))
    share = prevalence_of(tested, alpha=alpha)
    interval = f"[{share.low:.0%}, {share.high:.0%}]"
    return Cell(f"{share.value:.0%}", (interval, f"{share.positive} of {share.subjects}"))
