"""What the frozen networks of Stable Diffusion v1-5 and CLIP ViT-B/32 take, with random weights: peak memory and time.

    python -m benchmarks.features [--pixels 512] [--frames 4] [--batch-size 64]

`features` runs on one clip, and the VAE decodes two frames, as `reconstruct` and `controls` do. A peak is the largest
resident memory of a process on one thread. What that process held before the work is printed too: the libraries, and
for `decode` also the weights.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROWS = ("features", "decode")


def write_networks(folder: Path) -> None:
    """Write both models with random weights."""
    import torch
    from diffusers import AutoencoderKL
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

    from tests.trainables.stable_diffusion_folder import build

    torch.manual_seed(0)
    diffusion, clip = build(folder / "sd"), folder / "clip"
    sizes = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    AutoencoderKL(down_block_types=down, up_block_types=up, sample_size=512, **sizes).save_pretrained(diffusion / "vae")
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "projection_dim": 768}
    CLIPTextModel(CLIPTextConfig(**text)).save_pretrained(diffusion / "text_encoder")
    CLIPModel(CLIPConfig()).save_pretrained(clip)
    for file in (diffusion / "tokenizer").iterdir():
        (clip / file.name).write_bytes(file.read_bytes())
    preparation = {"size": 224, "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    (clip / "preprocessor_config.json").write_text(json.dumps(preparation))


def resident(name: str) -> float:
    """Return a line of /proc/self/status in MB."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":")) / 1024


def one_row(row: str, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Do the work of a process of its own."""
    import torch

    torch.set_num_threads(1)
    return encode_clip(folder, arguments) if row == "features" else decode_frames(folder, arguments)


def encode_clip(folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Run the stage `features` on one clip."""
    import numpy as np

    from tests.trainables.dataset_tools import Folder, run_stage
    from trainables.config.trial import resolve
    from trainables.datasets.base import Stimuli
    from trainables.datasets.stored_clips import write_stimuli
    from trainables.stages import features

    shape = (1, arguments.frames, arguments.pixels, arguments.pixels, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    (folder / "clips").mkdir()
    write_stimuli(Stimuli(clips, [("a thing moves",)], ["film"]), folder / "clips")
    sizes = {"resolution": arguments.pixels, "latent_size": arguments.pixels // 8, "batch_size": arguments.batch_size}
    config = resolve(
        {
            **{f"features.{name}": value for name, value in sizes.items()},
            "features.condition_tokens": 77,
            "motion.patch_size": 1,
            "backbones.stable_diffusion": str(folder / "sd"),
            "backbones.clip": str(folder / "clip"),
        }
    )
    before, started = resident("VmRSS"), time.perf_counter()
    run_stage(features.run, config, folder / "out", {"clips": Folder(folder / "clips")})
    return {"before": before, "peak": resident("VmHWM"), "seconds": time.perf_counter() - started}


def decode_frames(folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Decode two frames by the VAE."""
    import torch

    from trainables.backbones.load import load_vae
    from trainables.config.video import GeneratorConfig
    from trainables.stages.generation import FrameDecoder

    vae, side = load_vae(str(folder / "sd")), arguments.pixels // 8
    latents = torch.randn(2, 4, side, side, generator=torch.Generator().manual_seed(0))
    before, started = resident("VmRSS"), time.perf_counter()
    FrameDecoder(vae, vae.decoding((side, side)).rows, GeneratorConfig())(latents)
    return {"before": before, "peak": resident("VmHWM"), "seconds": time.perf_counter() - started}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    print("| what | s | before in MB | peak in MB |\n|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="features-") as temporary:
        write_networks(Path(temporary))
        for row in ROWS:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                measured = pool.submit(one_row, row, Path(temporary), arguments).result()
            print(
                f"| {row} | {measured['seconds']:.0f} | {measured['before']:.0f} | {measured['peak']:.0f} |", flush=True
            )


if __name__ == "__main__":
    main()
