"""The table of metrics: each is stated once, and those of clips can be computed, by the stage that reports them."""

import inspect

import pytest

from trainables.datasets.phantom.stimuli import COLOURS, SHAPES
from trainables.graph import resolve_reference
from trainables.judging.values import available
from trainables.metrics.clip_metrics import CLIP_METRICS, OF_PROTOCOLS, SHUFFLE_TESTED, ClipMetric
from trainables.metrics.metric import notes
from trainables.metrics.nway import NWay
from trainables.metrics.registry import METRICS, metric_named
from trainables.metrics.video import Networks
from trainables.stage_table import STAGES


def test_names_are_those_of_stages_and_keys_those_of_entries() -> None:
    assert all(name == metric.name and metric.stage in STAGES for name, metric in METRICS.items())
    assert all(short == metric.short for short, metric in CLIP_METRICS.items())


@pytest.mark.parametrize("metric", CLIP_METRICS.values(), ids=lambda metric: metric.short)
def test_every_metric_of_clips_names_a_function_of_two_clips(metric: ClipMetric) -> None:
    parameters = inspect.signature(resolve_reference(metric.function)).parameters
    assert [*parameters][:2] == ["truth", "prediction"]
    assert parameters["threads"].kind is inspect.Parameter.KEYWORD_ONLY


def test_the_evaluate_stage_computes_every_metric_that_a_study_may_aim_at() -> None:
    networks = Networks(*[lambda clip: clip] * 4)
    computed = {metric.short for metric in available(networks, objects=True, optional=OF_PROTOCOLS)}
    computed |= {f"shuffle_p_{short}" for short in SHUFFLE_TESTED}
    assert computed == {metric.short for metric in METRICS.values() if metric.stage == "evaluate"}
    assert metric_named("evaluate.test_epe_legacy") is None, "the stage reads no second flow"


def test_a_metric_of_clips_without_a_function_is_no_entry() -> None:
    with pytest.raises(TypeError, match="function"):
        ClipMetric("mae", title="MAE", goal="min", low=0.0, high=255.0, source="a test")  # type: ignore[call-arg]


def test_a_metric_of_a_stage_is_not_scored_clip_by_clip() -> None:
    assert not hasattr(METRICS["motion.rollout_mse"], "score")


def test_chance_is_stated_once_and_is_that_of_the_definition() -> None:
    assert CLIP_METRICS["two_way_i"].chance == CLIP_METRICS["two_way_v"].chance == NWay().chance
    assert CLIP_METRICS["shape_accuracy"].chance == 1 / len(SHAPES)
    assert CLIP_METRICS["colour_accuracy"].chance == 1 / len(COLOURS)
    assert CLIP_METRICS["two_way_i"].chance_text == "0.75"
    assert METRICS["semantic.retrieval_text_top5"].chance_text == "5 / clips in the gallery"
    assert CLIP_METRICS["ssim"].chance_text == ""
    for metric in METRICS.values():
        assert metric.chance is None or metric.low <= metric.chance <= metric.high
        assert metric.chance is None or not (metric.chance_rule or metric.chance_controls), metric.name


def test_titles_hold_no_unit_and_notes_stand_once() -> None:
    assert not any("(" in metric.title for metric in METRICS.values())
    assert (CLIP_METRICS["psnr"].label, CLIP_METRICS["epe"].label) == ("PSNR (dB)", "EPE (px)")
    assert notes(CLIP_METRICS.values()) == (
        "2-way accuracy counts three classes as right, so its chance is 0.75, not 0.5.",
        "Mostly says where there is structure: a still video and another clip score high. See motion direction r.",
    )
