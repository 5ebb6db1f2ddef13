"""Small made-up videos, folders of them, and a call of the verb `evaluate` on those."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Clip = NDArray[np.uint8]


def moving(seed: int, *, frames: int = 6, size: int = 32) -> Clip:
    """Coloured blocks that drift to the right."""
    blocks = np.random.default_rng(seed).integers(40, 256, (size // 8, size // 8, 3), dtype=np.uint8)
    picture = blocks.repeat(8, axis=0).repeat(8, axis=1)
    return np.stack([np.roll(picture, 2 * t, axis=1) for t in range(frames)])


def save(folder: Path, name: str, clip: NDArray[Any]) -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", clip, allow_pickle=False)
    return folder / f"{name}.npy"


def gif(path: Path, clip: Clip, *, duration: int) -> Path:
    pictures = [Image.fromarray(frame) for frame in clip]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration)
    return path


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    from platform.evaluate import main  # seconds, which a pytest that runs other tests need not wait

    code = main([*map(str, arguments), "--json", "--no-tracking"])
    return code, json.loads(capsys.readouterr().out)


def judged(capsys: pytest.CaptureFixture[str], truth: Path, ours: Path, *more: object) -> tuple[int, dict[str, Any]]:
    return evaluate(capsys, ours, "--truth", truth, "--out", ours.parent / "out", *more)


def means(report: dict[str, Any], system: str = "ours", control: str = "") -> dict[str, Any]:
    return {row["metric"]: row for row in report["rows"] if (row["system"], row["control"]) == (system, control)}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three true clips, and reconstructions that resemble them."""
    for seed in range(3):
        save(tmp_path / "truth", f"clip{seed}", moving(seed))
        save(tmp_path / "ours", f"clip{seed}", moving(seed) // 2 + moving(seed + 10) // 2)
    return tmp_path / "truth", tmp_path / "ours"
