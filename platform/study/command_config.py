"""A config from the settings of a command line, for verbs that run no study."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from platform.errors import UserError
from platform.study.config_errors import config_field, config_fields, explain
from platform.study.yaml_source import parse_value
from trainables.config.trial import TrialConfig, resolve


def config_with(settings: Sequence[str], *, base: Mapping[str, Any], example: str) -> TrialConfig:
    """Return the config of the overrides `base`, changed by `settings`, each KEY=VALUE; `example` shows one.

    Raises:
        UserError: A setting is not KEY=VALUE, or a field is unknown or has a value that it cannot have.
    """
    overrides = dict(base)
    for setting in settings:
        key, separator, text = setting.partition("=")
        if separator == "" or key == "":
            raise UserError(f"--set {setting}: must be KEY=VALUE, such as {example}")
        try:
            overrides[key] = parse_value(text)
        except UserError as error:
            raise UserError(f"--set {setting}: {text!r} is not a YAML value") from error
    try:
        return resolve(overrides)
    except ValidationError as error:
        raise UserError("\n".join(map(_line, error.errors()))) from error


def _line(entry: Any) -> str:
    key = config_field(entry)
    text = explain({**entry, "loc": tuple(key.split("."))}, config_fields())
    return f"{key}: {text}" if key != "" else text  # it is about several fields, which it names
