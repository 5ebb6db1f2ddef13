"""The noise ceiling of the voxels in the report of an ablation: one sentence per subject whose clips were repeated."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from platform.analysis.collect import collect_ablation
from platform.reporting.contents import build_report
from platform.reporting.noise_ceiling import noise_ceiling_notes
from platform.reporting.texts import report_page
from platform.study.design import BASELINE
from storage.memory import MemoryStore
from storage.runs import Manifest, RunStore
from tests.platform.reporting.made_up_ablation import STUDY, MadeUp, write_study
from trainables.judging.ceiling_text import CEILING_FACT

CEILING = "30% of a voxel's variance in one presentation (middle half of voxels 20 to 40%)"


def runs_with(folder: Path, facts: dict[str, str]) -> RunStore:
    """Return a store of runs of `library`, each with this noise ceiling."""
    runs = RunStore(MemoryStore(), cache=folder / "cache")
    for identity, text in facts.items():
        scratch = folder / identity
        scratch.mkdir()
        info = {CEILING_FACT: text} if text else {}
        runs.commit(Manifest(identity, "library", {}, 0, {}, {}, {}, (), info, 0.0, 0.0), scratch)
    return runs


def test_each_subject_with_repeats_has_one_note(tmp_path: Path) -> None:
    runs = runs_with(tmp_path, {"library-0": CEILING, "library-1": ""})

    def trial(identity: str) -> Any:
        return SimpleNamespace(identities={"library": identity})

    trials = {
        (BASELINE, 0, 0): trial("library-0"),
        (BASELINE, 0, 1): trial("library-0"),
        (BASELINE, 1, 0): trial("library-1"),  # its clips were shown once
        (BASELINE, 2, 0): trial("library-2"),  # its artifacts were deleted
        (BASELINE, 3, 0): SimpleNamespace(identities={}),
        ("wo_motion", 0, 0): trial("library-0"),
    }
    result: Any = SimpleNamespace(trials=trials, runs=runs)
    assert list(noise_ceiling_notes(result)) == [
        f"Noise ceiling of subject 0, estimated from repeats: the clip explains {CEILING}. No model can be expected to "
        "explain more of a voxel's variance. It bounds the fMRI, not the metrics above."
    ]


def test_it_stands_below_the_main_table_of_a_report(tmp_path: Path) -> None:
    store = MemoryStore()
    write_study(store, tmp_path, MadeUp(seeds=3, ceiling=CEILING))
    page = report_page(build_report(collect_ablation(store, STUDY, cache=tmp_path / "cache"), store="memory:"))
    assert (
        page.count(
            "Noise ceiling of subject 0, estimated from repeats: the clip explains 30% of a voxel&#39;s variance"
        )
        == 1
    )
