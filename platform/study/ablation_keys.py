"""The keys of an ablation file and their types."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr, field_validator

from platform.study.design import Figure, Published, Source, Unit
from platform.study.search_origin import SearchOrigin
from trainables.config.base import Config, Count, Natural

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]

DataSetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]{0,39}$")]
"""Without `-`, which separates the parts of a trial's name."""


class FactorialFile(Config):
    """The fields of a full factorial: every combination of their levels is a condition."""

    fields: Annotated[dict[str, Annotated[tuple[Any, ...], Field(min_length=2)]], Field(min_length=1)]


class AblationFile(Config):
    """The keys of an ablation file. Overrides are read separately, because their locations are needed."""

    primary: Annotated[tuple[StrictStr, ...], Field(min_length=1)]
    """Primary metrics (`stage.metric`) of the ablation."""
    plugins: tuple[StrictStr, ...] = ()
    """Plug-ins: Python files, relative to this file, or names of entry points of installed packages (docs/api.md)."""
    seeds: Annotated[Count, Field(le=1000)]
    """Number of training seeds for each condition and subject."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] = 0
    """The first training seed; the others follow it."""
    subjects: Annotated[tuple[Natural, ...], Field(min_length=1)] = (0,)
    """Numbers of the subjects, from 0."""
    datasets: dict[DataSetName, dict[str, Any]] = Field(default_factory=dict)
    """Several data sets: a name to its overrides on top of the baseline (`dataset.kind`, `dataset.path`, ...) and, if
    they differ, its `subjects`. Every condition runs in each of them and is compared within it only."""
    baseline: dict[str, Any] = Field(default_factory=dict)
    """Overrides for all conditions, dotted or nested."""
    conditions: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Name of a condition to its overrides on top of the baseline."""
    components: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Component of the system to the overrides that remove it."""
    leave_one_out: tuple[StrictStr, ...] = ()
    """Components that are removed one at a time: conditions `wo_<component>`."""
    factorial: FactorialFile | None = None
    """Config fields whose levels are combined."""
    one_at_a_time: StrictStr | None = None
    """A named set of settings (`released_code`, ...). Each condition applies one of them."""
    family: Literal["all"] | dict[str, Literal["all"] | tuple[StrictStr, ...]] = "all"
    """Condition to the metrics in which it is compared; `all`: every condition in every primary metric."""
    vary: Annotated[tuple[Source, ...], Field(min_length=1)] = ("train",)
    """What differs between the seeds: `train` alone, or `train` and `data` (on a phantom another `dataset.seed`, else
    training and validation blocks drawn anew). A claim holds for what was varied."""
    unit: Unit = "both"
    """The unit over which a comparison is tested: clips, training seeds, or both."""
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    """Significance level of the whole family of comparisons, after Holm's correction."""
    margins: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    """Metric to the largest difference that counts as equal."""
    tolerance: Annotated[float, Field(gt=0.0)] = 0.1
    """Largest relative difference to a published value that counts as agreement."""
    published: tuple[Published, ...] = ()
    """Rows of published tables that the report shows next to the results."""
    needs: StrictStr = ""
    """The data set that the published table was measured on, in words. Plans on simulated data say that it is so."""
    figures: tuple[Figure, ...] = ()
    """Additional figures in the report."""
    search: SearchOrigin | None = None
    """The sweep that chose the conditions, and what it measured there; `platform.confirm` writes it."""

    @field_validator("published", mode="before")
    @classmethod
    def _one_table(cls, value: Any) -> Any:
        return (value,) if isinstance(value, Mapping) else value

    @field_validator("vary", mode="after")
    @classmethod
    def _varies_the_training(cls, value: tuple[Source, ...]) -> tuple[Source, ...]:
        if "train" not in value or len(set(value)) < len(value):
            raise ValueError(f"must be [train] or [train, data], but got [{', '.join(value)}]")
        return ("train", "data") if "data" in value else ("train",)

    @field_validator("primary", "plugins", "vary", mode="before")
    @classmethod
    def _one_metric(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value
