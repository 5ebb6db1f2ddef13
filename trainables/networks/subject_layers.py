"""A first layer per subject: networks that are trained on the fMRI of several subjects at once.

Subjects have different voxels, and different numbers of them. So each has a linear layer of its own from voxels to the
network's first hidden units, and all further weights are shared. After training the layers of the other subjects are
taken out, which leaves an ordinary network of one subject's voxels.

A batch of several subjects has their voxels side by side, [B, V_0 + ... + V_S-1 + S]: a row is zero but for the voxels
of its own subject and for a one in that subject's column at the end. So all rows go through one product of matrices,
whatever their subjects, which several workers and parts of a batch can share.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.networks.initial import initialise


class SubjectLayers(nn.Module):
    """One linear layer for each subject; the first one is that of the subject whose decoder is wanted."""

    def __init__(self, own: nn.Linear, others: Sequence[int]) -> None:
        """Put layers for subjects with `others` voxels, with torch's initial weights, beside the layer `own`."""
        super().__init__()
        more = (nn.Linear(voxels, own.out_features) for voxels in others)
        self.layers = nn.ModuleList((own, *more))

    @property
    def own(self) -> nn.Linear:
        """The layer that is left after training."""
        layer = self.layers[0]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, fmri: Tensor) -> Tensor:
        """Turn fMRI of the first subject [B, V_0], or of all side by side, into hidden units [B, W]."""
        if fmri.shape[-1] == self.own.in_features:
            hidden: Tensor = self.own(fmri)
            return hidden
        voxels = [int(layer.in_features) for layer in self._linear]
        columns = fmri[:, sum(voxels) :]
        # The columns say whose a row is, also after an activation: SmallPatchGenerator has one before its layer.
        fmri = torch.cat((fmri[:, : sum(voxels)], (columns != 0).to(fmri.dtype)), dim=1)
        biases = torch.stack([layer.bias for layer in self._linear], dim=1)
        return F.linear(fmri, torch.cat([*(layer.weight for layer in self._linear), biases], dim=1))

    @property
    def _linear(self) -> tuple[nn.Linear, ...]:
        return tuple(layer for layer in self.layers if isinstance(layer, nn.Linear))


def add_subject_layers(network: nn.Module, others: Sequence[int], *, init: str) -> None:
    """Give each further subject, with `others` voxels, a first layer in `network`, with the initial weights `init`.

    Raises:
        ValueError: The network does not say which of its layers read voxels.
    """
    reading = getattr(network, "voxel_layers", None)
    if reading is None:
        raise ValueError(
            f"voxels.subjects needs a first layer per subject, but {type(network).__name__} does not say which layers "
            "read voxels: give it a property `voxel_layers`, a tuple of its nn.Linear, or leave voxels.subjects out"
        )
    names = [name for name, module in network.named_modules() if any(module is layer for layer in reading)]
    for name in names:
        own = network.get_submodule(name)
        assert isinstance(own, nn.Linear)
        layers = SubjectLayers(own, others)
        for layer in layers.layers[1:]:
            initialise(layer, init)
        network.set_submodule(name, layers)


def subject_layers(network: nn.Module) -> Iterator[SubjectLayers]:
    """Yield the layers per subject of a network; none if it has one subject."""
    return (module for module in network.modules() if isinstance(module, SubjectLayers))


def choose_trained(network: nn.Module, parameters: Iterable[nn.Parameter], *, own: bool, shared: bool) -> None:
    """Let some of `parameters`, which training changes, have gradients, and the others none.

    Args:
        network: Has a layer per subject.
        parameters: Of the network.
        own: Whether the first subject's layer is trained, or those of the others.
        shared: Whether the weights of all subjects are trained.
    """
    layers = list(subject_layers(network))
    of_own = {id(p) for layer in layers for p in layer.own.parameters()}
    of_others = {id(p) for layer in layers for p in layer.parameters()} - of_own
    for parameter in parameters:
        is_own, is_others = id(parameter) in of_own, id(parameter) in of_others
        parameter.requires_grad_(own if is_own else not own if is_others else shared)


def take_out_subject_layers(network: nn.Module) -> None:
    """Leave of each layer per subject that of the first one, so that the network is an ordinary one."""
    names = [name for name, module in network.named_modules() if isinstance(module, SubjectLayers)]
    for name in names:
        layers = network.get_submodule(name)
        assert isinstance(layers, SubjectLayers)
        network.set_submodule(name, layers.own)
