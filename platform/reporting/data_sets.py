"""The report of an ablation in several data sets: a summary, then all parts of each data set's own report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from platform.analysis.collect import AblationResult
from platform.analysis.findings import Findings, analyse_data_sets
from platform.analysis.siblings import Sibling
from platform.reporting.contents import AblationReport, report_on
from platform.reporting.data_set_summary import summary_section, summary_sentences
from platform.reporting.sibling_table import sibling_alert, sibling_table
from platform.reporting.texts import Report, ReportSection
from platform.reporting.words import counted, listed
from trainables.pages.grid import Tone

_COUNTED = frozenset({"trials"})
"""Labels of facts that are numbers of a data set, and not of the study."""


@dataclass(frozen=True, kw_only=True)
class DataSetsReport(Report):
    """The report of an ablation in several data sets."""

    parts: Mapping[str, AblationReport]
    """The report in each data set, by its name."""


def build_data_sets_report(
    results: Sequence[AblationResult],
    *,
    store: str,
    pages: Sequence[tuple[str, str]] = (),
    siblings: Sequence[Sibling] = (),
) -> DataSetsReport:
    """Return the report on `results`, one for each data set; the other arguments are those of `build_report`.

    Raises:
        UserError: The study was registered with a metric that this version does not have.
    """
    findings = analyse_data_sets(results)
    parts = {each.result.dataset: report_on(each, store=store) for each in findings}
    others = (ReportSection("Other attempts", grids=(sibling_table(siblings),)),) if siblings else ()
    return DataSetsReport(
        title=f"Ablation {results[0].study}",
        alerts=(*_merged_alerts(parts), *sibling_alert(siblings)),
        conclusions=(*summary_sentences(findings), *_conclusions(parts)),
        facts=tuple(_merged({name: part.facts for name, part in parts.items()})),
        sections=(summary_section(findings), *others, *_sections(parts)),
        methods=_methods(findings, parts),
        references=tuple(sorted({text for part in parts.values() for text in part.references})),
        provenance=tuple(_merged({name: part.provenance for name, part in parts.items()})),
        pages=tuple(pages),
        parts=parts,
    )


def _merged_alerts(parts: Mapping[str, AblationReport]) -> Iterator[str]:
    for alert in dict.fromkeys(alert for part in parts.values() for alert in part.alerts):
        names = [name for name, part in parts.items() if alert in part.alerts]
        where = "in each data set" if len(names) == len(parts) else ", ".join(names)
        yield f"{where}: {alert}"


def _conclusions(parts: Mapping[str, AblationReport]) -> Iterator[tuple[Tone, str]]:
    for name, part in parts.items():
        yield from ((tone, f"{name}: {text}") for tone, text in part.conclusions)


def _merged(facts: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[tuple[str, str]]:
    """Yield labels and texts in order: one that all data sets share once, others with the name of their data set."""
    labels = dict.fromkeys(label for of_part in facts.values() for label, _ in of_part)
    for label in labels:
        texts = {name: [text for other, text in of_part if other == label] for name, of_part in facts.items()}
        if len({tuple(found) for found in texts.values()}) == 1:
            shown = f"{label}, each data set" if label in _COUNTED else label
            yield from ((shown, text) for text in next(iter(texts.values())))
        else:
            yield from ((f"{label}, {name}", text) for name, found in texts.items() for text in found)


def _sections(parts: Mapping[str, AblationReport]) -> Iterator[ReportSection]:
    """Yield the sections of each data set, with its name in the titles of sections, tables and figures."""
    for name, part in parts.items():
        for section in part.sections:
            yield replace(
                section,
                title=f"{name}: {section.title}",
                grids=tuple(replace(grid, title=f"{name}: {grid.title}") for grid in section.grids),
                panels=tuple(replace(panel, title=f"{name}: {panel.title}") for panel in section.panels),
            )


def _methods(findings: Sequence[Findings], parts: Mapping[str, AblationReport]) -> str:
    size = findings[0].result.design.family_size
    family = f" of all {counted(size, 'declared comparison')}" if size else ""
    shared = (
        f"The same design was run in {counted(len(parts), 'data set')} ({listed(list(parts))}). Trials were paired "
        "with the baseline of the same data set; no values of two data sets were compared or averaged. Holm's "
        f"adjustment is over the p-values{family} in all data sets together, and so is that of the baseline against "
        "its controls."
    )
    return " ".join((shared, *(f"In {name}: {part.methods}" for name, part in parts.items())))
