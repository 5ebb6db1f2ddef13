"""The layers stage: what a convolutional network says of the frames of clips, for decoders that predict it."""

import json
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from trainables.backbones.convolutional import ConvolutionalNetwork
from trainables.backbones.layers import load_layers
from trainables.config.layers import LayersConfig
from trainables.context import StageResult, StageTask
from trainables.datasets.base import ClipSequence
from trainables.datasets.stored_clips import read_stimuli
from trainables.loop import pick_device
from trainables.tensors import TensorShape, TensorWriter

BATCH_FRAMES = 64
"""Frames at a time. The last bits of a convolution can depend on it."""
_Rows = dict[str, Tensor]


def run(task: StageTask) -> StageResult:
    """Write `layers.safetensors`, `network.safetensors` and `layers.json`.

    layers: float16 `maps` [N,G,C,h,w] of the layer `layers.layer` for G frames of every clip (1 with `middle` and
    `mean`), transformed as `layers.log` says; float32 `penultimate` [N,G,D], the input of the layer of class scores,
    and `scores` [N,G,K], before the softmax. network: `filters` [C,c,k,k] and `filter_bias` [C] of that layer,
    `score_weight` [K,D] and `score_bias` [K]. json: `layer`, `log`, `stride` and `padding` of the layer, `side` to
    which frames are resized, `mean` and `std` by which they are standardised.

    Raises:
        ValueError: The weights cannot be loaded, the network has no such layer, or a map is too large for float16.
    """
    config = task.config.layers
    clips = read_stimuli(task.inputs, task.config.dataset).clips
    device = pick_device("auto")
    network = load_layers(config.source, device=device)
    _check_layer(network, config)
    with torch.no_grad():
        _write(task, clips, network, stored=clips.shape[1] if config.frames == "all" else 1)
    _write_network(task, network)
    facts = {"architecture": ", ".join(network.architecture.layers), "classes": str(network.score_layer.out_features)}
    return StageResult(info={**facts, "device": str(device)})


def _check_layer(network: ConvolutionalNetwork, config: LayersConfig) -> None:
    if config.layer not in network.architecture.layers:
        raise ValueError(
            f"layers.layer: {config.source} has no layer {config.layer!r}; it has "
            f"{', '.join(network.architecture.layers)}"
        )


def _write(task: StageTask, clips: ClipSequence, network: ConvolutionalNetwork, *, stored: int) -> None:
    rows = _rows(clips, network, task.config.layers)
    first, values = next(rows)
    types = {"maps": "float16", "penultimate": "float32", "scores": "float32"}
    shapes = {name: TensorShape(types[name], (len(clips), stored, *values[name].shape[2:])) for name in types}
    with TensorWriter(task.context.output / "layers.safetensors", shapes) as file:
        while True:
            for name, tensor in values.items():
                file.write(name, first, _narrowed(tensor, types[name], name=name))
            following = next(rows, None)
            if following is None:
                return
            first, values = following


def _rows(clips: ClipSequence, network: ConvolutionalNetwork, config: LayersConfig) -> Iterator[tuple[int, _Rows]]:
    """Yield the number of a first clip, and the values of it and of those after it."""
    middle = clips.shape[1] // 2
    step = max(1, BATCH_FRAMES // (1 if config.frames == "middle" else clips.shape[1]))
    for first in range(0, len(clips), step):
        block = clips[first : first + step]
        shown = block[:, middle : middle + 1] if config.frames == "middle" else block
        yield first, _values(torch.from_numpy(np.array(shown)), network, config)


def _values(frames: Tensor, network: ConvolutionalNetwork, config: LayersConfig) -> _Rows:
    """Return the values [clips,G,...] of frames, uint8 [clips,F,H,W,3]."""
    clips, per_clip = frames.shape[:2]
    flat = frames.flatten(0, 1).permute(0, 3, 1, 2).to(network.mean.device).float() / 255.0
    outputs = network(network.resized(flat), (config.layer,))
    maps = outputs.maps[config.layer]
    if config.log is not None:
        maps = torch.log10(maps + config.log)
    values = {"maps": maps, "penultimate": outputs.penultimate, "scores": outputs.scores}
    stacked = {name: tensor.unflatten(0, (clips, per_clip)) for name, tensor in values.items()}
    if config.frames == "mean":
        return {name: tensor.mean(dim=1, keepdim=True) for name, tensor in stacked.items()}
    return stacked


def _narrowed(tensor: Tensor, dtype: str, *, name: str) -> NDArray[np.generic]:
    values = tensor.cpu().numpy()
    with np.errstate(over="ignore"):  # answered below
        narrow = values.astype(dtype)
    if not np.isfinite(narrow).all():
        raise ValueError(
            f"layers: {name} reach {float(np.abs(values).max()):.3g}, which float16 cannot hold; set layers.log, or "
            "give layers.source another network"
        )
    return narrow


def _write_network(task: StageTask, network: ConvolutionalNetwork) -> None:
    config, folder = task.config.layers, task.context.output
    layer, scores = network.convolution(config.layer), network.score_layer
    assert layer.bias is not None
    tensors = {
        "filters": layer.weight,
        "filter_bias": layer.bias,
        "score_weight": scores.weight,
        "score_bias": scores.bias,
    }
    save_file(
        {name: tensor.detach().cpu() for name, tensor in tensors.items()}, task.context.output / "network.safetensors"
    )
    facts = {
        "layer": config.layer,
        "log": config.log,
        "stride": layer.stride[0],
        "padding": int(layer.padding[0]),
        "side": network.side,
        "mean": network.mean.flatten().tolist(),
        "std": network.std.flatten().tolist(),
    }
    (folder / "layers.json").write_text(json.dumps(facts), encoding="utf-8")
