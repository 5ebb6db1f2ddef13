"""Loads the networks whose convolutions are read: plain tensors of a folder or a hub name, without a library's class.

config.json names the `architecture` (`trainables.backbones.convolutional.ARCHITECTURES`), `num_classes` and, in
`pretrained_cfg`, `input_size`, `mean` and `std`, as timm writes them. model.safetensors has torchvision's names of
tensors, or timm's names for VGG.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.backbones.architectures import CONFIG, FIELD, WEIGHTS, check_files, read_config
from trainables.backbones.convolutional import ConvolutionalNetwork
from trainables.backbones.sources import WeightSource, locate, warn_of_commit

_CPU = torch.device("cpu")
_TIMM = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
"""timm's names of VGG's fully connected layers, of which the first two are convolutions, to torchvision's."""


def load_layers(source: str, *, device: torch.device = _CPU) -> ConvolutionalNetwork:
    """Load `phantom`, a folder or a hub name. The network is in evaluation mode, and nothing of it is trained.

    Raises:
        ValueError: There is no such folder, config.json names no known architecture or lacks a field, or the file of
            weights is damaged, lacks tensors, or has tensors of another shape.
    """
    located = locate(source, kind="layers", field=FIELD)
    described = read_config(_file(located, CONFIG), location=located.location)
    network = ConvolutionalNetwork(
        described.architecture, classes=described.classes, side=described.side, mean=described.mean, std=described.std
    )
    path = _file(located, WEIGHTS)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{FIELD}: {path} cannot be read as safetensors: {error}") from error
    _fill(network, tensors, location=located.location)
    warn_of_commit(located, file=CONFIG)
    network.to(device).eval().requires_grad_(False)
    return network


def save_layers(network: ConvolutionalNetwork, out: Path, *, architecture: str) -> None:
    """Write config.json and model.safetensors in half precision, as `load_layers` reads them."""
    out.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": architecture,
        "num_classes": network.score_layer.out_features,
        "pretrained_cfg": {
            "input_size": [3, network.side, network.side],
            "mean": [round(value, 6) for value in network.mean.flatten().tolist()],
            "std": [round(value, 6) for value in network.std.flatten().tolist()],
        },
    }
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file({name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}, out / WEIGHTS)


def _file(source: WeightSource, name: str) -> Path:
    """Return one file of a folder or hub name."""
    if source.is_folder:
        check_files(Path(source.location))
        return Path(source.location) / name
    from transformers.utils.hub import cached_file  # seconds to import, and only names on the hub need it

    revision = {} if source.revision is None else {"revision": source.revision}
    try:
        return Path(str(cached_file(source.location, name, **revision)))
    except Exception as error:  # the hub's client raises many kinds
        raise ValueError(f"{FIELD}: cannot fetch {name} of {source.location}: {error}") from error


def _fill(network: ConvolutionalNetwork, tensors: Mapping[str, Tensor], *, location: str) -> None:
    given = {_torchvision_name(name): tensor for name, tensor in tensors.items()}
    wanted = network.state_dict()
    missing = sorted(set(wanted) - set(given))
    if missing:
        raise ValueError(f"{FIELD}: {location}/{WEIGHTS} lacks {len(missing)} tensors: {', '.join(missing[:3])}")
    fitted = {}
    for name, expected in wanted.items():
        tensor = given[name]
        if tensor.numel() != expected.numel() or tensor.shape[0] != expected.shape[0]:
            raise ValueError(
                f"{FIELD}: {location}/{WEIGHTS}: {name} has the shape {list(tensor.shape)}, but config.json asks for "
                f"{list(expected.shape)}"
            )
        if not tensor.isfinite().all():
            raise ValueError(f"{FIELD}: {location}/{WEIGHTS}: {name} has values that are not finite")
        fitted[name] = tensor.float().reshape(expected.shape)
    network.load_state_dict(fitted)


def _torchvision_name(name: str) -> str:
    for timm, torchvision in _TIMM.items():
        if name.startswith(f"{timm}."):
            return name.replace(timm, torchvision, 1)
    return name
