"""The protocol by which the videos of an ablation were judged, for captions and facts of its report."""

from platform.analysis.collect import AblationResult
from platform.study.design import BASELINE
from trainables.config.video import EvaluateConfig
from trainables.metrics.clip_metrics import EVALUATE

DEFAULT = EvaluateConfig().protocol


def judges_videos(result: AblationResult) -> bool:
    """Return whether a primary metric is of videos."""
    return any(name.startswith(f"{EVALUATE}.") for name in result.design.primary)


def protocol_of_trials(result: AblationResult) -> str:
    """Return the id of the protocol of all trials: conditions with another one are refused.

    Trials of earlier versions have no such field; they were judged by what the default names.
    """
    configs = [trial.config for (name, _, _), trial in result.trials.items() if name == BASELINE and trial.config]
    section = configs[0].get(EVALUATE, {}) if configs else {}
    return str(section.get("protocol", DEFAULT))


def caption(title: str, result: AblationResult) -> str:
    """Return `title` of a table with the protocol, if its values are of videos."""
    return f"{title} (protocol {protocol_of_trials(result)})" if judges_videos(result) else title
