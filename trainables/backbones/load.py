"""Loads the frozen networks by `from_pretrained`, whether they are the phantom's or the real ones, and wraps them."""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import AutoTokenizer, CLIPModel, CLIPTextModel, CLIPVisionModelWithProjection
from transformers.utils.hub import cached_file

from trainables.backbones.preparation import Preparation, read_preparation
from trainables.backbones.sources import WeightSource, locate, refuse_missing, variant_of, warn_of_commit
from trainables.free_memory import Pass, plan_pass

logger = logging.getLogger(__name__)

_ENCODER_MAPS = 5
"""Maps of the first layer's size that the VAE's encoder holds at a time, measured on Stable Diffusion v1-5's."""
_DECODER_MAPS = 8
"""The same of its decoder, estimated from the shapes of its last layers."""
_DECODED = 8
"""Images that are decoded at a time at the most."""
_PREPARED = 8
"""Images that are prepared for CLIP at a time."""

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Vae:
    """A diffusers `AutoencoderKL`, whose latents are scaled to about unit variance."""

    model: Any

    @property
    def scaling_factor(self) -> float:
        """What latents are multiplied by; the inverse is applied before decoding."""
        return float(self.model.config.scaling_factor)

    def latent_size(self, resolution: int) -> int:
        """Return the side of the latent of a square image with side `resolution`.

        Raises:
            ValueError: The side is no multiple of the factor by which this VAE shrinks.
        """
        factor = 2 ** (len(self.model.config.block_out_channels) - 1)
        if resolution % factor != 0:
            raise ValueError(f"features.resolution must be a multiple of {factor} for this VAE, but got {resolution}")
        return int(resolution // factor)

    def image_size(self, latent: Sequence[int]) -> tuple[int, int]:
        """Return height and width of the image of a latent of that height and width."""
        factor = 2 ** (len(self.model.config.block_out_channels) - 1)
        return latent[0] * factor, latent[1] * factor

    @torch.no_grad()
    def encode(self, images: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return scaled latents [N,c,h,w] of images [N,3,H,W] (from -1 to 1): the mode, or a draw by `generator`."""
        return self.encode_parts(torch.split(images, self.encoding(images.shape[-1]).unit), generator=generator)

    @torch.no_grad()
    def encode_parts(self, parts: Iterable[Tensor], *, generator: torch.Generator | None = None) -> Tensor:
        """Return `encode` of all `parts` together. Each is computed by itself; `encoding` says how large it may be."""
        posteriors = [self._posterior(part) for part in parts]
        mean = torch.cat([posterior.mean for posterior in posteriors])
        if generator is None:
            return torch.as_tensor(mean * self.scaling_factor).contiguous()
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        std = torch.cat([posterior.std for posterior in posteriors])
        return torch.as_tensor((mean + std * noise) * self.scaling_factor).contiguous()

    def encoding(self, side: int) -> Pass:
        """Return how many square images of this side are encoded at a time."""
        return plan_pass(_ENCODER_MAPS * self._map(side, side), self._device)

    def decoding(self, latent: Sequence[int]) -> Pass:
        """Return how many latents of this height and width are decoded at a time."""
        return plan_pass(_DECODER_MAPS * self._map(*self.image_size(latent)), self._device, most=_DECODED)

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    def _map(self, height: int, width: int) -> int:
        """Return the bytes of what a layer of the first width makes of an image."""
        return int(4 * self.model.config.block_out_channels[0] * height * width)

    def _posterior(self, images: Tensor) -> Any:
        # On CPU, convolutions over channels-last images take half the time.
        return self.model.encode(images.contiguous(memory_format=torch.channels_last)).latent_dist

    @torch.no_grad()
    def decode(self, latents: Tensor, *, at_once: int | None = None) -> Tensor:
        """Return images [N,3,H,W], from -1 to 1, of scaled latents [N,c,h,w], `at_once` at a time (`decoding`)."""
        rows = self.decoding(latents.shape[-2:]).unit if at_once is None else at_once
        scaled = (latents / self.scaling_factor).contiguous(memory_format=torch.channels_last)
        images = [self.model.decode(part).sample.clamp(-1.0, 1.0) for part in torch.split(scaled, rows)]
        return torch.cat(images)


@dataclass(frozen=True)
class TextEncoder:
    """Stable Diffusion's text encoder: captions to the condition of the diffusion model."""

    model: Any
    tokenizer: Any

    @torch.no_grad()
    def encode(self, captions: Sequence[str], *, tokens: int) -> Tensor:
        """Return the last hidden state [N,tokens,C] of `captions`, padded or cut to `tokens`, begin token first.

        As in Stable Diffusion no attention mask is used, so padding carries content too.

        Raises:
            ValueError: The encoder has fewer positions than `tokens`.
        """
        limit = self.model.config.max_position_embeddings
        if tokens > limit:
            raise ValueError(
                f"features.condition_tokens must be at most {limit} for this text encoder, but got {tokens}"
            )
        batch = self.tokenizer(
            list(captions), padding="max_length", truncation=True, max_length=tokens, return_tensors="pt"
        )
        return torch.as_tensor(self.model(input_ids=batch.input_ids.to(self.model.device)).last_hidden_state)

    def unknown(self, captions: Sequence[str]) -> float:
        """Return the share of words in `captions` that the tokenizer does not know."""
        ids = [i for one in self.tokenizer(list(captions), add_special_tokens=False).input_ids for i in one]
        return ids.count(self.tokenizer.unk_token_id) / max(len(ids), 1)


@dataclass(frozen=True)
class Diffusion:
    """Stable Diffusion's network, which sees noise in latents under a text condition, and its noise schedule."""

    unet: Any
    schedule: Any
    """A `DDIMScheduler`, whatever kind the source names: all kinds share the betas."""

    def check(self, *, condition: int, channels: int, side: int) -> None:
        """Check that conditions of width `condition` and latents [channels, side, side] fit; warn of another size.

        Raises:
            ValueError: The network takes another width or another number of channels.
        """
        config = self.unet.config
        for what, wanted, got in (
            ("conditions of width", config.cross_attention_dim, condition),
            ("latents with a number of channels of", config.in_channels, channels),
        ):
            if wanted != got:
                raise ValueError(
                    f"backbones.stable_diffusion: the UNet takes {what} {wanted}, but the features have {got}; "
                    "vae, text_encoder and unet must be of one model"
                )
        if config.sample_size != side:
            logger.warning("the UNet was trained on latents of side %s, but gets %d", config.sample_size, side)


@dataclass(frozen=True)
class ClipModel:
    """A CLIP model with its tokenizer and image preparation. Embeddings are not normalised."""

    model: Any
    tokenizer: Any
    prepare: Preparation

    @torch.no_grad()
    def images(self, frames: Tensor) -> Tensor:
        """Return embeddings [N,D] of frames, uint8 [N,H,W,3]."""
        prepared = torch.cat([self.prepare(part) for part in torch.split(frames, _PREPARED)])
        return torch.as_tensor(self.model.get_image_features(pixel_values=prepared).pooler_output)

    @torch.no_grad()
    def texts(self, captions: Sequence[str]) -> Tensor:
        """Return embeddings [N,D] of `captions`; what exceeds the model's positions is cut off."""
        limit = self.model.config.text_config.max_position_embeddings
        batch = self.tokenizer(list(captions), padding=True, truncation=True, max_length=limit, return_tensors="pt")
        batch = batch.to(self.model.device)
        features = self.model.get_text_features(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
        return torch.as_tensor(features.pooler_output)


@dataclass(frozen=True)
class ImageEncoder:
    """The image half of a CLIP model with its preparation, such as ViFi-CLIP's. Embeddings are not normalised."""

    model: Any
    prepare: Preparation

    @torch.no_grad()
    def images(self, frames: Tensor) -> Tensor:
        """Return embeddings [N,D] of frames, uint8 [N,H,W,3]."""
        prepared = torch.cat([self.prepare(part) for part in torch.split(frames, _PREPARED)])
        return torch.as_tensor(self.model(pixel_values=prepared).image_embeds)


def load_vae(source: str, *, device: torch.device | None = None) -> Vae:
    """Load the VAE of a Stable Diffusion `source`: `phantom`, a folder or a hub name. Raises `ValueError`."""
    weights = locate(source, kind="stable_diffusion")
    options = {"subfolder": "vae", "torch_dtype": torch.float32, "use_safetensors": True, "low_cpu_mem_usage": False}
    model = _load_model(AutoencoderKL, weights, what="vae", **options)
    return Vae(_frozen(model, device).to(memory_format=torch.channels_last))


def load_text_encoder(source: str, *, device: torch.device | None = None) -> TextEncoder:
    """Load text encoder and tokenizer of a Stable Diffusion `source`. Raises `ValueError`."""
    weights = locate(source, kind="stable_diffusion")
    options = {"subfolder": "text_encoder", "dtype": torch.float32}
    model = _load_model(CLIPTextModel, weights, what="text_encoder", **options)
    tokenizer = _load(AutoTokenizer.from_pretrained, weights, what="tokenizer", subfolder="tokenizer")
    return TextEncoder(_frozen(model, device), tokenizer)


def load_generator(source: str, *, precision: str = "fp32", device: torch.device | None = None) -> Diffusion:
    """Load the UNet, in one of `DTYPES`, and the noise schedule of a Stable Diffusion `source`. Raises `ValueError`."""
    weights = locate(source, kind="stable_diffusion")
    options = {
        "subfolder": "unet",
        "torch_dtype": DTYPES[precision],
        "use_safetensors": True,
        "low_cpu_mem_usage": False,
    }
    unet = _load_model(UNet2DConditionModel, weights, what="unet", **options)
    schedule = _load(DDIMScheduler.from_pretrained, weights, what="scheduler", subfolder="scheduler")
    return Diffusion(_frozen(unet, device), schedule)


def load_clip(source: str, *, device: torch.device | None = None) -> ClipModel:
    """Load a CLIP model with all that belongs to it. Raises `ValueError`."""
    weights = locate(source, kind="clip")
    model = _load_model(CLIPModel, weights, what="CLIP model", dtype=torch.float32)
    tokenizer = _load(AutoTokenizer.from_pretrained, weights, what="tokenizer")
    return ClipModel(_frozen(model, device), tokenizer, _clip_preparation(weights))


def load_image_encoder(source: str, *, device: torch.device | None = None) -> ImageEncoder | ClipModel:
    """Load what embeds images: a CLIP model, or its image half alone if that is what `source` holds.

    Raises:
        ValueError: It cannot be loaded.
    """
    weights = locate(source, kind="clip")
    file = _load(cached_file, weights, what="config", filename="config.json")
    if _model_type(Path(file)) != "clip_vision_model":
        return load_clip(source, device=device)
    model = _load_model(CLIPVisionModelWithProjection, weights, what="image encoder", dtype=torch.float32)
    return ImageEncoder(_frozen(model, device), _clip_preparation(weights))


def _model_type(file: Path) -> Any:
    """Return what kind of model `config.json` describes. None if it does not say so: loading it tells what is wrong."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    return config.get("model_type") if isinstance(config, dict) else None


def _clip_preparation(weights: WeightSource) -> Preparation:
    file = _load(cached_file, weights, what="image preprocessing", filename="preprocessor_config.json")
    return read_preparation(Path(file), kind="clip", location=weights.location)


def _load(loader: Callable[..., Any], source: WeightSource, *, what: str, **options: Any) -> Any:
    revision = {} if source.revision is None else {"revision": source.revision}
    try:
        return loader(source.location, **options, **revision)
    except Exception as error:  # loaders raise whatever they like on damaged files, and on pickles that they refuse
        inside = f"/{options['subfolder']}" if "subfolder" in options else ""
        folder, hub = (
            "the folder lacks it or it is damaged",
            "no such folder here, and the hub lacks it or cannot be reached",
        )
        reason = folder if source.is_folder else hub
        raise ValueError(f"cannot load the {what} from {source.location}{inside}: {reason} ({error})") from error


def _load_model(kind: Any, source: WeightSource, *, what: str, **options: Any) -> Any:
    options |= variant_of(source, options.get("subfolder", "."))
    model, report = _load(kind.from_pretrained, source, what=what, output_loading_info=True, **options)
    refuse_missing(report, what=what, location=source.location)
    warn_of_commit(source, file=(Path(options.get("subfolder", ".")) / "config.json").as_posix())
    return model


def _frozen(model: Any, device: torch.device | None) -> Any:
    return model.to(device if device is not None else torch.device("cpu")).eval().requires_grad_(False)
