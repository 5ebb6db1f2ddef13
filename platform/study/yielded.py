"""Whether a data set yields a metric at all, and one that can tell trials apart."""

import re
from collections.abc import Iterable

from trainables.config.data import PreparedConfig, parts_of
from trainables.config.trial import TrialConfig, flatten
from trainables.config.video import DEFAULT_PROTOCOL
from trainables.datasets.kinds import WITHOUT_ANSWER
from trainables.graph import needed_stages
from trainables.metrics.clip_metrics import CLIP_METRICS, EVALUATE, OF_PROTOCOLS
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS, is_held_out
from trainables.stage_table import STAGES, VIDEO_STAGES

WITH_OTHERS = tuple(f"retrieve.{test}with_others_top{k}" for test in ("", "test_") for k in (10, 100))
_TOP = re.compile(r"semantic\.(test_)?retrieval_(?:image|text)_(large_)?top(\d+)")


def why_not_yielded(metric: Metric, config: TrialConfig) -> str | None:
    """Return why no trial has a usable value of `metric`, with what would work; None if trials have one."""
    kind = config.dataset.kind
    if (decoder := trained_on_its_clips(metric, config)) is not None:
        return (
            f"{metric.name} is of validation clips, on which {decoder}.train.rows: train_and_validation trains; use "
            f"{metric.stage}.test_{metric.short} in an ablation, or {decoder}.train.rows: train"
        )
    if metric.only_with is not None:
        field, value = metric.only_with
        if flatten(config.model_dump())[field] != value:
            return f"{metric.name} is reported only with {field}: {value}; set it, or choose another metric"
    if metric.needs_known_answer and kind in WITHOUT_ANSWER:
        others = ", ".join(_others(metric, METRICS.values()))
        return f"{metric.name} needs a known answer, which data sets of kind {kind} do not have; use one of: {others}"
    if (still := _of_still_clips(metric, config)) is not None:
        return still
    if metric.name in WITH_OTHERS and config.retrieve.others is None:
        return f"{metric.name} needs retrieve.others, the folder of another prepared data set; set it"
    if (unmoved := why_none_of_still(metric, config)) is not None:
        return unmoved
    unjudged = _not_judged(metric, config)
    return unjudged if unjudged is not None else _always_right(metric, config)


def why_none_of_still(metric: Metric, config: TrialConfig) -> str | None:
    """Return why the system of `config`, which makes one frame per clip, has no value of `metric`; None if it has."""
    if metric.stage != EVALUATE or not STAGES[VIDEO_STAGES[config.system]].still or not _is_of_time(metric):
        return None
    others = ", ".join(f"{EVALUATE}.{name}" for name, other in CLIP_METRICS.items() if not other.of_time)
    return (
        f"{metric.name} looks at several frames together, but {config.system} makes one frame per clip, so it has no "
        f"value; use one of: {others}"
    )


def _is_of_time(metric: Metric) -> bool:
    short = metric.short.removeprefix("test_")
    return short.startswith("shuffle_") or (short in CLIP_METRICS and CLIP_METRICS[short].of_time)


def trained_on_its_clips(metric: Metric, config: TrialConfig) -> str | None:
    """Return the decoder that trains on validation clips, of which `metric` is; None if there is none."""
    if metric.short.startswith("test_") or metric.short == "loss" or not is_held_out(metric.name):
        return None
    for decoder in needed_stages(config, [metric.stage]):
        train = getattr(getattr(config, decoder, None), "train", None)
        if getattr(train, "rows", "train") == "train_and_validation":
            return decoder
    return None


def trained_on_both(config: TrialConfig, decoder: str) -> TrialConfig:
    """Return `config` with `decoder` trained on training and validation clips."""
    section = getattr(config, decoder)
    train = section.train.model_copy(update={"rows": "train_and_validation"})
    return config.model_copy(update={decoder: section.model_copy(update={"train": train})})


def _others(metric: Metric, metrics: Iterable[Metric]) -> list[str]:
    """Return the metrics of the same stage that need no known answer."""
    return [other.name for other in metrics if other.stage == metric.stage and not other.needs_known_answer]


def _of_still_clips(metric: Metric, config: TrialConfig) -> str | None:
    """Return why a data set of images has no usable value of `metric`; None if it may have one."""
    needs_motion = metric.of_motion or "motion" in needed_stages(config, [metric.stage])
    data = config.dataset
    prepared = [each for each in parts_of(data) if isinstance(each, PreparedConfig)]
    if not needs_motion or not prepared:
        return None
    from trainables.datasets.prepared.dataset import shows_images  # reads the description of the data set

    still = next((each for each in prepared if shows_images(each)), None)
    if still is None:
        return None
    return (
        f"{metric.name} is of motion or of whole videos, but each clip of {still.path} is one image, "
        "repeated: the stimulus does not move; use a metric of the stages semantic or structure, or encoding_accuracy"
    )


def _not_judged(metric: Metric, config: TrialConfig) -> str | None:
    """Return why the protocol has no value of `metric`; None if it may have one."""
    clipwise = CLIP_METRICS.get(metric.short.removeprefix("test_")) if metric.stage == EVALUATE else None
    is_default = config.evaluate.protocol == DEFAULT_PROTOCOL
    if clipwise is None or (is_default and not set(clipwise.needs) & {*OF_PROTOCOLS}):
        return None
    from trainables.judging.protocol_checks import why_not_judged  # it imports what reads videos

    return why_not_judged(metric, config)


def _always_right(metric: Metric, config: TrialConfig) -> str | None:
    """Return that top-k retrieval among k clips or fewer is always right, if the config says how many clips there are.

    In a folder the split decides that, which is not read here.
    """
    found = _TOP.fullmatch(metric.name)
    field = f"{'test' if found is not None and found[1] else 'validation'}_clips"
    clips = getattr(config.dataset, field, None)
    if found is None or clips is None:
        return None
    gallery = clips + (getattr(config.dataset, "train_clips", 0) if found[2] else 0)
    k = int(found[3])
    if gallery > k:
        return None
    return (
        f"{metric.name} is 1 in every trial, since the gallery has {gallery} clips; set dataset.{field} to more than "
        f"{k}, or use a smaller k"
    )
