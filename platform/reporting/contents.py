"""What a report consists of, in its order: the same for every format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from platform.analysis.collect import AblationResult
from platform.analysis.findings import Findings, find
from platform.analysis.voxel_importance import RegionMap, region_maps
from platform.reporting.charts import figures
from platform.reporting.cost import cost_table, costs, trial_table
from platform.reporting.embedding import EmbeddingMap, embedding_maps, embedding_table
from platform.reporting.methods import methods, provenance_facts
from platform.reporting.published import Agreement, agreements, published_table
from platform.reporting.sentences import declared_as, replicated, sentences_of, status
from platform.reporting.tables import (
    TONES,
    bounds_table,
    comparison_table,
    condition_table,
    main_table,
    missing_table,
    other_table,
    subject_table,
)
from platform.study.design import BASELINE
from trainables.pages.drawing import Drawing
from trainables.pages.grid import Grid, Tone


@dataclass(frozen=True)
class ReportSection:
    """One part of the report."""

    title: str
    lead: str = ""
    grids: tuple[Grid, ...] = ()
    panels: tuple[Drawing, ...] = ()
    folded: bool = False
    """Whether a page shows it only when asked."""


@dataclass(frozen=True)
class AblationReport:
    """All of it."""

    title: str
    alerts: tuple[str, ...]
    """What must be known before anything else."""
    answers: tuple[tuple[Tone, str], ...]
    facts: tuple[tuple[str, str], ...]
    sections: tuple[ReportSection, ...]
    methods: str
    provenance: tuple[tuple[str, str], ...]
    findings: Findings
    agreements: tuple[Agreement, ...]
    maps: tuple[RegionMap, ...]

    @property
    def grids(self) -> tuple[Grid, ...]:
        """All tables, in order."""
        return tuple(grid for section in self.sections for grid in section.grids)

    @property
    def panels(self) -> tuple[Drawing, ...]:
        """All figures, in order."""
        return tuple(panel for section in self.sections for panel in section.panels)


def build_report(result: AblationResult, *, store: str) -> AblationReport:
    """Return the report on `result`; `store` is the URI it was read from, without secrets.

    Raises:
        UserError: The study was registered with a metric that this version does not know.
    """
    findings = find(result)
    maps = region_maps(result)
    beside = agreements(findings)
    embedded = embedding_maps(result)
    drawn = figures(findings, maps, embedded)
    told: list[tuple[Tone, str]] = [(TONES[one.verdict], text) for one, text in sentences_of(findings)]
    told += [("", text) for text in replicated(findings)]
    return AblationReport(
        title=f"Ablation {result.study}",
        alerts=tuple(status(findings)),
        answers=tuple(told),
        facts=tuple(declared_as(findings)),
        sections=(*_sections(findings, beside, drawn), *_last(findings, drawn, embedded)),
        methods=methods(findings),
        provenance=provenance_facts(findings, store),
        findings=findings,
        agreements=beside,
        maps=maps,
    )


def _sections(
    findings: Findings, beside: Sequence[Agreement], drawn: Mapping[str, Sequence[Drawing]]
) -> Iterator[ReportSection]:
    yield ReportSection("Conditions and metrics", grids=(main_table(findings), condition_table(findings)))
    if findings.declared:
        lead = "Filled: declared beforehand. Ring: exploratory. Small dots: seeds. Shaded: counts as no difference."
        declared = comparison_table(findings.declared, findings, title="Declared comparisons")
        yield ReportSection("Declared comparisons", lead, (declared,), tuple(drawn.get("effects", ())))
    if beside and any(one.cells for one in beside):
        grids = tuple(published_table(one, findings) for one in beside if one.cells)
        yield ReportSection("Published numbers beside ours", grids=grids)
    if "seeds" in drawn:
        yield ReportSection(
            "Seeds", "Each line is one seed of one subject, a mean over clips.", panels=tuple(drawn["seeds"])
        )
    if "subjects" in drawn:
        yield ReportSection("Subjects", grids=(subject_table(findings),), panels=tuple(drawn["subjects"]))
    if findings.exploratory:
        grid = comparison_table(findings.exploratory, findings, title="Exploratory comparisons")
        lead = (
            "Outside the declared family: not adjusted, no stars. They suggest what to declare next, and prove nothing."
        )
        yield ReportSection("Exploratory comparisons", lead, (grid,), folded=True)
    if findings.others:
        yield ReportSection("Other metrics", grids=(other_table(findings),), folded=True)


def _last(
    findings: Findings, drawn: Mapping[str, Sequence[Drawing]], embedded: tuple[EmbeddingMap, ...]
) -> Iterator[ReportSection]:
    if "importance" in drawn:
        lead = (
            "Upper bar: planted share of a region. Lower bar: importance to the decoder, both relative to the largest."
        )
        yield ReportSection("Importance of regions", lead, panels=tuple(drawn["importance"]))
    if "embedding" in drawn:
        lead = "t-SNE of what the semantic decoder predicts for the test clips: neighbours count, distances do not."
        yield ReportSection("Embedding map", lead, (embedding_table(embedded),), tuple(drawn["embedding"]))
    if findings.result.unusable:
        bounds = bounds_table(findings)
        yield ReportSection(
            "Missing and failed", grids=(missing_table(findings), *((bounds,) if bounds is not None else ()))
        )
    found = costs(findings.result)
    if found:
        yield ReportSection(
            "Cost", grids=(cost_table(found), trial_table(findings.result, (BASELINE, *findings.conditions)))
        )
