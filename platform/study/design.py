"""The design of an ablation: conditions, subjects, seeds, and the comparisons that were declared in advance.

It is plain data. The registered design is in the store, and the analysis of the trials reads it from there.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from trainables.config.base import Config, Count, Natural
from trainables.identity import SINCE
from trainables.metrics.clip_metrics import EVALUATE

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
"""Metrics of Mindsweep to the paper's columns. The paper's hue-pcc is not a correlation (mind-animator.md B31)."""

Unit = Literal["clips", "seeds", "both"]
Source = Literal["train", "data"]
"""A source of chance: `train`, the training seed; `data`, the data set or its training clips."""
Figure = Literal["embedding_map"]
"""`embedding_map`: the CLIP embeddings that the semantic decoder predicts, in two dimensions (Fig. 21)."""


class Condition(Config):
    """A named set of differences to the baseline."""

    overrides: dict[str, Any] = Field(default_factory=dict)
    """Dotted field to value, on top of the baseline."""
    seed_offset: Natural = 0
    """Added to every seed; not 0 only in null checks, in which only the seeds differ."""
    origin: str = "conditions"
    """The key of the file that the condition comes from."""


class DeclaredComparison(Config):
    """A comparison of a condition with the baseline in one metric."""

    condition: str
    metric: str


class DataSet(Config):
    """One of several data sets in which every condition runs."""

    name: str
    overrides: dict[str, Any]
    """Dotted field to value, on top of the baseline; a condition is on top of both."""
    subjects: tuple[Natural, ...]
    """Numbers of its subjects."""


class Published(Config):
    """The rows and columns of a published table that correspond to the conditions and metrics of an ablation."""

    table: str
    """A file in `ablations/published`."""
    key: str | None = None
    """The column that names the rows; by default the first one."""
    where: dict[str, str] = Field(default_factory=dict)
    """Column to value: only rows with these values are used."""
    conditions: dict[str, str] = Field(default_factory=dict)
    """Condition to row of the table."""
    subject: Annotated[Natural | None, SINCE(None)] = None
    """Number of the subject here whose values stand beside the table's; None: the mean over all subjects."""
    dataset: Annotated[str | None, SINCE(None)] = None
    """With several data sets: the one whose results are compared with this table. None: each of them is."""
    rows: Annotated[tuple[str, ...], SINCE(())] = ()
    """Rows that no condition here corresponds to, shown as they were published."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Metric to column of the table; by default the columns of `COLUMNS` that the table has."""
    scale: float = 1.0
    """Factor from the unit of the metrics to the unit of the table: 100 for percent."""
    other_data: bool = True
    """Whether the table was measured on another data set, as is the case for the phantom."""


