"""The table at the end of an ablation in several data sets: the controls of each beside its conditions."""

from rich.console import Console

from platform.record.results import Result
from platform.screen.final_table import final_table
from tests.platform.noop_ablations import build

TEXT = """\
primary: structure.test_latent_mse
seeds: 7
unit: seeds
datasets: {quiet: {dataset.noise: 0.1}, noisy: {dataset.noise: 1.0}}
conditions: {ridge: {structure.kind: ridge}}
"""
METRIC = "structure.test_latent_mse"


def test_each_data_set_has_its_own_controls() -> None:
    study = build(TEXT)
    by_set = {"quiet": (0.4, 0.8), "noisy": (0.6, 0.9)}
    results = [
        Result(
            study.trial_name(point, repeat),
            point,
            repeat,
            values,
            "COMPLETED",
            {METRIC: by_set[str(values["dataset"])][0], f"{METRIC}_mean": by_set[str(values["dataset"])][1]},
        )
        for point, values in enumerate(study.points)
        for repeat in range(study.repeats)
    ]
    console = Console(record=True, width=160, markup=False, highlight=False)
    final_table(study, results, errors={}, ui="ui", console=console)
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["quiet", "baseline", "0", "0.4", "7"] in [line[:5] for line in lines]
    assert ["control,", "quiet:", "mean", "0.8"] in lines
    assert ["control,", "noisy:", "mean", "0.9"] in lines
