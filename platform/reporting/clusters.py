"""What a report says of the clips: how many there are, in how many clusters, and what is not known of them."""

from platform.analysis.findings import Findings
from platform.reporting.words import counted
from platform.statistics.compare import Comparison
from platform.study.design import has_clips
from trainables.datasets.clusters import kind_of

UNKNOWN = "no clusters are recorded (evaluated by an earlier version), so each clip counts as independent"


def clips_text(comparison: Comparison) -> str:
    """Return `60 clips in 5 films`, or `60 clips` if they are independent."""
    clips = counted(comparison.sizes[2], "clip")
    if comparison.clusters == comparison.sizes[2]:
        return clips
    return f"{clips} in {counted(comparison.clusters, comparison.clustered)}"


def clips_fact(findings: Findings) -> str | None:
    """Return the number of test clips and of their clusters; None if no metric has values per clip."""
    of_clips = [values for name, values in findings.tables.items() if has_clips(name) and values.clips]
    if not of_clips:
        return None
    values = of_clips[0]
    if findings.result.own_clips:
        return f"{counted(len(values.clips), 'clip')} of its own in each seed"
    if not values.clusters:
        return f"{counted(len(values.clips), 'clip')}; {UNKNOWN}"
    clusters, kind = len(set(values.clusters)), kind_of(values.clusters)
    within = f" in {counted(clusters, kind)}" if clusters < len(values.clips) else ", each on its own"
    return f"{counted(len(values.clips), 'clip')}{within}"


def clusters_in_methods(findings: Findings) -> str | None:
    """Return how clusters are treated, for the methods paragraph; None if there are no values per clip."""
    fact = clips_fact(findings)
    if fact is None or findings.result.own_clips:
        return None
    clustered = {comparison.clustered for comparison in findings.declared if has_clips(comparison.metric)} - {"clip"}
    if not clustered:
        return f"Test clips: {fact}."
    (kind,) = sorted(clustered)[:1]
    return (
        f"Test clips: {fact}. Values are averaged within each {kind}, and a {kind} is the unit of all tests and "
        "intervals over clips."
    )