class Factorial(Config):
    """A full factorial design."""

    fields: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Dotted field to its levels."""
    generators: tuple[()] = ()
    """Always empty. Earlier versions had fractional factorials, and the hash of a registered design includes it."""
    cells: dict[str, str] = Field(default_factory=dict)
    """Combination of levels, as text, to the condition (or the baseline) that has it."""
    aliases: tuple[()] = ()
    """Always empty, for the same reason as `generators`."""


class Design(Config):
    """A whole ablation, generated conditions included."""

    baseline: dict[str, Any]
    """Dotted overrides for all trials."""
    conditions: dict[str, Condition]
    """By name, without the baseline; empty if only the baseline is run over subjects and seeds."""
    order: tuple[str, ...] = ()
    """The order of the conditions in tables and figures; by default the order in the file. JSON records sort keys."""
    subjects: tuple[Natural, ...]
    seeds: Count
    """Registered number of seeds for each condition and subject."""
    seed: Natural
    """The first seed; the others follow it. Conditions share their seeds, so comparisons are paired."""
    primary: tuple[str, ...]
    """Primary metrics (`stage.metric`) of the ablation."""
    family: tuple[DeclaredComparison, ...]
    """The declared comparisons; all others are exploratory."""
    unit: Unit
    """The unit over which a comparison is tested: clips, seeds, or both."""
    alpha: float
    """Significance level of the whole family, after Holm's correction."""
    margins: dict[str, float]
    """Metric to the largest difference that counts as equal (TOST)."""
    tolerance: float
    """Largest relative difference to a published value that counts as agreement in size."""
    published: tuple[Published, ...] = ()
    factorial: Factorial | None = None
    figures: tuple[Figure, ...] = ()
    """Additional figures in the report."""
    vary: Annotated[tuple[Source, ...], SINCE(("train",))] = ("train",)
    """What differs between blocks, and so the population that a claim speaks of."""
    datasets: Annotated[tuple[DataSet, ...], SINCE(())] = ()
    """Several data sets in which every condition runs, in the order of the file. Empty: the one of the baseline."""
    sharing: Annotated[Count, SINCE(1)] = 1
    """Of the part in one of several data sets: how many of them share the family."""

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
    def parts(self) -> Mapping[str, "Design"]:
        """Name of each data set to the design in it: its baseline, subjects and published tables.

        Trials are paired within a part only. Without several data sets there is one part, which has no name.
        """
        return {data.name: self._in(data) for data in self.datasets} if self.datasets else {"": self}

    def _in(self, data: DataSet) -> "Design":
        changed = {
            "baseline": {**self.baseline, **data.overrides},
            "subjects": data.subjects,
            "published": tuple(table for table in self.published if table.dataset in (None, data.name)),
            "datasets": (),
            "sharing": len(self.datasets),
        }
        return self.model_copy(update=changed)

    @property
    def family_size(self) -> int:
        """The number of comparisons that Holm's method adjusts together: those of all data sets."""
        return len(self.family) * max(self.sharing, len(self.datasets))

    @property
    def varies_data(self) -> bool:
        """Whether each block has data of its own (`platform.study.varied`)."""
        return "data" in self.vary

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics of comparisons and tables."""
        return self.primary

    @property
    def tested_over(self) -> str:
        """The unit over which the family is tested, as text; "seeds" if no metric has values per clip."""
        if not any(has_clips(comparison.metric) for comparison in self.family):
            return "seeds"
        return "seeds and clips" if self.unit == "both" else self.unit

    def is_declared(self, condition: str, metric: str) -> bool:
        """Return whether the comparison is part of the registered family; all others are exploratory."""
        return DeclaredComparison(condition=condition, metric=metric) in self.family

    def overrides(self, condition: str, subject: int) -> dict[str, Any]:
        """Return the dotted overrides of `condition` for `subject`."""
        extra = {} if condition == BASELINE else self.conditions[condition].overrides
        return {**self.baseline, **extra, "voxels.subject": subject}

    def in_words(self, condition: str) -> tuple[str, ...]:
        """Return the overrides of `condition` as `field: value`, for the baseline relative to the defaults."""
        overrides = self.baseline if condition == BASELINE else self.conditions[condition].overrides
        offset = self.seed_offset(condition)
        return (*(f"{name}: {value}" for name, value in overrides.items()), *((f"seeds + {offset}",) if offset else ()))

    def seed_offset(self, condition: str) -> int:
        """Return the number that `condition` adds to every seed."""
        return 0 if condition == BASELINE else self.conditions[condition].seed_offset


def split_of(metric: str) -> tuple[str, str]:
    """Return the split and the name of an `evaluate` metric in per_clip.parquet."""
    name = metric.removeprefix(f"{EVALUATE}.")
    return ("test", name.removeprefix("test_")) if name.startswith("test_") else ("validation", name)


def has_clips(metric: str) -> bool:
    """Return whether `metric` has one value per clip; others (P of the shuffle test, retrieval) have one per trial."""
    return metric.startswith(f"{EVALUATE}.") and not split_of(metric)[1].startswith("shuffle_")


def block_name(subject: int, seed: int, dataset: str = "") -> str:
    """Return the name of a block; `dataset` is empty if the design names no data sets."""
    return f"{dataset}-u{subject}-s{seed}".removeprefix("-")


def trial_name(condition: str, subject: int, seed: int, dataset: str = "") -> str:
    """Return the name of a trial. It is unique since names of data sets have no `-`."""
    return f"{condition}-{block_name(subject, seed, dataset)}"
