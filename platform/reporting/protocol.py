"""The protocol by which the videos of an ablation were judged, for captions and facts of its report."""

from collections.abc import Mapping
from typing import Any

from platform.analysis.collect import AblationResult
from platform.study.design import BASELINE
from trainables.config.video import protocol_name, recorded_protocol
from trainables.metrics.clip_metrics import EVALUATE


def judges_videos(result: AblationResult) -> bool:
    """Return whether a primary metric is of videos."""
    return any(name.startswith(f"{EVALUATE}.") for name in result.design.primary)


def protocol_of_trials(result: AblationResult) -> str:
    """Return the protocol of the baseline with what was changed of it, and that of each condition with another one."""
    usual = protocol_name(evaluate_of_trials(result))
    others = {name: other for name in result.design.names if (other := _name(result, name)) not in ("", usual)}
    return "; ".join((usual, *(f"{name}: {other}" for name, other in others.items())))


def evaluate_of_trials(result: AblationResult) -> Mapping[str, Any]:
    """Return the section `evaluate` of the recorded config of the baseline; empty if there is none."""
    evaluate = _config(result, BASELINE).get("evaluate")
    return evaluate if isinstance(evaluate, Mapping) else {}


def _config(result: AblationResult, condition: str) -> Mapping[str, Any]:
    """Return the recorded config of a trial of `condition`; empty if there is none."""
    return next((trial.config for (name, *_), trial in result.trials.items() if name == condition and trial.config), {})


def _name(result: AblationResult, condition: str) -> str:
    config = _config(result, condition)
    return recorded_protocol(config) if config else ""


def caption(title: str, result: AblationResult) -> str:
    """Return `title` of a table with the protocol, if its values are of videos."""
    return f"{title} (protocol {protocol_of_trials(result)})" if judges_videos(result) else title
