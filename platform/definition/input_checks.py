"""Checks what a study reads: the data set and the frozen networks."""

import logging
from collections.abc import Iterator
from dataclasses import replace

from platform.definition.config_errors import config_fields
from platform.definition.draft import Draft
from platform.errors import Problem
from trainables import backbones, datasets
from trainables.config.trial import TrialConfig
from trainables.graph import ancestors
from trainables.metrics.registry import METRICS

_log = logging.getLogger(__name__)


def check_inputs(draft: Draft, config: TrialConfig) -> Iterator[Problem]:
    """Tell what is wrong with the data set and the networks' sources, as far as the targets need them."""
    stages = ancestors(METRICS[name].stage for name in draft.target)
    if "data" in stages:
        report = datasets.check(config)
        for warning in report.warnings:
            _log.warning("%s", warning)
        for problem in report.errors:
            field = problem.where if problem.where in ("voxels.subject",) else "dataset.path"
            where = "" if field == problem.where else f"{problem.where}: "
            yield _written(draft, field, f"{where}{problem.what}; {problem.right}")
    if "features" in stages:
        try:
            backbones.fingerprint(config)
        except (ValueError, OSError) as error:
            field, _, what = str(error).partition(": ")  # it begins with the field
            yield _written(draft, field, what) if field in config_fields() else _written(draft, "backbones", str(error))


def _written(draft: Draft, field: str, what: str) -> Problem:
    """Return a problem at the place of `field`, which may be a section or nested, or else of its section."""
    for path in sorted(draft.source.places, key=len, reverse=True):
        dotted = ".".join(map(str, path[1:]))
        if path[0] == "base" and dotted != "" and f"{dotted}.".startswith(f"{field}."):
            return draft.problem(*path, what=what)
    return replace(draft.problem(what=what), key=field)
