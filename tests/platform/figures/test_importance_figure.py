"""Importance of fields: what noise gives, what decides, few points, and points that were stopped early."""

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from platform.figures import png
from platform.figures.importance import ALPHA, importance, importances
from platform.figures.optuna_plots import draw_plots
from platform.figures.study_data import StudyData
from platform.record.results import Result
from platform.study.domains import AnyDomain, Choice, Integers, LogUniform, Uniform
from tests.platform.made_up_study import made_up_study
from tests.platform.statistics.null_simulations import at_most

TARGET = made_up_study().targets[0]
DOMAINS: Mapping[str, AnyDomain] = {
    "patch": Choice(choice=(8, 16)),
    "ratio": Uniform(uniform=(0.0, 0.9)),
    "depth": Integers(int=(1, 3)),
    "rate": LogUniform(log_uniform=(5e-4, 6e-3)),
}


def study(losses: Sequence[float | None], *, seed: int = 0, effect: float = 0.0, early: int = 0) -> StudyData:
    """A random search; None draws a loss. The last `early` points were stopped early; `effect` is that of `rate`."""
    rng = random.Random(seed)
    results = []
    for index, given in enumerate(losses):
        values = {"patch": rng.choice([8, 16]), "ratio": rng.random() * 0.9, "depth": rng.randint(1, 3)}
        values["rate"] = 5e-4 * 12 ** rng.random()
        loss = (rng.gauss(0.0, 1.0) if given is None else given) + effect * abs(values["rate"] - 1e-3) * 1000
        outcome = "PRUNED" if index >= len(losses) - early else "COMPLETED"
        metrics = {TARGET.name: loss}
        results.append(
            Result(f"t{index:03}", index, values=values, outcome=outcome, metrics=metrics, finished=index)  # type: ignore[arg-type]
        )
    return StudyData("noise", [TARGET], DOMAINS, results)


@pytest.mark.parametrize("studies", [8, pytest.param(200, marks=pytest.mark.long)])
def test_on_noise_no_field_is_above_the_null_line_more_often_than_the_level(studies: int) -> None:
    found = [importance(study([None] * 10, seed=seed), TARGET) for seed in range(studies)]
    above = [bool(one.above_null) for one in found if one is not None]
    assert len(above) == studies
    assert at_most(np.array(above), ALPHA)
    assert sum(one.fields[0].share > 0.4 for one in found if one is not None) > studies / 2, (
        "some field is always the first"
    )


def test_what_decides_is_above_the_null_line() -> None:
    found = importance(study([None] * 60, effect=3.0), TARGET)
    assert found is not None
    assert found.above_null == ("rate",)
    assert (found.fields[0].field, found.warning, found.points) == ("rate", "", 60)
    assert found.fields[0].low > max(field.high for field in found.fields[1:])
    assert sum(field.share for field in found.fields) == pytest.approx(1.0)
    assert {field.field: field.share for field in found.fields} == importances(study([None] * 60, effect=3.0), TARGET)


def test_few_points_say_so_and_those_stopped_early_count() -> None:
    data = study([None] * 12, early=9)
    found = importance(data, TARGET)
    assert found is not None
    assert (found.points, found.stopped_early) == (12, 9)
    assert found.warning == "cannot be trusted: 12 points for 4 fields; 40 are wanted"
    (figure,) = [each.figure for each in draw_plots(data) if each.name == "importance"]
    assert "12 points, 9 of them stopped early<br>cannot be trusted" in figure.layout.xaxis.title.text
    picture = png.draw_png(figure, title="", subtitle="")
    assert any("null line" in text.get_text() for each in picture.legends for text in each.get_texts())
    assert "cannot be trusted" in picture.axes[0].xaxis.label.get_text()


@pytest.mark.parametrize("points", [2, 3])
def test_two_points_already_give_a_figure(points: int) -> None:
    found = importance(study([0.1 * index for index in range(points)]), TARGET)
    assert found is not None
    assert found.warning.startswith(f"cannot be trusted: {points} points")
    assert found.above_null == ()


def test_a_target_to_maximise_takes_the_highest_values() -> None:
    higher = made_up_study(targets=("semantic.retrieval_image_top1",)).targets[0]
    data = study([None] * 40, effect=3.0)
    turned = [Result(**{**vars(one), "metrics": {higher.name: -one.metrics[TARGET.name]}}) for one in data.trials]
    assert importances(StudyData("turned", [higher], DOMAINS, turned), higher) == importances(data, TARGET)
