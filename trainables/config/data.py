"""Data sets and how voxels are read from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, get_args
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from trainables.config.base import Config, Count, Natural, NonNegative
from trainables.identity import CIRCUMSTANCE, DECIDES, SINCE, SPARES
from trainables.tables import Table

CLIPS = DECIDES("clips")
"""Decides clips and captions alone."""
BRAINS = DECIDES("data")
"""Decides fMRI and split alone: another value leaves clips and features as they are."""


class PhantomWorld(Config):
    """A small world of moving shapes whose brain is known (trainables/datasets/phantom)."""

    varied_by: ClassVar[str] = "seed"
    """The field that `vary: [train, data]` of an ablation changes from block to block."""
    seed: Natural = 0
    """Of the clips, the brains and the noise."""
    train_clips: Count = 2400
    """Clips that decoders are trained on."""
    validation_clips: Count = 120
    """Clips on which epochs and trials are compared."""
    test_clips: Count = 120
    """Clips that only the final metrics see."""
    unseen_combinations: Annotated[bool, SINCE(False), CLIPS] = False
    """Whether test clips show combinations of shape, colour and ground that no training or validation clip shows. Every
    shape, colour and ground, and every pair of them, is in training clips."""
    frames: Annotated[int, Field(ge=2), CLIPS] = 8
    """Frames per clip."""
    resolution: Annotated[int, Field(ge=32), CLIPS] = 64
    """Side of the clips, in pixels."""
    scene_clips: Annotated[Count, CLIPS, SINCE(1)] = 1
    """Neighbouring clips of one scene: they share object and ground, and differ in motion and place, as consecutive
    clips of a film do. Tests over clips take a scene as one unit. 1: all clips are independent."""
    subjects: Annotated[Count, BRAINS] = 3
    """Brains that see the same clips."""
    voxels: Annotated[int, Field(ge=64), BRAINS] = 900
    """Voxels per subject, shared out over the ROIs."""
    noise: Annotated[NonNegative, BRAINS] = 0.3
    """Standard deviation of the autocorrelated noise, in units of the signal's own at its peak."""
    repeats: Annotated[Count, BRAINS] = 2
    """How often validation and test clips are shown; training clips are shown once."""
    rest_tr: Annotated[Natural, BRAINS] = 3
    """Blank volumes between clips; 0 is continuous stimulation as in CC2017."""
    block_clips: Annotated[Count, BRAINS] = 20
    """Clips per block; splits are made of whole blocks, so no neighbours fall on both sides of one."""


class PhantomConfig(PhantomWorld):
    """The phantom: one shape moves from the first frame to the last."""

    kind: Literal["phantom"] = "phantom"
    """The data set: `phantom` and `appearing` are simulated, `folder` is read from files, `prepared` is what
    `python -m platform.prepare` has written, `across` trains on one and tests on another."""


class AppearingConfig(PhantomWorld):
    """The phantom whose shapes appear on an empty ground, and move faster.

    What a clip shows changes, so a first frame held cannot stand for it: with `phantom` it can, to every metric that
    judges frames one by one.
    """

    kind: Literal["appearing"] = "appearing"
    onset: Annotated[float, Field(gt=0.0, le=4.0)] = 1.0
    """When the shape appears, in frames of eight."""


def _absolute(path: Path) -> Path:
    """Return where `path` points from here: workers run in other folders."""
    return path.expanduser().absolute()


def _folder_or_uri(location: object) -> object:
    """Return where a folder lies from here, or the URI of a store. Raises `ValueError` for another URI."""
    scheme, is_uri, rest = str(location).partition("://")
    if not is_uri:
        return str(_absolute(Path(location))) if isinstance(location, str | Path) else location
    if scheme not in ("file", "s3") or not rest or "@" in rest.partition("/")[0]:
        raise ValueError("it must be a folder, file:///folder or s3://bucket/prefix, without credentials")
    if scheme == "s3":
        return str(location).rstrip("/")
    host, _, _ = rest.partition("/")
    if host not in ("", "localhost"):
        raise ValueError(f"{location} names the host {host!r}: a folder of this machine is written file:///folder")
    return str(Path(unquote(rest.removeprefix(host))))


