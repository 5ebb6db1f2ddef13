"""What a design varies between its blocks: the seed of the training, and with `vary: [train, data]` the data, too.

The data of a block follow from its seed by one field of the data set: on a phantom `dataset.seed`, which draws clips,
brains and noise anew; on a folder or a prepared data set `dataset.resplit`, which draws training and validation clips
anew and leaves the test clips. The block with seed 0 has the data as the file describes them.
"""

from platform.statistics.population import Varied
from platform.study.design import Design
from trainables.config.data import DATASET_CONFIGS
from trainables.config.trial import TrialConfig

_RESPLIT = "resplit"


def data_field(kind: str) -> str | None:
    """Return the field of the data set `kind` that is varied; None if it has none or is not known here."""
    return getattr(DATASET_CONFIGS.get(kind), "varied_by", None)


def varied_of(design: Design) -> Varied:
    """Return what differs between the blocks of `design`."""
    if not design.varies_data:
        return "training"
    return "training clips" if _field_of_baseline(design) == _RESPLIT else "data set"


def _field_of_baseline(design: Design) -> str | None:
    return data_field(str(design.baseline.get("dataset.kind", "phantom")))


def config_of_block(config: TrialConfig, seed: int) -> TrialConfig:
    """Return `config` with the data of the block `seed`.

    Raises:
        ValueError: The data set has no field that varies it; `check_varied` reports this before.
    """
    field = data_field(config.dataset.kind)
    if field is None:
        raise ValueError(f"data sets of kind {config.dataset.kind} cannot be varied")
    dataset = config.dataset.model_copy(update={field: getattr(config.dataset, field) + seed})
    return config.model_copy(update={"dataset": dataset})


def varied_problem(config: TrialConfig, design: Design) -> str | None:
    """Return why the data of a design with the baseline `config` cannot be varied; None if they can or need not be."""
    if not design.varies_data:
        return None
    kind = config.dataset.kind
    if data_field(kind) is None:
        able = ", ".join(name for name in DATASET_CONFIGS if data_field(name) is not None)
        return f"data sets of kind {kind} cannot be varied; leave `data` out, or use one of: {able}"
    if varied_of(design) == "training clips":
        return None
    if "given" in {config.system, *(condition.overrides.get("system") for condition in design.conditions.values())}:
        return f"with data, each block of a {kind} has clips of its own, of which no videos are given; leave `data` out"
    if design.unit == "clips":
        return f"with data, each block of a {kind} has clips of its own, which no test over clips compares; use both"
    return None


def varied_in_words(design: Design, seeds: int) -> str:
    """Return what is varied between `seeds` blocks, and how, for plans and methods."""
    if not design.varies_data:
        return "training"
    fields = dict.fromkeys(f"dataset.{_field_of_baseline(part)}" for part in design.parts.values())
    last = design.seed + seeds - 1
    return f"training and data (the baseline's {' or '.join(fields)} + {design.seed} to {last}, one for each seed)"
