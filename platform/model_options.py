"""Command-line options from a config class: a field becomes an option, its docstring the help, pydantic checks it."""

import argparse
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from platform.errors import UserError
from trainables.config.base import Config
from trainables.preparation.options import POSITIONAL

Model = TypeVar("Model", bound=Config)


def add_model_options(parser: argparse.ArgumentParser, model: type[Config]) -> None:
    """Add an option for each field of `model`; a field that is marked as positional is taken without a name."""
    for name, field in model.model_fields.items():
        flag = name if POSITIONAL in field.metadata else option_name(name, field)
        parser.add_argument(flag, **_argument(name, field, positional=not flag.startswith("-")))


def option_name(name: str, field: FieldInfo) -> str:
    """Return how the command line spells a field: `block_clips` is `--block-clips`, a tuple `subjects` `--subject`."""
    is_repeated = get_origin(field.annotation) is tuple
    return f"--{(name.removesuffix('s') if is_repeated else name).replace('_', '-')}"


def _argument(name: str, field: FieldInfo, *, positional: bool) -> dict[str, Any]:
    """Return the arguments of `add_argument` for a field. Values stay texts: pydantic converts and checks them."""
    help_text = " ".join(_help(field).split())
    if positional:
        return {"metavar": name.upper(), "help": help_text}
    shared: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "help": help_text}
    annotations = [field.annotation, *get_args(field.annotation)]
    if bool in annotations:
        return {**shared, "action": argparse.BooleanOptionalAction}
    literal = next((kind for kind in annotations if get_origin(kind) is Literal), None)
    if literal is not None:
        return {**shared, "choices": get_args(literal), "metavar": "|".join(map(str, get_args(literal)))}
    metavar = "N" if field.annotation is int else "X" if field.annotation is float else name.upper()
    required = {"required": True} if field.is_required() else {}
    if get_origin(field.annotation) is tuple:
        return {**shared, **required, "action": "append", "metavar": name.rstrip("s").upper()}
    return {**shared, **required, "metavar": metavar}


def _help(field: FieldInfo) -> str:
    text = (field.description if field.description is not None else "").replace("%", "%%")
    if field.is_required() or field.default in ("", None, ()) or "(default" in text:
        return text
    return f"{text} (default: {field.default})"


def model_from(arguments: argparse.Namespace, model: type[Model]) -> Model:
    """Return the options that a verb has parsed. Raises `UserError`, which names each option that is wrong."""
    values = {name: value for name, value in vars(arguments).items() if name in model.model_fields}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError("\n".join(_line(model, entry) for entry in error.errors())) from error


def _line(model: type[Config], entry: Mapping[str, Any]) -> str:
    name = str(entry["loc"][0]) if entry["loc"] else ""
    if name not in model.model_fields:
        return str(entry["msg"])
    field = model.model_fields[name]
    label = name.upper() if POSITIONAL in field.metadata else option_name(name, field)
    return f"{label}: {entry['msg']}, but got {entry['input']!r}"
