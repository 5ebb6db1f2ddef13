"""Which systems an ablation compares: what of each is its authors', what is ours, and what else it sees."""

from platform.analysis.collect import AblationResult
from platform.study.design import BASELINE, Design
from trainables.config.trial import TrialConfig
from trainables.pages.grid import Cell, Grid
from trainables.systems import ABOUT, AboutSystem

LEAD = "A name that ends in _like: architecture or training of the published system could not be known."
_DEFAULT = TrialConfig.model_fields["system"].default


def systems_table(result: AblationResult) -> Grid | None:
    """Return the table, a row per system that is known here; None if all conditions have the default one."""
    conditions: dict[str, list[str]] = {}
    for condition in (BASELINE, *result.design.conditions):
        conditions.setdefault(_system(result.design, condition), []).append(condition)
    rows = [_row(", ".join(names), system, ABOUT[system]) for system, names in conditions.items() if system in ABOUT]
    if (len(conditions) == 1 and _DEFAULT in conditions) or not rows:
        return None
    header = ("system", "conditions", "the authors'", "ours", "further data", "source")
    return Grid("Systems", header, tuple(rows))


def _system(design: Design, condition: str) -> str:
    return str(design.overrides(condition, design.subjects[0]).get("system", _DEFAULT))


def _row(conditions: str, system: str, about: AboutSystem) -> tuple[Cell, ...]:
    texts = (about.authors, about.ours, about.data, about.source)
    return (Cell(f"{system}: {about.title}"), Cell(conditions), *(Cell(text, tone="prose") for text in texts))
