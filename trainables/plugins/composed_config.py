"""The class of a trial's config with the sections, systems, kinds of decoder and kinds of data set of plug-ins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from trainables.config.base import Config
from trainables.config.data import AnyDataset, phantom_unless_given
from trainables.config.trial import TrialConfig
from trainables.datasets.kinds import Reader
from trainables.stage_definition import DecoderKind
from trainables.tables import Additions


@dataclass(frozen=True)
class DatasetEntry:
    """An entry of the table of data set kinds whose functions a plug-in brings."""

    name: str
    description: str
    reader: Reader


def built_in_kinds(stage: str) -> tuple[str, ...]:
    """Return our values of `kind` in the section of a decoder stage."""
    return tuple(get_args(_section(stage).model_fields["kind"].annotation))


def _section(stage: str) -> type[Config]:
    return type(TrialConfig.model_fields[stage].get_default())


def composed_config(
    settings: Mapping[str, type[Config]],
    *,
    systems: Sequence[str],
    kinds: Sequence[DecoderKind],
    datasets: Sequence[type[Config]],
) -> type[TrialConfig]:
    """Return `TrialConfig` with a section for each of `settings`, and more values of `system` and of each `kind`."""
    fields: dict[str, Any] = {name: (model, model()) for name, model in settings.items()}
    if systems:
        fields["system"] = _with_values(TrialConfig, "system", systems)
    for stage in dict.fromkeys(kind.stage for kind in kinds):
        section = _section(stage)
        names = [kind.name for kind in kinds if kind.stage == stage]
        composed = _composed(section, {"kind": _with_values(section, "kind", names)})
        fields[stage] = (composed, composed())
    if datasets:
        default = TrialConfig.model_fields["dataset"].get_default()
        fields["dataset"] = (_any_dataset(datasets), default)
    return _composed(TrialConfig, fields)


class StoredSection(Config):
    """A section of a plug-in whose code is not executed: any fields."""

    model_config = ConfigDict(frozen=True, extra="allow")


def stored_config(sections: Sequence[str], datasets: Sequence[str], additions: Additions) -> type[TrialConfig]:
    """Return a class that reads stored configs of plug-ins without their code. It checks none of their fields."""
    settings = dict.fromkeys(sections, StoredSection)
    systems = [stage.makes for stage in additions["stages"].values() if stage.makes is not None]
    kinds = [_composed(StoredSection, {"kind": (Literal[name], name)}) for name in datasets]
    return composed_config(settings, systems=systems, kinds=[*additions["decoder_kinds"].values()], datasets=kinds)


def is_composed(model: type[BaseModel]) -> bool:
    """Return whether `composed_config` made the class, so that it has no source text."""
    return model.__module__ == __name__


def _composed(base: type[Any], fields: Mapping[str, Any]) -> type[Any]:
    model: type[BaseModel] = create_model(base.__name__, __base__=base, __module__=__name__, **fields)
    return model


def _with_values(model: type[BaseModel], field: str, more: Sequence[str]) -> tuple[Any, Any]:
    """Return type and default of a field of `model`, a `Literal`, with more values."""
    info = model.model_fields[field]
    values = (*get_args(info.annotation), *more)
    return Annotated[(Literal[values], *info.metadata)] if info.metadata else Literal[values], info.default


def _any_dataset(more: Sequence[type[Config]]) -> Any:
    kinds: Any = Union[(*get_args(AnyDataset), *more)]
    return Annotated[kinds, Field(discriminator="kind"), BeforeValidator(phantom_unless_given)]
