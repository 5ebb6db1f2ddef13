"""The contents of a report, in order, for all formats."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from platform.analysis.collect import AblationResult
from platform.analysis.findings import Findings, analyse
from platform.analysis.known_effects import effects_shown, wide_margins
from platform.analysis.optimism import SearchCheck, search_check
from platform.analysis.siblings import Sibling
from platform.analysis.voxel_importance import RegionMap, region_maps
from platform.reporting.charts import figures
from platform.reporting.comparison_table import comparison_table
from platform.reporting.contrast_section import contrast_sections
from platform.reporting.control_standing import control_grid, control_sentences
from platform.reporting.cost import cost_table, costs, trial_table
from platform.reporting.embedding import EmbeddingMap, embedding_maps, embedding_table
from platform.reporting.finder_section import finder_grid, finder_sentences
from platform.reporting.methods import methods, provenance_facts
from platform.reporting.overlap import LEAD, overlap_table
from platform.reporting.protocol import caption
from platform.reporting.published import Agreement, agreements, published_table
from platform.reporting.references import references
from platform.reporting.search_section import search_sentences, search_table
from platform.reporting.sentences import declared_as, replicated, sentences_of, status
from platform.reporting.sibling_table import sibling_alert, sibling_table
from platform.reporting.systems_table import LEAD as SYSTEMS_LEAD
from platform.reporting.systems_table import systems_table
from platform.reporting.tables import (
    TONES,
    bounds_table,
    condition_table,
    main_table,
    missing_table,
    other_table,
    subject_table,
)
from platform.reporting.texts import Report, ReportSection
from platform.reporting.variance_section import variance_sections
from platform.study.design import BASELINE
from trainables.pages.drawing import Drawing


@dataclass(frozen=True, kw_only=True)
class AblationReport(Report):
    """The report of an ablation, and what it was made from."""

    findings: Findings
    agreements: tuple[Agreement, ...]
    maps: tuple[RegionMap, ...]


def build_report(
    result: AblationResult, *, store: str, pages: Sequence[tuple[str, str]] = (), siblings: Sequence[Sibling] = ()
) -> AblationReport:
    """Return the report on `result`, with links to `pages`; `store` is the URI of its store, without secrets.

    `siblings` are the other attempts at the same ablation.

    Raises:
        UserError: The study was registered with a metric that this version does not have.
    """
    return report_on(analyse(result), store=store, pages=pages, siblings=siblings)


def report_on(
    findings: Findings, *, store: str, pages: Sequence[tuple[str, str]] = (), siblings: Sequence[Sibling] = ()
) -> AblationReport:
    """Return the report on `findings`; see `build_report`. Of several data sets, it is the part of one."""
    result = findings.result
    maps = region_maps(result)
    published = agreements(findings)
    embedded = embedding_maps(result)
    drawings = figures(findings, maps, embedded)
    answered = [*control_sentences(findings), *(("", text) for text in finder_sentences(findings.finder_tests))]
    answered += [(TONES[tested.verdict], text) for tested, text in sentences_of(findings)]
    answered += [("", text) for text in replicated(findings)]
    check = search_check(result)
    answered += [("", text) for text in search_sentences(check)] if check is not None else []
    return AblationReport(
        title=f"Ablation {result.study}",
        alerts=(*status(findings), *_wide(findings), *sibling_alert(siblings)),
        conclusions=tuple(answered),
        facts=tuple(declared_as(findings)),
        sections=(
            *_sections(findings, published, drawings),
            *((ReportSection("Other attempts", grids=(sibling_table(siblings),)),) if siblings else ()),
            *contrast_sections(findings),
            *variance_sections(findings),
            *_searched(check),
            *_last(findings, drawings, embedded),
        ),
        methods=methods(findings),
        references=references(findings),
        provenance=provenance_facts(findings, store),
        findings=findings,
        agreements=published,
        maps=maps,
        pages=tuple(pages),
    )


def _sections(
    findings: Findings, published: Sequence[Agreement], drawings: Mapping[str, Sequence[Drawing]]
) -> Iterator[ReportSection]:
    against_controls = control_grid(findings)
    grids = tuple(grid for grid in (against_controls, finder_grid(findings.finder_tests)) if grid is not None)
    if grids:
        yield ReportSection("Baseline against its controls", grids=grids)
    yield ReportSection("Conditions and metrics", grids=(main_table(findings), condition_table(findings)))
    systems = systems_table(findings.result)
    if systems is not None:
        yield ReportSection("Systems", SYSTEMS_LEAD, (systems,))
    if findings.declared:
        lead = "Filled dot: declared. Ring: exploratory. Small dots: seeds."
        lead += " Shaded: equivalent within the margin." if findings.result.design.margins else ""
        declared = comparison_table(findings.declared, findings, title=caption("Declared comparisons", findings.result))
        yield ReportSection("Declared comparisons", lead, (declared,), tuple(drawings.get("effects", ())))
    grids = tuple(published_table(agreement, findings) for agreement in published if agreement.cells)
    if grids:
        yield ReportSection("Comparison with published values", grids=grids)
    if "seeds" in drawings:
        yield ReportSection(
            "Seeds", "Each line is one seed of one subject: means over clips.", panels=tuple(drawings["seeds"])
        )
    if "subjects" in drawings:
        yield ReportSection("Subjects", grids=(subject_table(findings),), panels=tuple(drawings["subjects"]))
    if findings.exploratory:
        grid = comparison_table(findings.exploratory, findings, title="Exploratory comparisons")
        lead = (
            "Outside the declared family: not adjusted, no stars. They are not evidence, but can suggest what to "
            "declare in the next ablation."
        )
        yield ReportSection("Exploratory comparisons", lead, (grid,), folded=True)
    if findings.other_measures:
        yield ReportSection("Other metrics", grids=(other_table(findings),), folded=True)


def _wide(findings: Findings) -> Iterator[str]:
    for text in wide_margins(findings.result.design.margins, effects_shown(findings)):
        yield f"{text[0].upper()}{text[1:]}."


def _searched(check: SearchCheck | None) -> Iterator[ReportSection]:
    if check is not None:
        yield ReportSection("Search and confirmation", grids=(search_table(check),))


def _last(
    findings: Findings, drawings: Mapping[str, Sequence[Drawing]], embedded: tuple[EmbeddingMap, ...]
) -> Iterator[ReportSection]:
    if "importance" in drawings:
        lead = (
            "Bar: importance of a region for the decoder. Thin bar above it, where the data set's answer was planted: "
            "planted share of the region. Both are relative to the largest value."
        )
        yield ReportSection("Importance of regions", lead, panels=tuple(drawings["importance"]))
    overlap = overlap_table(findings.result)
    if overlap is not None:
        yield ReportSection("Overlap of test and training clips", LEAD, (overlap,))
    if "embedding" in drawings:
        lead = (
            "t-SNE of the semantic decoder's predictions for the test clips. Neighbours are meaningful, large "
            "distances are not."
        )
        yield ReportSection("Embedding map", lead, (embedding_table(embedded),), tuple(drawings["embedding"]))
    if findings.result.unusable:
        bounds = bounds_table(findings)
        yield ReportSection(
            "Missing and failed", grids=(missing_table(findings), *((bounds,) if bounds is not None else ()))
        )
    stage_costs = costs(findings.result.trials.values())
    if stage_costs:
        yield ReportSection(
            "Cost", grids=(cost_table(stage_costs), trial_table(findings.result, (BASELINE, *findings.conditions)))
        )
