"""What the files of sweeps and of ablations have in common: their keys and their overrides are checked the same way."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from pydantic import ValidationError

from platform.errors import Problem, refuse
from platform.study.config_errors import config_problems
from platform.study.overrides import LocatedValue
from platform.study.space_checks import conversion_problem
from platform.study.yaml_source import KeyPath, Source
from trainables.config.base import Config
from trainables.config.trial import TrialConfig, resolve

File = TypeVar("File", bound=Config)
Explanation = Callable[[ValidationError, Source], Iterable[Problem]]
"""Explains the errors of a file's keys."""


def file_keys(
    kind: type[File], source: Source, *, section: str, problems: Sequence[Problem], explanation: Explanation
) -> File:
    """Return the keys of a file. Its `section` of overrides is left empty, since it is checked separately.

    Raises:
        UserError: With all problems, including the earlier `problems`.
    """
    try:
        return kind.model_validate({**source.data, section: {}})
    except ValidationError as error:
        refuse([*problems, *explanation(error, source)])
        raise AssertionError from error


def overridden_config(
    source: Source, overrides: Mapping[str, LocatedValue], problems: list[Problem]
) -> TrialConfig | None:
    """Return the config of the overrides. If it has problems, append them to `problems` and return None."""
    try:
        return resolve({field: override.value for field, override in overrides.items()})
    except ValidationError as error:
        paths: dict[str, KeyPath] = {field: override.path for field, override in overrides.items()}
        problems += config_problems(error, source=source, paths=paths)
        return None


def conversion_problems(
    source: Source, overrides: Mapping[str, LocatedValue], config: TrialConfig
) -> Iterator[Problem]:
    """Yield an error for each override whose value the config converted to another type, such as `"4"` to 4."""
    for field, override in overrides.items():
        message = conversion_problem(field, override.value, config)
        if message is not None:
            yield source.problem(override.path, message)
