"""Whether a trial can be judged by its protocol, as far as the config and the data set tell. Nothing is computed."""

from collections.abc import Iterator

from trainables.backbones.sources import class_count
from trainables.config.trial import TrialConfig
from trainables.datasets import load_clips
from trainables.judging.protocols import PROTOCOLS, Protocol, lacking_classes, too_few_classes, unfit
from trainables.metrics.clip_metrics import CLIP_METRICS, ENERGY_FRAMES, EVALUATE
from trainables.metrics.metric import Metric

_FIELD = "evaluate.protocol"
_CLASSIFIERS = ("image_classifier", "video_classifier")


def protocol_problems(config: TrialConfig) -> Iterator[tuple[str, str]]:
    """Yield the field and the message of each reason against judging trials of `config` by its protocol."""
    protocol = PROTOCOLS[config.evaluate.protocol]
    if protocol.side is not None and config.evaluate.resolution is not None:
        yield "evaluate.resolution", f"{protocol.id} fixes it at {protocol.side}; leave the field out"
    reasons = list(_reasons(protocol, config))
    fitting = [other.id for other in PROTOCOLS.values() if reasons and not list(_reasons(other, config))]
    advice = f"these can: {', '.join(fitting)}" if fitting else "no protocol can"
    for reason in reasons:
        yield _FIELD, f"{protocol.id} cannot judge these videos: {reason}; {advice}"


def _reasons(protocol: Protocol, config: TrialConfig) -> Iterator[str]:
    """Yield each reason against judging trials of `config` by `protocol`."""
    yield from too_few_classes(protocol, _classes(config))
    if protocol.side is not None or protocol.frames is not None:
        frames, size = _clip_shape(config)
        yield from unfit(protocol, "the data set", frames=frames, size=size)
        if config.system != "given":
            side = config.features.resolution
            yield from unfit(protocol, "the generator (features.resolution)", frames=frames, size=(side, side))


def why_not_judged(metric: Metric, config: TrialConfig) -> str | None:
    """Return why no trial of `config` has a value of `metric` under its protocol; None if trials may have one."""
    clipwise = CLIP_METRICS.get(metric.short.removeprefix("test_"))
    if metric.stage != EVALUATE or clipwise is None:
        return None
    protocol, classes = PROTOCOLS[config.evaluate.protocol], _classes(config)
    needs = set(clipwise.needs)
    if "clip_pairs" in needs and protocol.consistency != "clip_pairs":
        return f"{metric.name} is no metric of {protocol.id}, which has clip_pcc; neurons-1 has it"
    if clipwise.short == "clip_pcc" and protocol.consistency != "clip_pcc":
        return f"{metric.name} is no metric of {protocol.id}, which has clip_pairs"
    if "fifty_way" in needs and protocol.fifty_way == "no":
        return f"{metric.name} is no metric of {protocol.id}, which has 2-way only"
    if "fifty_way" in needs and (lacking := list(lacking_classes(classes))):
        return f"{metric.name}: {'; '.join(lacking)}; use 2-way, or another classifier"
    if "motion_energy" in needs and not protocol.motion_energy:
        return f"{metric.name} is no metric of {protocol.id}; mindsweep-1 has it"
    if "motion_energy" in needs and (frames := _clip_shape(config)[0]) < ENERGY_FRAMES:
        return f"{metric.name} needs {ENERGY_FRAMES} frames; each clip has {frames}"
    if "object" in needs and (protocol.padding == "halves" or protocol.frames is not None):
        return f"{metric.name} is no metric of {protocol.id}, which chooses frames and leaves borders in"
    return None


def _classes(config: TrialConfig) -> dict[str, int]:
    """Return the number of classes of each classifier that lies in a folder; of a name on the hub it is not known."""
    counts = {role: class_count(getattr(config.evaluate, role), kind=role) for role in _CLASSIFIERS}
    return {role: count for role, count in counts.items() if count is not None}


def _clip_shape(config: TrialConfig) -> tuple[int, tuple[int, int]]:
    """Return the frames of each clip, and height and width."""
    dataset = config.dataset
    if hasattr(dataset, "frames") and hasattr(dataset, "resolution"):
        return dataset.frames, (dataset.resolution, dataset.resolution)
    _, frames, height, width, _ = load_clips(dataset).clips.shape
    return frames, (height, width)
