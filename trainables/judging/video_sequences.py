"""Videos of many clips that are read, or made of others, when one of them is looked at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trainables.datasets.base import ClipSequence
from trainables.metrics.clip import Clip


class VideoSequence(Protocol):
    """The videos of n clips, uint8 [F,H,W,3] each, all of one size. An array [n,F,H,W,3] is one."""

    def __len__(self) -> int:
        """Return n."""

    def __getitem__(self, row: int, /) -> Clip:
        """Return the video of one clip."""


@dataclass(frozen=True)
class StoredVideos:
    """Some of the videos in a file, brought to one size on reading."""

    stored: ClipSequence
    rows: Sequence[int]
    """Where in `stored` each lies."""
    fit: Callable[[Clip], Clip]
    """Brings a video to the common size."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int, /) -> Clip:
        """Read one video."""
        at = self.rows[row]
        return self.fit(np.asarray(self.stored[at : at + 1][0]))


@dataclass(frozen=True)
class StaticVideos:
    """The first frames of other videos, held."""

    of: VideoSequence

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, row: int, /) -> Clip:
        """Return the first frame of one video, as often as it has frames."""
        video = self.of[row]
        return np.broadcast_to(video[:1], video.shape)


@dataclass(frozen=True)
class ControlVideos:
    """A control that a plug-in makes from the truth and the reconstruction of each clip."""

    name: str
    truth: VideoSequence
    reconstruction: VideoSequence
    make: Callable[[Clip, Clip], Clip]

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, row: int, /) -> Clip:
        """Make one video. Raises `ValueError` if it has another size or type than the truth."""
        truth = self.truth[row]
        video = np.asarray(self.make(truth, self.reconstruction[row]))
        if video.dtype != np.uint8 or video.shape != truth.shape:
            raise ValueError(
                f"the control {self.name} is {video.dtype} {list(video.shape)}; it must be uint8 {list(truth.shape)}"
            )
        return video


@dataclass(frozen=True)
class ReorderedVideos:
    """Other videos in another order."""

    of: VideoSequence
    order: Sequence[int]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, row: int, /) -> Clip:
        """Return the video that takes this place."""
        return self.of[self.order[row]]


@dataclass(frozen=True)
class RepeatedVideo:
    """One video for every clip."""

    video: Clip
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int, /) -> Clip:
        """Return the video."""
        return self.video


@dataclass(frozen=True)
class VideosOfClip(Mapping[str, Clip]):
    """The videos of one clip by name, each read when it is looked at."""

    sequences: Mapping[str, VideoSequence]
    row: int

    def __getitem__(self, name: str, /) -> Clip:
        """Return the video of the system `name`."""
        return self.sequences[name][self.row]

    def __contains__(self, name: object, /) -> bool:
        return name in self.sequences

    def __iter__(self) -> Iterator[str]:
        return iter(self.sequences)

    def __len__(self) -> int:
        return len(self.sequences)
