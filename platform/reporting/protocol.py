"""The protocol by which the videos of an ablation were judged, for captions and facts of its report."""

from platform.analysis.collect import AblationResult
from platform.study.design import BASELINE
from trainables.config.video import recorded_protocol
from trainables.metrics.clip_metrics import EVALUATE


def judges_videos(result: AblationResult) -> bool:
    """Return whether a primary metric is of videos."""
    return any(name.startswith(f"{EVALUATE}.") for name in result.design.primary)


def protocol_of_trials(result: AblationResult) -> str:
    """Return the id of the protocol of all trials: conditions with another one are refused."""
    configs = [trial.config for (name, _, _), trial in result.trials.items() if name == BASELINE and trial.config]
    return recorded_protocol(configs[0] if configs else {})


def caption(title: str, result: AblationResult) -> str:
    """Return `title` of a table with the protocol, if its values are of videos."""
    return f"{title} (protocol {protocol_of_trials(result)})" if judges_videos(result) else title