class FolderConfig(Config):
    """Clips, captions and fMRI that a user brings (trainables/datasets/folder)."""

    varied_by: ClassVar[str] = "resplit"
    kind: Literal["folder"] = "folder"
    path: Annotated[Path, AfterValidator(_absolute), CIRCUMSTANCE]
    """Holds the captions, `fmri`, and the clips (GIF, MP4, or folders of PNG), these in its sub-folder `clips` if it
    has one. Clips are taken in natural order of their names: `clip2` before `clip10`. Content decides identity."""
    captions: Annotated[str, CLIPS] = "captions.json"
    """A file in `path`: JSON list or `{clip: caption}`, CSV with the columns `name` and `caption`, or TXT with one
    caption per line. Lists and lines follow the order of the clips."""
    fmri: Annotated[str, BRAINS] = "fmri.npy"
    """A file in `path`, float [clips, voxels] or [subjects, clips, voxels]: row i answers clip i."""
    simulate: Annotated[bool, BRAINS] = False
    """Run the phantom's forward model on these clips instead of reading `fmri`."""
    frames: Annotated[int, Field(ge=2), CLIPS] = 8
    """Frames per clip, evenly spaced over it."""
    resolution: Annotated[int, Field(ge=32), CLIPS] = 64
    """Side to which clips are resized, in pixels."""
    crop: Annotated[tuple[Natural, Natural, Natural, Natural] | None, CLIPS] = None
    """Top, bottom, left, right in pixels: what is kept of every frame before it is resized (side-by-side GIFs)."""
    validation_fraction: Annotated[float, Field(gt=0.0, lt=0.5), BRAINS] = 0.15
    """Share of the clips on which epochs and trials are compared."""
    test_fraction: Annotated[float, Field(gt=0.0, lt=0.5), BRAINS] = 0.15
    """Share of the clips that only the final metrics see."""
    block_clips: Annotated[Count | None, BRAINS] = None
    """Neighbouring clips that must stay on one side of a split. None: 20, or as many as leave 20 blocks."""
    split: Annotated[str | None, BRAINS] = None
    """A file in `path` with a split of your own, which fractions and blocks then leave alone: CSV with the columns
    `name` and `split`, or JSON `{clip: split}`; train, validation, test or excluded. The captions' CSV may serve. A CSV
    may have a column `cluster` (such as the film): tests over clips then take a cluster as one unit."""
    seed: Annotated[Natural, BRAINS] = 0
    """Of the split, and of what is simulated."""
    resplit: Annotated[Natural, BRAINS, SINCE(0)] = 0
    """Seed with which training and validation blocks are drawn anew from both; test clips stay. 0: the split as it
    is."""
    voxels: Annotated[int, Field(ge=64), BRAINS] = 900
    """Voxels to simulate; only with `simulate`."""
    noise: Annotated[NonNegative, BRAINS] = 0.3
    """As in the phantom; only with `simulate`."""

    @model_validator(mode="after")
    def _crop_keeps_something(self) -> Self:
        if self.crop is not None and not (self.crop[0] < self.crop[1] and self.crop[2] < self.crop[3]):
            raise ValueError(
                f"crop must be [top, bottom, left, right] with top < bottom, left < right, but got {self.crop}"
            )
        return self


class PreparedConfig(Config):
    """A data set that `python -m platform.prepare` has written and checked (docs/data-format.md)."""

    varied_by: ClassVar[str] = "resplit"
    kind: Literal["prepared"] = "prepared"
    path: Annotated[
        str, BeforeValidator(_folder_or_uri), CIRCUMSTANCE, Field(json_schema_extra={"values": "folder or URI"})
    ]
    """A folder that holds `dataset.json`, or the URI that `python -m platform.prepare upload` was given (`s3://` or
    `file://`), from which each machine fetches the data set once. Frames, resolution, subjects, lag and split are those
    of the data set. Content decides identity."""
    resplit: Annotated[Natural, BRAINS, SINCE(0)] = 0
    """As in a folder: seed with which training and validation blocks are drawn anew. 0: the split of the data set."""


def phantom_unless_given(value: Any) -> Any:
    """Return the section `dataset` with the kind `phantom` if it names no kind."""
    return {"kind": "phantom", **value} if isinstance(value, Mapping) else value


SingleDataset: TypeAlias = PhantomConfig | AppearingConfig | FolderConfig | PreparedConfig
_Side = Annotated[
    SingleDataset,
    Field(discriminator="kind", json_schema_extra={"values": "kind and fields of a data set"}),
    BeforeValidator(phantom_unless_given),
]


class AcrossConfig(Config):
    """Trained on one data set and tested on another, by the atlas regions that both name (datasets/across.py)."""

    kind: Literal["across"] = "across"
    train: _Side
    """The data set of the training and validation clips."""
    test: _Side
    """The data set of the test clips. Its training clips only standardise its fMRI."""
    train_subject: Annotated[Natural, BRAINS] = 0
    """Number of the subject of `train`, from 0; `voxels.subject` is 0."""
    test_subject: Annotated[Natural, BRAINS] = 0
    """Number of the subject of `test`, from 0."""


