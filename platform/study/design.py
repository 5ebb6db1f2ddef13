"""The design of an ablation: what is compared with what, on which subjects and seeds, and what was declared beforehand.

Plain data: the frozen design lies in the store, and whoever judges the trials reads it from there.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from trainables.config.base import Config, Count, Natural
from trainables.metrics.registry import EVALUATE

BASELINE = "baseline"
"""The name of the condition that overrides nothing."""

COLUMNS: Mapping[str, str] = {
    "evaluate.test_two_way_i": "two_way_i",
    "evaluate.test_two_way_v": "two_way_v",
    "evaluate.test_vifi": "vifi_score",
    "evaluate.test_ssim": "ssim",
    "evaluate.test_psnr": "psnr",
    "evaluate.test_hue_cos_legacy": "hue_pcc",
    "evaluate.test_clip_pcc": "clip_pcc",
    "evaluate.test_epe": "epe",
}
"""Our metrics to the columns of the paper's tables. Their hue-pcc is no correlation (mind-animator.md B31)."""

Unit = Literal["clips", "seeds", "both"]
Figure = Literal["embedding_map"]
"""`embedding_map`: the CLIP embeddings that the semantic decoder predicts, in two dimensions (Fig. 21)."""


class Condition(Config):
    """What differs from the baseline, under one name."""

    overrides: dict[str, Any] = Field(default_factory=dict)
    """Dotted field to value, on top of the baseline."""
    seed_offset: Natural = 0
    """Added to every seed; other than 0 only where chance alone is to differ (null checks)."""
    origin: str = "conditions"
    """Which key of the file it comes from."""


class DeclaredComparison(Config):
    """A condition against the baseline in one metric."""

    condition: str
    metric: str


class Published(Config):
    """Which rows and columns of a published table our conditions and metrics stand beside."""

    table: str
    """A file in `ablations/published`."""
    key: str | None = None
    """The column that names the rows; by default the first one."""
    where: dict[str, str] = Field(default_factory=dict)
    """Column to value: which rows of the table are meant at all."""
    conditions: dict[str, str] = Field(default_factory=dict)
    """Our condition to the table's row."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Our metric to the table's column; by default those of `COLUMNS` that the table has."""
    scale: float = 1.0
    """What our values are multiplied by to have the table's unit: 100 for percent."""
    other_data: bool = True
    """Whether the table was measured on other data than ours, as it is on the phantom."""


class Factorial(Config):
    """What a factorial design consists of."""

    fields: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Dotted field to its levels."""
    generators: tuple[()] = ()
    """Of a fraction of a factorial, which earlier versions could run. The hash of every registered design holds it."""
    cells: dict[str, str] = Field(default_factory=dict)
    """Levels in words to the condition (perhaps the baseline) that has them."""
    aliases: tuple[()] = ()
    """Of a fraction, as `generators`."""


class Design(Config):
    """A whole ablation, generated conditions included."""

    baseline: dict[str, Any]
    """Dotted overrides that hold for every trial."""
    conditions: dict[str, Condition]
    """By name, without the baseline; empty where the baseline is merely replicated over subjects and seeds."""
    order: tuple[str, ...] = ()
    """The conditions in the order of tables and figures, by default as they stand: records keep no order of keys."""
    subjects: tuple[Natural, ...]
    seeds: Count
    """How many seeds each condition and subject was registered with."""
    seed: Natural
    """The first one; the others follow it. Equal in all conditions, so that what is compared is paired."""
    primary: tuple[str, ...]
    """Metrics (`stage.metric`) that the ablation is about."""
    family: tuple[DeclaredComparison, ...]
    """The declared comparisons; all others are exploratory."""
    unit: Unit
    """Over what a comparison must hold: clips, seeds, or both."""
    alpha: float
    """Level of the whole family, after Holm."""
    margins: dict[str, float]
    """Metric to the largest difference that counts as none (TOST)."""
    tolerance: float
    """Fraction of a published number by which ours may miss it and still agree in size."""
    published: tuple[Published, ...] = ()
    factorial: Factorial | None = None
    figures: tuple[Figure, ...] = ()
    """What the report draws beside its usual figures."""

    @model_validator(mode="before")
    @classmethod
    def _as_they_stand(cls, value: Any) -> Any:
        return {"order": tuple(value.get("conditions", ())), **value} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _order_names_all(self) -> Self:
        if sorted(self.order) != sorted(self.conditions):
            raise ValueError(f"order must name each condition once, but got {', '.join(self.order)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All conditions in order, the baseline first."""
        return (BASELINE, *self.order)

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics that a comparison or a table is about."""
        return self.primary

    @property
    def tested_over(self) -> str:
        """Over what the family is tested, in words: numbers of a trial as a whole know no clips."""
        if not any(has_clips(comparison.metric) for comparison in self.family):
            return "seeds"
        return "seeds and clips" if self.unit == "both" else self.unit

    def is_declared(self, condition: str, metric: str) -> bool:
        """Tell whether the comparison is of the frozen family; all others are exploratory."""
        return DeclaredComparison(condition=condition, metric=metric) in self.family

    def overrides(self, condition: str, subject: int) -> dict[str, Any]:
        """Return the dotted overrides that make the config of `condition` for `subject`."""
        extra = {} if condition == BASELINE else self.conditions[condition].overrides
        return {**self.baseline, **extra, "voxels.subject": subject}

    def in_words(self, condition: str) -> tuple[str, ...]:
        """Return what `condition` sets, as `field: value`: the baseline beside defaults, others beside the baseline."""
        given = self.baseline if condition == BASELINE else self.conditions[condition].overrides
        offset = self.seed_offset(condition)
        return (*(f"{name}: {value}" for name, value in given.items()), *((f"seeds + {offset}",) if offset else ()))

    def seed_offset(self, condition: str) -> int:
        """Return what `condition` adds to every seed."""
        return 0 if condition == BASELINE else self.conditions[condition].seed_offset


def split_of(metric: str) -> tuple[str, str]:
    """Return the split and the name of an `evaluate` metric in per_clip.parquet."""
    name = metric.removeprefix(f"{EVALUATE}.")
    return ("test", name.removeprefix("test_")) if name.startswith("test_") else ("validation", name)


def has_clips(metric: str) -> bool:
    """Tell whether `metric` is measured clip by clip; others (P of the shuffle test, retrieval) belong to a trial."""
    return metric.startswith(f"{EVALUATE}.") and not split_of(metric)[1].startswith("shuffle_")


def trial_name(condition: str, subject: int, seed: int) -> str:
    """Return the name of a trial."""
    return f"{condition}-u{subject}-s{seed}"
