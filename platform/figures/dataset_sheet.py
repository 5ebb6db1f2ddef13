"""Draws clips, captions and fMRI of a data set: a picture and an animation."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from trainables import datasets
from trainables.config.trial import TrialConfig
from trainables.datasets.base import Subject, roi_numbers
from trainables.datasets.clip_rows import detrend
from trainables.datasets.errors import DatasetError
from trainables.datasets.presentations import DROPPED
from trainables.stages.data import brain_facts
from trainables.stages.scaling import standardise
from trainables.stages.voxels import answers_of

_INK, _PAPER, _FAINT = "#1d2433", "#ffffff", "#8a93a6"
_COLOURS = "RdBu_r"
_STRIP = 48
"""Voxels drawn per ROI."""
_RANGE = 2.5
"""fMRI is coloured from minus to plus this many standard deviations."""


@dataclass(frozen=True)
class SheetData:
    """The clips, captions and fMRI that are drawn."""

    title: str
    clips: NDArray[np.uint8]
    """[K, F, H, W, 3]"""
    captions: Sequence[str]
    labels: Sequence[str]
    """Split and name of each clip."""
    strips: dict[str, NDArray[np.float32]]
    """ROI to the standardised fMRI of the clips in some of its voxels, [K, up to `_STRIP`]."""
    voxels: Sequence[int]
    """Number of voxels of each ROI."""
    course: NDArray[np.float32] | None
    """BOLD of the first run without its mean, volumes by ROI-sorted voxels; None if there are no runs."""
    onsets: NDArray[np.int64]
    """Volumes of the first run at which a clip begins."""
    tr: float


def gather_sheet_data(config: TrialConfig, *, count: int) -> SheetData:
    """Load the data set and select up to `count` clips, evenly over all splits. Raises `DatasetError`."""
    data = datasets.load(config.dataset)
    subjects, stimuli = data.brains.subjects, data.stimuli
    if config.voxels.subject >= len(subjects):
        count_text = f"the data set has {len(subjects)} subjects, counted from 0"
        raise DatasetError(f"voxels.subject is {config.voxels.subject}, but {count_text}")
    subject = subjects[config.voxels.subject]
    bold = np.asarray(subject.bold[:], np.float32)
    responses = answers_of(brain_facts(data.brains), config.voxels, volumes=len(bold))
    fmri, arrays = standardise(responses.rows(responses.series(bold))[0], responses.split, own_test=responses.own_test)
    split = responses.split
    usable = np.nonzero(split != DROPPED)[0]
    shown = usable[np.linspace(0, len(usable) - 1, min(count, len(usable))).round().astype(int)]
    roi = roi_numbers(subject.voxels, data.brains.roi_names)[arrays["voxel"]]
    course, onsets = _first_run(subject, bold, arrays["voxel"], roi, tr=data.brains.tr)
    clips, volumes = stimuli.clips.shape, bold.shape
    return SheetData(
        title=f"{clips[0]} clips of {clips[1]} frames, {clips[2]} px   ·   {subject.name}: {volumes[1]} voxels, "
        f"{volumes[0]} volumes",
        clips=np.concatenate([stimuli.clips[index : index + 1] for index in shown.tolist()]),
        captions=[stimuli.captions[index][0] for index in shown],
        labels=[f"{split[index]} · {stimuli.source[index]}" for index in shown],
        strips={name: fmri[shown][:, roi == index][:, :_STRIP] for index, name in enumerate(data.brains.roi_names)},
        voxels=[int((roi == index).sum()) for index in range(len(data.brains.roi_names))],
        course=course,
        onsets=onsets,
        tr=data.brains.tr,
    )


def _first_run(
    subject: Subject, bold: NDArray[np.float32], voxels: NDArray[Any], roi: NDArray[np.int16], *, tr: float
) -> tuple[NDArray[np.float32] | None, NDArray[np.int64]]:
    """Return `voxels` of `bold` [T, V] in the first run, as they are drawn, and the onsets of its clips in volumes."""
    if subject.runs is None:
        return None, np.empty(0, np.int64)
    end = subject.runs[1] if len(subject.runs) > 1 else len(bold)
    onsets = subject.onsets[(subject.onsets[:, 0] >= 0) & (subject.onsets[:, 0] < end), 0].astype(np.int64)
    return _sorted(detrend(bold[:end, voxels], [(0, end)], tr=tr), roi), onsets


def _sorted(run: NDArray[np.float32], roi: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return BOLD [T,V] in standard deviations, voxels sorted by ROI, then by weight in its first component."""
    run = run / run.std(axis=0)
    common = np.zeros(run.shape[1])
    for index in np.unique(roi):
        common[roi == index] = np.linalg.svd(run[:, roi == index], full_matrices=False)[2][0]
    return run[:, np.lexsort((common, roi))]