AnyDataset: TypeAlias = SingleDataset | AcrossConfig
"""The kinds of data set; `datasets/kinds.py` says what reads or makes each."""


def parts_of(dataset: AnyDataset) -> tuple[SingleDataset, ...]:
    """Return the data sets that `dataset` consists of: the one of training and the one of testing, or itself."""
    return (dataset.train, dataset.test) if isinstance(dataset, AcrossConfig) else (dataset,)


DatasetConfig = Annotated[AnyDataset, Field(discriminator="kind"), BeforeValidator(phantom_unless_given)]
DATASET_CONFIGS: Mapping[str, type[Config]] = Table(
    "dataset_configs", {config.model_fields["kind"].default: config for config in get_args(AnyDataset)}
)
"""By kind."""


def _each_once(subjects: tuple[int, ...]) -> tuple[int, ...]:
    """Return `subjects` in ascending order, so that one choice has one identity. Raises `ValueError` for doublets."""
    if len(set(subjects)) < len(subjects):
        raise ValueError(f"each subject must be named once, but got {list(subjects)}")
    return tuple(sorted(subjects))


class VoxelsConfig(Config):
    """Which fMRI rows go with which clip, and how they are standardised."""

    subject: Natural = 0
    """Number of the subject, from 0."""
    lag_tr: Natural | None = None
    """Volumes between a clip's onset and the volume that answers it. None takes what the data set says: 2 (of 2 s) for
    phantom and simulated fMRI. fMRI that comes with one row per clip, as CC2017 is published, allows 0 alone."""
    detrend: bool = True
    """Take slow drift out of each run: a polynomial of degree 1 + duration / 150 s, as AFNI does. fMRI that comes with
    one row per clip has no runs and is left as it is."""
    normalise: Literal["train_stats", "test_stats"] = "train_stats"
    """`test_stats` standardises the test set by itself, as the released code does (mind-animator.md B27)."""
    fitted_on: Annotated[Literal["train", "train_and_validation"], SINCE("train")] = "train"
    """Clips whose mean and standard deviation standardise the voxels. The released code takes those of validation, too
    (mind-animator.md B27)."""
    average_repeats: bool = True
    """Average the answers to a clip that was shown several times; otherwise the first counts alone."""
    window: Annotated[Count, SINCE(1), SPARES("premask")] = 1
    """Volumes per clip: the one that answers it and those that follow it in its run, as in Mind-Video. The last one is
    repeated where a run ends, or the next one answers a clip of another block or split. Decoders of windows read all of
    them, all others the first alone."""
    top: Annotated[Count | None, SINCE(None)] = None
    """Keep this many voxels: those whose responses to training clips that were shown twice correlate best (`repeat_r`
    in a prepared data set, mind-animator.md B26). Test clips play no part. None: all that vary."""
    own_clips: Annotated[Natural | None, SINCE(None)] = None
    """Number of training clips of `voxels.subject` whose fMRI is used, at least 2: the first ones with a volume, in the
    order of the data set. The fMRI of the others decides nothing: neither mean, standard deviation and drift nor any
    decoder. Validation and test clips stay. None: all."""
    subjects: Annotated[tuple[Natural, ...], AfterValidator(_each_once), SINCE(())] = ()
    """Numbers of the subjects on whose training clips the three decoders are trained. `voxels.subject` is one of them,
    whether it is named or not. Each subject has a first layer of its own in each decoder, so numbers of voxels may
    differ. Validation, test and all videos are those of `voxels.subject`. Empty: that subject alone."""

    @property
    def others(self) -> tuple[int, ...]:
        """The subjects that are trained on beside `subject`, in ascending order."""
        return tuple(number for number in self.subjects if number != self.subject)

    @model_validator(mode="after")
    def _the_own_layer_is_trained(self) -> Self:
        if self.own_clips is not None and self.own_clips < 2:
            raise ValueError(
                f"voxels.own_clips must be at least 2, but got {self.own_clips}: whatever others are trained on, a "
                "subject's first layer is trained on its own clips, and a voxel's standard deviation takes two"
            )
        return self

    @model_validator(mode="after")
    def _voxels_are_chosen_by_used_clips(self) -> Self:
        if self.own_clips is not None and self.top is not None:
            raise ValueError(
                f"voxels.top chooses voxels by all training clips of a subject, so it cannot go with voxels.own_clips "
                f"({self.own_clips}): leave one of them out"
            )
        return self
