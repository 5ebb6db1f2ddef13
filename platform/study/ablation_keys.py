"""The keys of an ablation file and their types."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr, field_validator

from platform.study.design import Figure, Published, Unit
from trainables.config.base import Config, Count, Natural

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]


class FactorialFile(Config):
    """The fields whose levels are combined, each level with each."""

    fields: Annotated[dict[str, Annotated[tuple[Any, ...], Field(min_length=2)]], Field(min_length=1)]


class AblationFile(Config):
    """The keys of an ablation file. Overrides are read apart, since their places matter."""

    primary: Annotated[tuple[StrictStr, ...], Field(min_length=1)]
    """Metrics (`stage.metric`) that the ablation is about."""
    seeds: Annotated[Count, Field(le=1000)]
    """How many training seeds each condition and subject gets."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] = 0
    """The first training seed; the others follow it."""
    subjects: Annotated[tuple[Natural, ...], Field(min_length=1)] = (0,)
    """Numbers of the subjects, from 0."""
    baseline: dict[str, Any] = Field(default_factory=dict)
    """Overrides that hold for every condition, dotted or nested."""
    conditions: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Name of a condition to its overrides on the baseline."""
    components: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Part of the system to the overrides that take it away."""
    leave_one_out: tuple[StrictStr, ...] = ()
    """Components of which each is taken away by itself: conditions `wo_<component>`."""
    factorial: FactorialFile | None = None
    """Config fields whose levels are combined."""
    one_at_a_time: StrictStr | None = None
    """A named set of settings (`released_code`, ...) of which each is switched on by itself."""
    family: Literal["all"] | dict[str, Literal["all"] | tuple[StrictStr, ...]] = "all"
    """Condition to the metrics in which it is compared; `all` is every condition in every primary metric."""
    unit: Unit = "both"
    """Over what a comparison must hold: clips, training seeds, or both."""
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    """Level of the whole family of comparisons, after Holm's correction."""
    margins: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    """Metric to the largest difference that counts as equal."""
    tolerance: Annotated[float, Field(gt=0.0)] = 0.1
    """Share of a published number by which ours may miss it and still agree."""
    published: tuple[Published, ...] = ()
    """Which rows of a published table stand beside ours."""
    figures: tuple[Figure, ...] = ()
    """What the report draws beside its usual figures."""

    @field_validator("published", mode="before")
    @classmethod
    def _one_table(cls, value: Any) -> Any:
        return (value,) if isinstance(value, Mapping) else value

    @field_validator("primary", mode="before")
    @classmethod
    def _one_metric(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value
