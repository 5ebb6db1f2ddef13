"""Checks the inputs of a study: the data set and the pretrained networks."""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product

from platform.errors import Problem
from platform.study.config_errors import config_fields
from platform.study.yaml_source import KeyPath, Source
from trainables import datasets
from trainables.backbones.sources import is_unpinned
from trainables.config.presets import unread_fields
from trainables.config.trial import WEIGHT_FIELDS, TrialConfig
from trainables.config.video import DEFAULT_PROTOCOL
from trainables.datasets.errors import some
from trainables.datasets.kinds import WITHOUT_ANSWER
from trainables.graph import ancestors, resolve_reference
from trainables.imported.weights_folder import unused_weights
from trainables.metrics.clip_metrics import EVALUATE
from trainables.stage_table import STAGES

_log = logging.getLogger(__name__)

_DATA_STAGES = ("clips", "data")
_GIVEN = "given.path"


def check_inputs(
    source: Source,
    config: TrialConfig,
    *,
    stages: Iterable[str],
    systems: Iterable[str],
    sections: Sequence[KeyPath],
) -> Iterator[Problem]:
    """Yield the problems of the data set, given videos and pretrained networks, if `stages` need them.

    Args:
        source: The file of the study.
        config: The resolved config.
        stages: The stages that report the study's metrics.
        systems: The systems whose videos trials make.
        sections: The parts of the file with the overrides of config fields, the decisive one first.
    """
    needed = ancestors(stages, systems=systems)
    if "clips" in needed:
        problems = [*_data_problems(config)]
        if "given" in needed and not problems:
            problems = [(_GIVEN, message) for message in given_problems(config)]
        for field, message in problems:
            yield _problem_at(source, sections, field, message)
        if EVALUATE in needed and not problems and config.evaluate.protocol != DEFAULT_PROTOCOL:
            for field, message in _protocol_problems(config):
                yield _problem_at(source, sections, field, message)
    _warn_of_unpinned(config, needed)
    _warn_of_unread_profile(config, needed)
    _warn_of_phantom_judges(config, needed)
    for field, message in (*network_problems(config, needed), *_unused_weights(config, needed)):
        yield _problem_at(source, sections, field, message)


def _warn_of_unpinned(config: TrialConfig, stages: Iterable[str]) -> None:
    """Log which networks of the hub have no commit: the identity of a stage run does not tell their versions."""
    sections = {section for name in stages for section in STAGES[name].sections}
    for field in WEIGHT_FIELDS:
        section, _, name = field.partition(".")
        value = getattr(getattr(config, section), name)
        if section in sections and is_unpinned(value):
            _log.warning(
                "%s: %s names no commit, so stored results are reused when its owner changes the weights; "
                "%s@COMMIT fixes one version",
                field,
                value,
                value.partition("@")[0],
            )


def _warn_of_phantom_judges(config: TrialConfig, stages: Collection[str]) -> None:
    """Log which networks judge videos of another data set, though they were trained on the phantom's alone."""
    judges = [field for field in WEIGHT_FIELDS if field.startswith("evaluate.")]
    own = [field for field in judges if getattr(config.evaluate, field.partition(".")[2]) == "phantom"]
    if EVALUATE in stages and config.dataset.kind in WITHOUT_ANSWER and own:
        _log.warning(
            "%s: phantom, a small network that was trained on the phantom's clips alone; its scores of other videos "
            "mean little; name networks as in docs/cc2017.md",
            ", ".join(own),
        )


_DECODERS = ("semantic", "structure", "motion")


def _warn_of_unread_profile(config: TrialConfig, stages: Iterable[str]) -> None:
    """Log which settings of the released code a decoder does not read: another kind of network has no use for them."""
    if config.profile != "released_code":
        return
    for stage in set(stages).intersection(_DECODERS):
        kind = getattr(config, stage).kind
        if fields := unread_fields(stage, kind):
            _log.warning(
                "profile: released_code sets %s, but %s.kind: %s does not read them; leave %s.kind out, or do not "
                "expect them to count",
                some(fields),
                stage,
                kind,
                stage,
            )


def _data_problems(config: TrialConfig) -> Iterator[tuple[str, str]]:
    """Yield the field and the message of each error of the data set. Warnings are logged."""
    report = datasets.check(config)
    for warning in report.warnings:
        _log.warning("%s", warning)
    files = "dataset.path" if "path" in type(config.dataset).model_fields else "dataset"
    for problem in report.errors:
        where, _, place = problem.where.partition(": ")
        is_field = where == files or where in config_fields()
        field, place = (where, place) if is_field else (files, problem.where)
        yield field, f"{place}: {problem.what}; {problem.right}" if place != "" else f"{problem.what}; {problem.right}"


def voxel_problems(config: TrialConfig) -> Iterator[tuple[str, str]]:
    """Yield the field and the message of each field of the section `voxels` that does not fit the data set."""
    for problem in datasets.check(config).errors:
        if problem.where.startswith("voxels."):
            yield problem.where, f"{problem.what}; {problem.right}"


def network_problems(config: TrialConfig, stages: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the field and the message of each pretrained network that `stages` need and that cannot be used."""
    for reference in dict.fromkeys(STAGES[name].fingerprint for name in stages if name not in (*_DATA_STAGES, "given")):
        try:
            resolve_reference(reference)(config) if reference is not None else None
        except (ValueError, OSError) as error:
            field, _, message = str(error).partition(": ")  # it begins with the field
            yield (field, message) if field in config_fields() else ("backbones", str(error))


def _unused_weights(config: TrialConfig, stages: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the field and the message of imported weights that the decoder of the study's base does not use."""
    for stage in set(stages).intersection(_DECODERS):
        try:
            reason = unused_weights(config, stage)
        except ValueError:  # one of `network_problems`
            continue
        if reason is not None:
            yield f"{stage}.weights", reason


def given_problems(config: TrialConfig, *, subjects: Sequence[int] | None = None) -> Iterator[str]:
    """Yield what is wrong with the videos in `given.path`. That some will be resized is a warning."""
    from trainables.judging.given_videos import check_given  # it reads videos

    report = check_given(config, subjects=subjects)
    for warning in report.warnings:
        _log.warning("%s", warning)
    yield from (f"{problem.what}; {problem.right}" for problem in report.errors)


def _protocol_problems(config: TrialConfig) -> Iterator[tuple[str, str]]:
    from trainables.judging.protocol_checks import protocol_problems  # it imports what reads videos

    yield from protocol_problems(config)


def _problem_at(source: Source, sections: Sequence[KeyPath], field: str, message: str) -> Problem:
    """Return a problem at the location of `field`, which may be a section, or else without a line.

    What the command line sets is at line 0, and is decisive.
    """
    set_apart = {path for path in source.locations if path[-1:] == (field,) and source.location(path).line == 0}
    paths = sorted(source.locations, key=lambda path: (path in set_apart, len(path)), reverse=True)
    for section, path in product(sections, paths):
        dotted = ".".join(map(str, path[len(section) :]))
        if path[: len(section)] == section and dotted != "" and f"{dotted}.".startswith(f"{field}."):
            return source.problem(path, message)
    return replace(source.problem((), message), key=field)
