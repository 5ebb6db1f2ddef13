"""Computes the metrics of every pair of reconstruction and truth, and of the controls `static` and `shuffled_fmri`."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from trainables.datasets.clip_names import natural
from trainables.datasets.errors import ClipError
from trainables.datasets.video_io import is_black, read_video, split_pair
from trainables.judging.controls import TRUTH, PairControl
from trainables.judging.pairing import Failure, Pairing, VideoFile, has_aspect_of, lasts_other_than
from trainables.judging.protocols import DEFAULT, PROTOCOLS, Protocol, VideoRole, classes_of
from trainables.judging.values import Value, clip_values
from trainables.metrics.clip import Clip
from trainables.metrics.clip_metrics import CLIP_METRICS, ENERGY_FRAMES, ClipMetric
from trainables.metrics.video import Networks, Reading, read_all

_ORDER_SEED = 0
_ROLES: tuple[VideoRole, VideoRole] = ("truth", "prediction")


@dataclass(frozen=True)
class PairJudge:
    """Computes the metrics of a pairing with the available networks."""

    pairing: Pairing
    networks: Networks
    legacy_flow: bool = False
    """Whether to compute `epe_legacy` too, which doubles the time."""
    threads: int = 1
    protocol: Protocol = PROTOCOLS[DEFAULT]

    @cached_property
    def classes(self) -> Mapping[str, int]:
        """The number of classes of each classifier."""
        return classes_of(self.networks, frames=self.pairing.frames, size=self.pairing.size)

    @cached_property
    def metrics(self) -> tuple[ClipMetric, ...]:
        """The metrics of the protocol that can be computed with the networks, of videos of so many frames."""
        return self.protocol.metrics(
            self.networks, self.classes.values(), legacy_flow=self.legacy_flow, frames=self.pairing.frames
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """What of the protocol is left out, and why."""
        frames = self.pairing.frames
        if not self.protocol.motion_energy or frames >= ENERGY_FRAMES:
            return ()
        return (f"Motion energy is left out: it needs {ENERGY_FRAMES} frames, but there are {frames}.",)

    def run(self, progress: Callable[[Sequence[str]], Iterable[str]] = iter) -> tuple[list[Value], list[Failure]]:
        """Return the values of all systems, controls, clips and metrics, and the problems with clips.

        Clips are visited in a random (seeded) order. For `shuffled_fmri`, each is also compared with the truth of the
        previous clip. Neighbouring clips of a film would be too similar for a chance level.

        Args:
            progress: Wraps the names of the clips, for example to show a progress bar.
        """
        names = sorted(
            {name for system in self.pairing.systems for name in system.clips if name in self.pairing.truths},
            key=natural,
        )
        random.Random(_ORDER_SEED).shuffle(names)
        other_truth = self._truth(names[-1]) if len(names) > 1 else None
        outcomes: list[Value | Failure] = []
        for name in progress(names):
            truth = self._truth(name)
            outcomes.extend([truth] if isinstance(truth, Failure) else self._of_clip(name, truth, other_truth))
            other_truth = truth
        values = [outcome for outcome in outcomes if isinstance(outcome, Value)]
        return values, [outcome for outcome in outcomes if isinstance(outcome, Failure)]

    def videos(self, name: str) -> dict[str, Clip]:
        """Return the videos of clip `name` at the common size: `truth`, then each system whose video is readable."""
        halves = {TRUTH: (self.pairing.truths[name], 0)}
        halves |= {system.name: (system.clips[name], 1) for system in self.pairing.systems if name in system.clips}
        videos = {}
        for label, (file, half) in halves.items():
            with suppress(ClipError):
                videos[label] = self._fitted(load_pair(file)[half], _ROLES[half])
        return videos

    def _truth(self, name: str) -> Reading | Failure:
        file = self.pairing.truths[name]
        try:
            return self._read(self._fitted(load_pair(file)[0], "truth"))[0]
        except ClipError as error:
            return Failure(TRUTH, name, str(file.path), str(error), False)

    def _of_clip(self, name: str, truth: Reading, other_truth: Reading | Failure | None) -> Iterator[Value | Failure]:
        clips: dict[str, Clip] = {}
        for system in self.pairing.systems:
            if name in system.clips:
                try:
                    clips[system.name] = self._fitted(load_pair(system.clips[name])[1], "prediction")
                except ClipError as error:
                    yield Failure(system.name, name, str(system.clips[name].path), str(error), False)
        readings = dict(zip(clips, self._read(*clips.values()), strict=True))
        for system in self.pairing.systems:
            if system.name not in readings:
                continue
            file, prediction = system.clips[name], readings[system.name]
            values = list(self._compare(system.name, "", name, truth, prediction))
            remarks = (*self._remarks(name, file, prediction.frames), *map(_undefined, values))
            yield from (Failure(system.name, name, str(file.path), remark, True) for remark in remarks if remark != "")
            yield from values
            yield from self._compare(system.name, "static", name, truth, prediction.static(self.networks))
            if isinstance(other_truth, Reading):
                yield from self._compare(system.name, "shuffled_fmri", name, other_truth, prediction)

    def _compare(
        self, system: str, control: PairControl, clip: str, truth: Reading, prediction: Reading
    ) -> Iterator[Value]:
        for outcome in clip_values(self.metrics, truth, prediction, threads=self.threads):
            yield Value(system, control, clip, *outcome)

    def _read(self, *clips: Clip) -> list[Reading]:
        return read_all(clips, self.networks, legacy_flow=self.legacy_flow, threads=self.threads)

    def _remarks(self, name: str, file: VideoFile, clip: Clip) -> Iterator[str]:
        """Yield problems with a reconstruction that is evaluated nevertheless."""
        if is_black(clip):
            yield "all pixels of the reconstruction are black"
        truth = self.pairing.truths[name]
        if lasts_other_than(file.seconds, truth.seconds):
            yield f"lasts {file.seconds:.2f} s, but its truth {truth.seconds:.2f} s; frames were compared nevertheless"

    def _fitted(self, frames: Clip, role: VideoRole) -> Clip:
        """Return `frames` with the size and number of frames of the pairing, as the protocol brings them there.

        Raises:
            ClipError: This would change the aspect ratio or add frames.
        """
        (height, width), (own_height, own_width) = self.pairing.size, frames.shape[1:3]
        if not has_aspect_of((own_height, own_width), (height, width)):
            raise ClipError(f"{own_height}x{own_width} has another aspect ratio than the common size {height}x{width}")
        if len(frames) < self.pairing.frames:
            hint = "; a GIF cannot contain a static video, because equal frames are merged" if len(frames) == 1 else ""
            raise ClipError(f"has {len(frames)} frame(s), but the common number is {self.pairing.frames}{hint}")
        return self.protocol.fitted(frames, role, frames=self.pairing.frames, size=self.pairing.size)


def _undefined(value: Value) -> str:
    return "" if value.value is not None else f"{CLIP_METRICS[value.metric].label} is undefined: {value.reason}"


def load_pair(file: VideoFile) -> tuple[Clip, Clip]:
    """Return truth and reconstruction of a side-by-side video. Any other video is returned twice."""
    frames = read_video(file.path).frames
    halves = split_pair(frames)
    return halves if halves is not None else (frames, frames)