def draw_sheet(view: SheetData, path: Path) -> None:
    """Write the picture: a row per clip with its frames, caption and fMRI, and the BOLD of the first run below."""
    rows, frames = view.clips.shape[:2]
    width, course = 15.0, 3.2 if view.course is not None else 0.1
    tall = 0.55 + 0.62 * width / frames  # a row holds its caption and its frames, which are square
    height = 0.8 + rows * tall + course
    figure = Figure(figsize=(width, height), facecolor=_PAPER, dpi=110)
    figure.text(0.02, 1 - 0.3 / height, view.title, color=_INK, size=14, weight="bold", va="center")
    key = f"one cell per voxel, from −{_RANGE} (blue) to {_RANGE} (red) sd"
    figure.text(0.98, 1 - 0.3 / height, key, color=_FAINT, size=10, va="center", ha="right")
    for row in range(rows):
        top = 1 - (0.6 + row * tall) / height
        caption = textwrap.shorten(view.captions[row], 110, placeholder=" ...")
        figure.text(0.02, top - 0.16 / height, f"“{caption}”", color=_INK, size=12, va="center", parse_math=False)
        figure.text(0.655, top - 0.16 / height, view.labels[row], color=_FAINT, size=10, va="center", parse_math=False)
        bottom, axes_height = top - (tall - 0.23) / height, (tall - 0.55) / height
        _frames(figure.add_axes((0.02, bottom, 0.62, axes_height)), view.clips[row])
        _strips(figure.add_axes((0.70, bottom, 0.28, axes_height)), view, row)
    if view.course is not None:
        _course(figure.add_axes((0.07, 0.55 / height, 0.91, (course - 1.0) / height)), view)
    figure.savefig(path)


def _frames(axes: Axes, clip: NDArray[np.uint8]) -> None:
    gap = max(1, clip.shape[2] // 24)
    spaced = np.pad(clip, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)
    axes.imshow(np.concatenate(list(spaced), axis=1)[:, :-gap], interpolation="nearest", aspect="auto")
    axes.set_axis_off()


def _strips(axes: Axes, view: SheetData, row: int) -> None:
    image = np.full((len(view.strips), _STRIP), np.nan)
    for line, values in enumerate(view.strips.values()):
        image[line, : values.shape[1]] = values[row]
    axes.imshow(image, cmap=_COLOURS, vmin=-_RANGE, vmax=_RANGE, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(image)), list(view.strips), size=8, color=_INK)
    axes.set_yticks(np.arange(0.5, len(image) - 1), minor=True)
    axes.grid(which="minor", axis="y", color=_PAPER, linewidth=1.5)
    axes.set_xticks([])
    _hide_axes(axes)


def _course(axes: Axes, view: SheetData) -> None:
    """Draw the BOLD of the first run: time to the right, voxels downwards, sorted by ROI."""
    assert view.course is not None
    volumes, voxels = view.course.shape
    extent = (0.0, volumes * view.tr, voxels, 0)
    axes.imshow(view.course.T, cmap=_COLOURS, vmin=-_RANGE, vmax=_RANGE, aspect="auto", extent=extent)
    edges = np.concatenate([[0], np.cumsum(view.voxels)])
    axes.set_yticks((edges[:-1] + edges[1:]) / 2, list(view.strips), size=8, color=_INK)
    for edge in edges[1:-1]:
        axes.axhline(edge, color=_PAPER, linewidth=1.5)
    axes.plot(view.onsets * view.tr, np.zeros(len(view.onsets)), "v", color=_INK, markersize=6, clip_on=False)
    axes.set_xlabel("seconds into the first run", color=_INK, size=9)
    axes.set_title("BOLD of every voxel; marks show where clips begin", color=_INK, size=10, loc="left", pad=8)
    axes.tick_params(axis="x", labelsize=8, colors=_INK)
    _hide_axes(axes)


def _hide_axes(axes: Axes) -> None:
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_motion(view: SheetData, path: Path) -> None:
    """Write an animation of the clips side by side, with fMRI and caption below each; two seconds, repeated."""
    columns, side = min(3, len(view.clips)), 176
    font, cell = ImageFont.load_default(13), (side + 24, side + 118)
    rows = -(-len(view.clips) // columns)
    mosaic = Image.new("RGB", (columns * cell[0], rows * cell[1]), _PAPER)
    corners = [(12 + index % columns * cell[0], 12 + index // columns * cell[1]) for index in range(len(view.clips))]
    for index, (left, top) in enumerate(corners):
        text = textwrap.fill(textwrap.shorten(view.captions[index], 84, placeholder=" ..."), 28)
        ImageDraw.Draw(mosaic).multiline_text((left, top + side + 44), text, fill=_INK, font=font, spacing=2)
        mosaic.paste(_barcode(view, index).resize((side, 36), Image.Resampling.NEAREST), (left, top + side + 4))
    pictures = []
    for frame in range(view.clips.shape[1]):
        picture = mosaic.copy()
        for clip, corner in zip(view.clips, corners, strict=True):
            picture.paste(Image.fromarray(clip[frame]).resize((side, side), Image.Resampling.BICUBIC), corner)
        pictures.append(picture)
    duration = round(2000 / len(pictures))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration, loop=0)


def _barcode(view: SheetData, row: int) -> Image.Image:
    """Return the fMRI of one clip as an image: a line per ROI, a column per voxel."""
    width = min(values.shape[1] for values in view.strips.values())
    values = np.stack([strip[row, :width] for strip in view.strips.values()])
    coloured = matplotlib.colormaps[_COLOURS](values / (2 * _RANGE) + 0.5, bytes=True)
    return Image.fromarray(coloured[..., :3])
