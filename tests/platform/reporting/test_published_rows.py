"""Published tables: values of one subject beside those of the same one here, and rows without a counterpart."""

from dataclasses import dataclass

import numpy as np
import pytest

from platform.analysis.collect import collect_ablation
from platform.analysis.findings import Findings, analyse
from platform.reporting.published import agreements, published_table
from platform.study.design import Design, Published
from storage.memory import MemoryStore
from tests.platform.reporting.made_up_ablation import SSIM, STUDY, MadeUp, write_study


@dataclass(frozen=True)
class BySubject(MadeUp):
    """Two subjects, each beside a row of its own, and a row that nothing here corresponds to."""

    subjects: tuple[int, ...] = (0, 1)

    @property
    def design(self) -> Design:
        tables = tuple(
            Published(
                table="table6.csv",
                subject=subject,
                conditions={"baseline": "full", "wo_motion": "wo_motion"},
                columns={SSIM: "ssim"},
                rows=("wo_structure",),
            )
            for subject in (0, 1, 7)
        )
        return super().design.model_copy(update={"published": tables})


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    store, folder = MemoryStore(), tmp_path_factory.mktemp("study")
    write_study(store, folder, BySubject(seeds=3))
    return analyse(collect_ablation(store, STUDY, cache=folder / "cache"))


def test_a_table_of_one_subject_stands_beside_that_subject(findings: Findings) -> None:
    compared = agreements(findings)
    for number, agreement in enumerate(compared[:2]):
        own = {cell.condition: cell.ours for cell in agreement.cells}
        values = findings.tables[SSIM].by_condition
        for condition in ("baseline", "wo_motion"):
            assert own[condition] == pytest.approx(np.nanmean(values[condition][number]))
    assert compared[2].cells == (), "subject 7 is not in the study"


def test_rows_without_a_counterpart_are_shown_as_published(findings: Findings) -> None:
    grid = published_table(agreements(findings)[0], findings)
    (row,) = [row for row in grid.rows if row[0].text == "wo_structure"]
    assert row[0].small[0] == "published, not run here"
    assert row[1].text == "0.184"
