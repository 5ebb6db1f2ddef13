"""From video to fMRI: maps of a frozen network, reduced over place and time, and read by each voxel in its own way.

The way of reading, a map of places times a mix of channels, added over layers, is that of the same group's code for
images (WeizmannVision/SelfSuperReconst). The convolution over frames is ours: the code for video is not public.
"""

import math

import torch
from torch import Tensor, nn

from trainables.backbones.convolutional import ConvolutionalNetwork
from trainables.config.kupershmidt import SeeConfig
from trainables.networks.dropout import Dropout

_TIME_STRIDE = 2


class ClipEncoder(nn.Module):
    """Frames [B,F,3,H,W] in [0, 1] to fMRI [B,V]."""

    def __init__(self, config: SeeConfig, network: ConvolutionalNetwork, *, frames: int, voxels: int) -> None:
        """Build the untrained encoder.

        Args:
            config: The section `see`.
            network: Frozen. It is no part of the module: checkpoints do not hold it.
            frames: Frames of each clip.
            voxels: Values that are predicted.
        """
        super().__init__()
        self.config, self._network = config, (network,)
        self.layers = network.architecture.blocks[:4]
        side = config.resolution
        with torch.no_grad():
            shapes = {
                name: maps.shape[1:]
                for name, maps in network.maps(network.mean.new_zeros(1, 3, side, side), self.layers).items()
            }
        self.readers = nn.ModuleDict(
            {name: VoxelReader(config, shapes[name], frames=frames, voxels=voxels) for name in self.layers}
        )
        self.bias = nn.Parameter(torch.zeros(voxels))

    def forward(self, clips: Tensor) -> Tensor:
        """Return the predicted fMRI [B,V] of clips [B,F,3,H,W]."""
        maps = self._network[0].maps(clips.flatten(0, 1), self.layers)
        answers: Tensor = sum(
            (reader(maps[name].view(*clips.shape[:2], *maps[name].shape[1:])) for name, reader in self.readers.items()),
            self.bias,
        )
        return answers

    @torch.no_grad()
    def calibrate(self, clips: Tensor) -> None:
        """Let the maps of each layer have a mean square of 1 on clips [B,F,3,H,W]: layers differ by orders."""
        for name, maps in self._network[0].maps(clips.flatten(0, 1), self.layers).items():
            reader = self.readers[name]
            assert isinstance(reader, VoxelReader)
            reader.scale.copy_(maps.square().mean().sqrt().clamp_min(1e-6))


class VoxelReader(nn.Module):
    """Maps [B,F,C,h,w] of one layer to its part of the fMRI [B,V]."""

    scale: Tensor

    def __init__(self, config: SeeConfig, shape: torch.Size, *, frames: int, voxels: int) -> None:
        super().__init__()
        channels, height, width = shape
        stride = max(1, math.ceil(max(height, width) / config.largest_map))
        self.reduce = nn.Conv3d(channels, config.planes, 3, stride=(_TIME_STRIDE, stride, stride), padding=1)
        self.drop = Dropout(config.dropout)
        places = math.ceil(height / stride) * math.ceil(width / stride)
        times = math.ceil(frames / _TIME_STRIDE)
        self.place = nn.Parameter(torch.full((voxels, places), 1.0 / places))
        self.mix = nn.Parameter(torch.randn(voxels, config.planes * times) / math.sqrt(config.planes * times))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, maps: Tensor) -> Tensor:
        """Return the part of the fMRI [B,V]."""
        planes = torch.relu(self.reduce((maps / self.scale).transpose(1, 2)))  # [B,planes,times,h,w]
        flat = self.drop(planes.flatten(3).flatten(1, 2))  # [B,planes*times,places]
        seen = flat @ self.place.T  # [B,planes*times,V]
        return torch.einsum("bkv,vk->bv", seen, self.mix)
