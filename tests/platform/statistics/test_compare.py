"""The verdict on a comparison: what is gathered, what is claimed, and what is never claimed."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from platform.statistics.attainable import ClaimUnit
from platform.statistics.compare import Comparison, compare_exploratory, compare_family
from platform.statistics.comparison_plan import ComparisonPlan
from platform.statistics.paired import PairedTable
from platform.statistics.signed_p import signed_p, signed_ps
from tests.platform.statistics.null_simulations import at_most, crossed, metric, table

NAN = np.nan
UNITS: tuple[ClaimUnit, ...] = ("seeds", "clips", "both")
SHAPE = (1, 8, 30)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def shifted(
    by: float, *, seed: int = 0, goal: str = "max", name: str = "wo_it", shape: tuple[int, ...] = SHAPE
) -> PairedTable:
    baseline = rng(seed).normal(0.5, 0.1, shape)
    condition = baseline + by + rng(seed + 1).normal(0.0, 0.05, shape)
    return table(baseline, condition, name=name, of=metric(goal=goal))


def judged(paired: PairedTable, plan: ComparisonPlan | None = None) -> Comparison:
    return compare_family([paired], ComparisonPlan() if plan is None else plan)[0]


@pytest.mark.parametrize(("by", "goal", "verdict"), [(-0.2, "max", "worse"), (-0.2, "min", "better")])
def test_a_clear_difference(by: float, goal: str, verdict: str) -> None:
    found = judged(shifted(by, goal=goal))
    assert (found.verdict, found.stars, found.unit) == (verdict, "**", "both")
    assert found.difference == pytest.approx(by, abs=0.02)
    assert found.interval.low < by + 0.02
    assert found.interval.high < 0.0
    assert found.p == found.p_holm == found.smallest_p == 2 ** (1 - 8)
    assert found.difference == pytest.approx(found.condition - found.baseline)
    assert np.mean(found.by_seed["S0"]) == pytest.approx(found.difference)
    assert found.effect is None, "no size over clips or seeds alone belongs to a claim over both"
    over_clips = judged(shifted(by, goal=goal), ComparisonPlan(unit="clips")).effect
    assert over_clips is not None
    assert over_clips.cliff.value == -1.0
    assert found.warnings == ()


def test_noise_is_inconclusive_unless_a_margin_was_declared() -> None:
    paired = shifted(0.0)
    assert judged(paired).verdict == "inconclusive"
    assert judged(paired).equivalence is None
    assert judged(paired, ComparisonPlan(margins={"evaluate.made_up": 0.1})).verdict == "equivalent"
    assert judged(paired, ComparisonPlan(margins={"evaluate.made_up": 1e-4})).verdict == "inconclusive"


def test_a_claim_over_both_must_survive_each_of_its_tests() -> None:
    cells = 0.3 + crossed((1, 8, 30), rng(1), spread=((8 / 30) ** 0.5, 1.0, 0.3))
    found = {unit: judged(table(np.zeros(SHAPE), cells), ComparisonPlan(unit=unit)) for unit in UNITS}
    assert found["seeds"].p == found["both"].p_values["sign flip over seeds"]
    assert found["clips"].p == found["both"].p_values["sign flip over clips"]
    # Where seeds and clips both vary, the t test that adds their variances is the hardest.
    assert found["both"].p == found["both"].p_values["t over seeds and clips"]
    assert found["both"].p > max(found["seeds"].p, found["clips"].p)


def test_small_but_significant_is_equivalent_and_says_so() -> None:
    found = judged(shifted(-0.03), ComparisonPlan(margins={"evaluate.made_up": 0.1}))
    assert found.verdict == "equivalent"
    assert found.stars != ""
    assert "differs significantly, but by less than the declared margin" in found.warnings


MARGIN = ComparisonPlan(margins={"evaluate.made_up": 0.1})


def test_sameness_needs_spread() -> None:
    same = rng().random(SHAPE)
    found = judged(table(same, same), MARGIN)
    assert (found.verdict, found.reason, found.p, found.difference) == ("inconclusive", "identical", 1.0, 0.0)
    full = judged(table(np.ones(SHAPE), np.ones(SHAPE)), MARGIN)
    assert (full.verdict, full.reason) == ("inconclusive", "saturated")
    same_in_every_seed = np.broadcast_to(rng().normal(0.0, 0.01, (1, 1, 30)), SHAPE)
    found = judged(table(same, same + same_in_every_seed), MARGIN)
    assert (found.verdict, found.reason) == ("inconclusive", "no spread")


def test_sameness_needs_as_many_seeds_as_a_difference() -> None:
    assert judged(shifted(0.0), MARGIN).verdict == "equivalent"
    assert judged(shifted(0.0, shape=(1, 2, 30)), replace(MARGIN, unit="both")).reason == "too few units"
    paired = shifted(0.0, shape=(1, 9, 30))
    paired.condition[0, 2:] = NAN
    found = judged(paired, replace(MARGIN, unit="both"))
    assert (found.verdict, found.reason, found.sizes[1], found.planned[1]) == ("inconclusive", "too few units", 2, 9)


def test_sameness_is_not_concluded_if_a_failed_training_could_have_left_the_margin() -> None:
    paired = shifted(0.0, shape=(1, 9, 30))
    paired.condition[0, 0] = NAN
    found = judged(paired, MARGIN)
    assert found.equivalence is not None
    assert found.equivalence.p < 0.05
    assert found.bounds.high - found.bounds.low > 0.0
    wide = replace(MARGIN, margins={"evaluate.made_up": 2.0})
    assert (found.verdict, judged(paired, wide).verdict) == ("equivalent", "equivalent"), "its worst cases lie within"
    narrow = judged(paired, replace(MARGIN, margins={"evaluate.made_up": 0.03}))
    assert (narrow.verdict, narrow.reason) == ("inconclusive", "missing trials")


def test_holm_is_over_the_whole_family_also_over_what_failed() -> None:
    dead = table(rng().random(SHAPE), np.full(SHAPE, NAN), name="dead")
    family = [shifted(-0.2, name="a"), shifted(0.0, seed=5, name="b"), dead]
    first, second, third = compare_family(family, ComparisonPlan())
    assert first.p_holm == pytest.approx(3 * first.p)
    assert second.p_holm == min(1.0, 2 * second.p)
    assert third.p_holm is not None
    assert np.isnan([third.p, third.p_holm, third.difference, third.interval.low]).all()
    assert (third.verdict, third.stars, third.sizes, third.family) == ("inconclusive", "", (0, 0, 0), 3)
    assert sum(gap.clips for gap in third.missing) == 240


def test_equivalence_is_adjusted_over_the_comparisons_with_a_margin() -> None:
    with_margin = metric("evaluate.other")
    noise = rng().normal(0.0, 0.05, SHAPE)
    family = [table(noise, noise[:, ::-1], of=with_margin), shifted(-0.2), shifted(-0.2, name="b")]
    first, second, _ = compare_family(family, ComparisonPlan(margins={"evaluate.other": 0.05}))
    assert first.equivalence is not None
    assert first.equivalence.p_holm == first.equivalence.p
    assert second.equivalence is None


def test_a_family_names_each_comparison_once() -> None:
    with pytest.raises(ValueError, match=r"each comparison once.*wo_it in evaluate\.made_up"):
        compare_family([shifted(0.1), shifted(0.2)], ComparisonPlan())


def test_outside_a_family_there_are_no_stars() -> None:
    found = compare_exploratory(shifted(-0.2), ComparisonPlan())
    assert (found.verdict, found.stars, found.p_holm, found.family) == ("worse", "", None, 0)


def test_three_seeds_earn_no_star_over_seeds() -> None:
    paired = shifted(-0.2, shape=(1, 3, 30))
    units: tuple[ClaimUnit, ...] = ("seeds", "both")
    for unit in units:
        found = judged(paired, ComparisonPlan(unit=unit))
        assert (found.p, found.smallest_p, found.stars, found.verdict) == (0.25, 0.25, "", "inconclusive")
        assert "6 seeds are enough" in " ".join(found.warnings)


def test_three_seeds_fall_back_on_clips_and_say_what_that_means() -> None:
    found = judged(shifted(-0.2, shape=(1, 3, 30)))
    assert (found.unit, found.verdict, found.stars) == ("clips", "worse", "***")
    assert (
        found.generalises_over == "other clips, for these trained networks only, for this data set and these subjects"
    )
    assert found.interval.method == "BCa"
    assert any("not for networks trained anew: 3 seeds allow" in said for said in found.warnings)


def test_few_clips_get_students_interval() -> None:
    assert judged(shifted(-0.2, shape=(1, 3, 12))).interval.method == "Student t"


def test_the_unit_follows_the_design_not_what_is_left_of_it() -> None:
    paired = shifted(-0.2, shape=(1, 6, 30))
    paired.condition[0, 0] = NAN
    found = judged(paired)
    assert (found.unit, found.planned, found.sizes) == ("both", (1, 6, 30), (1, 5, 30))
    assert found.verdict == "inconclusive"
    assert any("5 of 6 seeds" in said for said in found.warnings)
    assert any("no star can be earned" in said for said in found.warnings)


def test_missing_values_that_could_turn_the_difference_are_told() -> None:
    paired = shifted(-0.2)
    paired.condition[0, :4] = NAN
    found = judged(paired)
    assert found.bounds.low < found.difference < 0.0 < found.bounds.high
    assert any("reverse the sign" in said for said in found.warnings)


def test_subjects_are_pooled_and_can_be_looked_at_alone() -> None:
    paired = shifted(-0.2, shape=(3, 8, 30))
    found = judged(paired)
    assert set(found.by_seed) == {"S0", "S1", "S2"}
    assert found.smallest_p == 2 ** (1 - 8)  # a seed is one block for all subjects
    assert any(one.unit == "subjects x seeds x clips" for one in found.intervals)
    alone = replace(paired, baseline=paired.baseline[2:], condition=paired.condition[2:], subjects=paired.subjects[2:])
    assert compare_exploratory(alone, ComparisonPlan()).difference == pytest.approx(float(np.mean(found.by_seed["S2"])))


def test_one_seed_and_one_clip_show_nothing_and_do_not_fail() -> None:
    for shape in ((1, 1, 30), (1, 8, 1), (1, 1, 1)):
        for unit in UNITS:
            found = judged(shifted(-0.2, shape=shape), ComparisonPlan(unit=unit, margins={"evaluate.made_up": 0.5}))
            units = {"clips": shape[2], "seeds": shape[1], "both": min(shape[1:])}[unit]
            assert (found.p < 1.0) == (units > 1), (shape, unit)


def test_a_result_depends_on_its_own_table_and_seed_alone() -> None:
    one, other = shifted(-0.01, name="one"), shifted(0.01, name="other")
    alone, _ = compare_family([one, other], ComparisonPlan())
    _, last = compare_family([other, one], ComparisonPlan())
    assert alone == last


def test_a_comparison_is_plain_data() -> None:
    text = json.dumps(asdict(judged(shifted(-0.2, shape=(2, 8, 30)))))
    assert json.loads(text)["verdict"] == "worse"


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"resamples": 10}, {"margins": {"x": 0.0}}])
def test_a_plan_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Plan"):
        ComparisonPlan(**wrong)  # type: ignore[arg-type]


@pytest.mark.long
def test_null_studies_earn_no_more_stars_than_their_level_allows() -> None:
    """Renamed copies of a baseline under other seeds: trainings differ by luck, clips by their content."""
    studies, family = 30, 3
    earned = []
    for study in range(studies):
        arms = crossed((2 * family, 7, 20), rng(100 + study), spread=(0.3, 0.0, 0.3)) + rng(study).normal(size=20)
        tables = [table(arms[2 * i][None], arms[2 * i + 1][None], name=f"copy{i}") for i in range(family)]
        earned.append(any(one.stars for one in compare_family(tables, ComparisonPlan(resamples=999))))
    assert at_most(np.array(earned), 0.05)


@pytest.mark.parametrize("unit", ["seeds", "clips", "both", None])
def test_the_p_alone_is_that_of_the_whole_comparison(unit: ClaimUnit | None) -> None:
    paired, plan = shifted(0.02), ComparisonPlan(unit=unit)
    whole, alone = compare_exploratory(paired, plan), signed_p(paired, plan)
    assert (alone.difference, alone.smallest_p) == (whole.difference, whole.smallest_p)
    assert alone.p == pytest.approx(whole.p, abs=0.01)  # over many clips, signs are flipped at random


def test_several_tables_give_the_p_values_that_each_gives_alone() -> None:
    """Subjects share the flips that each draws alone, also where one of them has fewer seeds or no values."""
    generator = rng(5)
    values = generator.normal(size=(4, 30, 3))
    values[1, :4], values[3] = np.nan, np.nan
    tables = [table(np.zeros((1, 30, 3)), each[None] + 0.1) for each in values]
    plan = ComparisonPlan(unit="both", resamples=999)
    alone = [signed_p(each, plan) for each in tables]
    together = signed_ps(tables, plan)
    assert [each.p for each in together[:3]] == [each.p for each in alone[:3]]
    assert len({each.p for each in together[:3]}) == 3
    assert math.isnan(together[3].p)
    assert math.isnan(alone[3].p)
