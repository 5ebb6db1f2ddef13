"""A generator from fMRI to video, and discriminators of single frames and of videos that see the fMRI.

Our design: of f-CVGAN it is known that it has a generator and separate spatial and temporal discriminators, and that
its videos have 8 frames of 64 pixels (docs/systems/fcvgan_like.md).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from trainables.config.gan import FRAME_FACTOR, SIDE_FACTOR, GanConfig
from trainables.networks.spectral import normalised

_SLOPE = 0.2
_DEPTHS = (1, 2, 4, 8)
"""Channels of the layers, in multiples of `gan.base`."""


@dataclass(frozen=True)
class VideoShape:
    """The size of generated videos."""

    frames: int
    side: int

    def first_map(self) -> tuple[int, int, int]:
        """Return frames, height and width of the generator's first map.

        Raises:
            ValueError: The layers cannot make so many frames.
        """
        if self.frames % FRAME_FACTOR != 0:
            raise ValueError(
                f"gan makes videos whose number of frames is a multiple of {FRAME_FACTOR}, but the clips have "
                f"{self.frames} frames; set dataset.frames"
            )
        return self.frames // FRAME_FACTOR, self.side // SIDE_FACTOR, self.side // SIDE_FACTOR


class Generator(nn.Module):
    """fMRI [B,V] and noise [B,Z] to a video [B,3,F,H,W] between -1 and 1."""

    def __init__(self, config: GanConfig, *, voxels: int, shape: VideoShape) -> None:
        super().__init__()
        self.first = (_DEPTHS[-1] * config.base, *shape.first_map())
        self.read = nn.Sequential(nn.Linear(voxels, config.embedding), nn.LeakyReLU(_SLOPE))
        self.start = nn.Linear(config.embedding + config.noise, torch.Size(self.first).numel())
        widths = [depth * config.base for depth in reversed(_DEPTHS)]
        layers: list[nn.Module] = [nn.LeakyReLU(_SLOPE)]
        for before, after in pairwise(widths):
            layers += [nn.ConvTranspose3d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        last = nn.ConvTranspose3d(widths[-1], 3, (3, 4, 4), stride=(1, 2, 2), padding=1)
        self.grow = nn.Sequential(*layers, last, nn.Tanh())

    def forward(self, fmri: Tensor, noise: Tensor) -> Tensor:
        """Return videos [B,3,F,H,W]."""
        start = self.start(torch.cat((self.read(fmri), noise), dim=1))
        video: Tensor = self.grow(start.unflatten(1, self.first))
        return video


class Discriminator(nn.Module):
    """Scores [B] of frames [B,3,H,W] or videos [B,3,F,H,W] as answers to fMRI [B,V]: higher is more real.

    The fMRI enters by projection: an inner product with what the convolutions saw (Miyato and Koyama 2018,
    arXiv:1802.05637).
    """

    def __init__(self, config: GanConfig, layers: list[nn.Module], *, features: int, voxels: int) -> None:
        super().__init__()
        self.see = nn.Sequential(*layers, nn.Flatten(), normalised(nn.Linear(features, config.embedding)))
        self.activate = nn.LeakyReLU(_SLOPE)
        self.score = normalised(nn.Linear(config.embedding, 1))
        conditional = config.condition_discriminators
        self.read = normalised(nn.Linear(voxels, config.embedding)) if conditional else None
        self.scale = config.embedding**-0.5

    def forward(self, shown: Tensor, fmri: Tensor) -> Tensor:
        """Return the scores [B]."""
        seen = self.activate(self.see(shown))
        score: Tensor = self.score(seen)[:, 0]
        return score if self.read is None else score + self.scale * (seen * self.read(fmri)).sum(dim=1)


def image_discriminator(config: GanConfig, *, voxels: int, shape: VideoShape) -> Discriminator:
    """Return the discriminator of single frames: four convolutions with stride 2."""
    layers: list[nn.Module] = []
    before = 3
    for width in (depth * config.base for depth in _DEPTHS):
        layers += [normalised(nn.Conv2d(before, width, 4, stride=2, padding=1)), nn.LeakyReLU(_SLOPE)]
        before = width
    _, height, width = shape.first_map()
    return Discriminator(config, layers, features=before * height * width, voxels=voxels)


def video_discriminator(config: GanConfig, *, voxels: int, shape: VideoShape) -> Discriminator:
    """Return the discriminator of videos: three convolutions with stride 2 in time and space, then one in space."""
    layers: list[nn.Module] = []
    before = 3
    for depth in _DEPTHS:
        only_space = depth == _DEPTHS[-1]
        kernel, stride, padding = ((1, 4, 4), (1, 2, 2), (0, 1, 1)) if only_space else ((4,) * 3, (2,) * 3, (1,) * 3)
        convolution = nn.Conv3d(before, depth * config.base, kernel, stride=stride, padding=padding)
        layers += [normalised(convolution), nn.LeakyReLU(_SLOPE)]
        before = depth * config.base
    return Discriminator(config, layers, features=before * torch.Size(shape.first_map()).numel(), voxels=voxels)


class Gan(nn.Module):
    """Generator and discriminators. `forward` is what the generator's loss needs, `judge` what theirs does."""

    def __init__(self, config: GanConfig, *, voxels: int, shape: VideoShape) -> None:
        super().__init__()
        self.generator = Generator(config, voxels=voxels, shape=shape)
        kinds = {"image": image_discriminator, "video": video_discriminator}
        self.discriminators = nn.ModuleDict(
            {name: build(config, voxels=voxels, shape=shape) for name, build in kinds.items() if getattr(config, name)}
        )

    def forward(self, fmri: Tensor, noise: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Return generated videos [B,3,F,H,W] and the scores of the discriminators [B,discriminators].

        Args:
            fmri: [B,V].
            noise: [B,Z].
            frame: int64 [B], the frame of each video that the discriminator of images sees.
        """
        video = self.generator(fmri, noise)
        return video, self.scores(video, fmri, frame)

    def judge(self, real: Tensor, fmri: Tensor, noise: Tensor, frame: Tensor) -> Tensor:
        """Return the scores [B,2,discriminators] of true videos [B,3,F,H,W], and of generated ones."""
        with torch.no_grad():
            generated = self.generator(fmri, noise)
        return torch.stack([self.scores(video, fmri, frame) for video in (real, generated)], dim=1)

    def scores(self, video: Tensor, fmri: Tensor, frame: Tensor) -> Tensor:
        """Return the scores [B,discriminators] of videos."""
        picture = video[torch.arange(len(video), device=video.device), :, frame]
        shown = {"image": picture, "video": video}
        found = [network(shown[name], fmri) for name, network in self.discriminators.items()]
        return torch.stack(found, dim=1) if found else video.new_zeros(len(video), 0)
