"""What is known of a stage, and of a kind of decoder: the entries of the tables in `trainables.stage_table`."""

from dataclasses import dataclass

SOLVED_KIND = "ridge"
"""`kind` of a decoder's section with which its stage is solved in closed form: without epochs, seed or workers."""
VIDEOS = "@videos"
"""Among the inputs of a stage: the stage that makes the videos of the trial's system."""


@dataclass(frozen=True)
class ChosenInput:
    """An input that a stage has only with one value of a field of its own section."""

    stage: str
    """Other than those that every trial of the system has. It may need no stage that the choosing one does not."""
    field: str
    """Dotted, such as `han.vae`."""
    value: str


@dataclass(frozen=True)
class Stage:
    """One step of a trial: a pure function of its config sections, its seed and its inputs."""

    name: str
    version: int
    """Increased when the same config would give another result. All runs of the stage are then executed again."""
    sections: tuple[str, ...]
    inputs: tuple[str, ...]
    """Other stages, or `VIDEOS`."""
    implementation: str
    guess: tuple[float, int]
    """Seconds and bytes of one run with the phantom preset, 60 clips, on two CPU cores. Used while no run is stored."""
    seeded: bool = False
    chosen: tuple[ChosenInput, ...] = ()
    """Further inputs, which the config chooses."""
    still: bool = False
    """Whether it makes one frame per clip: metrics that look at several frames together are None for its system."""
    makes: str | None = None
    """The system (`TrialConfig.system`) whose videos it makes, as `videos` and `index` in `videos.safetensors`."""
    builder: str | None = None
    """For a decoder, the reference of the function that builds its network again: see `trainables.saved`."""
    held_out: bool = False
    """Whether its metrics are of validation clips, and of test clips with the prefix `test_`. Those of decoders are."""
    cores: int = 1
    """CPUs of a shared stage run, if the cluster has them. More than 1 only if the result stays bit-identical."""
    gpu: bool = True
    """Whether it computes on a GPU, if it is granted one."""
    fingerprint: str | None = None
    """The reference of a function from `TrialConfig` to JSON values. They describe what affects the result and is not
    in the config, such as files. The function reads only the stage's own sections."""
    files: str | None = None
    """The reference of a function from `TrialConfig` to the paths of the files that the fingerprint stands for. The
    stage run is refused if they are others than it was planned with, or change while it reads."""
    plugin: str | None = None
    """The SHA-256 of the plug-in that the stage comes from. It is part of the identity."""

    @property
    def is_decoder(self) -> bool:
        """Whether it trains a decoder, whose metrics are computed on validation and on test clips."""
        return self.builder is not None

    @property
    def is_tested(self) -> bool:
        """Whether its metrics are of validation clips, and of test clips with the prefix `test_`."""
        return self.held_out or self.is_decoder


@dataclass(frozen=True)
class DecoderKind:
    """A kind of decoder that a plug-in adds: what the stage `stage` does if `kind` of its section is `name`."""

    stage: str
    name: str
    implementation: str
    plugin: str
    """The SHA-256 of the plug-in. It is part of the identity of runs of this kind."""
    section: str | None = None
    """The config section with the settings of this kind, beside that of the stage."""
    builder: str | None = None
    """As `Stage.builder`."""
    solved: bool = False
    """Whether it is solved without epochs, so that neither seed nor number of workers matters."""
