"""The other attempts at an ablation, with their verdicts."""

from collections.abc import Iterator, Sequence

from platform.analysis.siblings import Sibling
from platform.reporting.words import counted, listed
from trainables.pages.grid import Cell, Grid


def sibling_alert(siblings: Sequence[Sibling]) -> Iterator[str]:
    """Yield that there are other attempts, if there are."""
    if siblings:
        names = listed([sibling.study for sibling in siblings])
        yield (
            f"There {'is' if len(siblings) == 1 else 'are'} {counted(len(siblings), 'other attempt')} at this ablation "
            f"({names}), listed below. Report all of them: the level of a test is lost if one is chosen by its result."
        )


def sibling_table(siblings: Sequence[Sibling]) -> Grid:
    """Return the table of the other attempts."""
    rows = tuple(
        (
            Cell(sibling.study),
            Cell(sibling.sha256[:16]),
            Cell(f"{sibling.seeds:,}"),
            Cell(f"{sibling.ended:,} of {sibling.trials:,}"),
            Cell(f"{sibling.stars:,}"),
            Cell(", ".join(f"{number:,} {verdict}" for verdict, number in sibling.verdicts) or "nothing declared"),
        )
        for sibling in siblings
    )
    header = ("attempt", "registered", "seeds", "trials ended", "stars", "verdicts")
    return Grid("Other attempts", header, rows, ("Verdicts of the declared comparisons, with the registered seeds.",))
