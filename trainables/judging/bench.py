"""The networks and metrics that judge the videos of a trial, on the GPU if there is one, and on all granted cores.

Each network runs on one core, because more would change the last digits of what it says. Several videos are read at a
time instead.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch

from trainables.config.video import EvaluateConfig
from trainables.judging.protocols import PROTOCOLS, classes_of, lacking_classes, too_few_classes
from trainables.loop import pick_device
from trainables.metrics.clip import Clip, Floats, map_in_threads
from trainables.metrics.clip_metrics import HUE_METRICS, ClipMetric
from trainables.metrics.flow import Grey
from trainables.metrics.networks import load_networks
from trainables.metrics.video import Networks, Reading, Role, flows_of, reading_of
from trainables.threads import one_core


@dataclass(frozen=True)
class Bench:
    """Networks, metrics and shuffles for the evaluation of a split."""

    networks: Networks
    metrics: tuple[ClipMetric, ...]
    shuffles: int
    seed: int
    remarks: tuple[str, ...] = ()
    """Which metrics of the protocol are left out, and why."""
    average_gate: bool = False
    """Whether CLIP-pcc is gated by the mean VIFI-score of the system's clips."""
    threads: int = 1
    """Videos that are read at a time, and frames that are compared at a time. It changes no bit of a value."""

    def read_all(self, videos: Mapping[str, Clip]) -> dict[str, Reading]:
        """Return the readings of several videos `[F, H, W, 3]`."""
        with one_core():
            readings = map_in_threads(self._read, videos.values(), threads=self.threads)
        return dict(zip(videos, readings, strict=True))

    def read(self, clip: Clip) -> Reading:
        """Return the reading of one video `[F, H, W, 3]`."""
        with one_core():
            return self._read(clip)

    def _read(self, clip: Clip) -> Reading:
        torch.set_num_threads(1)  # a setting of each thread
        return reading_of(clip, self.networks)

    def hold(self, reading: Reading) -> Reading:
        """Return the reading of the static video of the first frame."""
        with one_core():
            return reading.static(self.networks)

    def flow(self, clip: Clip) -> Mapping[Grey, Floats]:
        """Return the flow of `clip` alone, as in its reading."""
        return flows_of([clip], threads=self.threads)[0]


def judge_sources(config: EvaluateConfig) -> Mapping[Role, str]:
    """Return the source of each network."""
    return {
        "image_classifier": config.image_classifier,
        "video_classifier": config.video_classifier,
        "vifi": config.vifi,
        "clip": config.clip,
    }


def load_bench(config: EvaluateConfig, *, shape: tuple[int, tuple[int, int]], objects: bool) -> Bench:
    """Load the networks and the metrics of the protocol.

    Args:
        config: Names protocol and networks.
        shape: Frames of each video, and their height and width.
        objects: Whether the clips show known objects.

    Raises:
        ValueError: A network cannot be loaded, or has too few classes for the protocol.
    """
    frames, size = shape
    networks = load_networks(judge_sources(config), frames=frames, device=pick_device("auto"))
    protocol, classes = PROTOCOLS[config.protocol], classes_of(networks, frames=frames, size=size)
    for reason in too_few_classes(protocol, classes):
        raise ValueError(f"evaluate.protocol: {protocol.id} cannot be kept: {reason}")
    return Bench(
        networks,
        defined(protocol.metrics(networks, classes.values(), objects=objects), config),
        config.shuffles,
        config.seed,
        remarks=() if protocol.fifty_way == "no" else tuple(lacking_classes(classes)),
        average_gate=config.clip_pcc_gate == "average",
        threads=torch.get_num_threads(),
    )


def defined(metrics: Iterable[ClipMetric], config: EvaluateConfig) -> tuple[ClipMetric, ...]:
    """Return `metrics` as `config` defines them."""
    options: dict[str, Mapping[str, int]] = {}
    if config.image_trials is not None:
        options["two_way_i"] = {"trials": config.image_trials}
    if config.video_trials is not None:
        options["two_way_v"] = {"trials": config.video_trials}
    if config.hue_frames is not None:
        options |= {name: {"frames": config.hue_frames} for name in HUE_METRICS}
    if config.clip_pcc_gate == "average":
        options["clip_pcc"] = {"gated": 0}
    return tuple(replace(metric, options=options.get(metric.short, metric.options)) for metric in metrics)
