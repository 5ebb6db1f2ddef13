"""The phantoms' clips: one shape that crosses a textured ground, drawn from named factors.

Lengths are in units of 1/64 of the frame's side, so that factors mean the same at any resolution and number of
frames: a clip lasts two seconds, which is eight steps of `SPEEDS` units.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

SIDE = 64.0
STEPS = 8
"""Steps of motion in a clip; the number of frames samples them more or less finely."""
MARGIN = 1.0
CONTRAST = 0.16
"""How much brighter and darker than its mean a texture gets; more costs the VAE its capacity."""

Distance = Callable[[Floats, Floats, Floats], Floats]


def _disc(x: Floats, y: Floats, r: Floats) -> Floats:
    return np.asarray(np.sqrt(x * x + y * y) - r, np.float32)


def _square(x: Floats, y: Floats, r: Floats) -> Floats:
    return np.asarray(np.maximum(np.abs(x), np.abs(y)) - 0.88 * r, np.float32)


def _triangle(x: Floats, y: Floats, r: Floats) -> Floats:
    slope = 1.85  # apex at -r, base at 0.85 r, half base r
    side = (slope * np.abs(x) - (y + r)) / np.float32(np.hypot(slope, 1.0))
    return np.maximum(y - 0.85 * r, side)


def _cross(x: Floats, y: Floats, r: Floats) -> Floats:
    x, y, arm = np.abs(x), np.abs(y), 0.36 * r
    return np.asarray(np.minimum(np.maximum(x - arm, y - r), np.maximum(x - r, y - arm)), np.float32)


SHAPES: Mapping[str, Distance] = {"disc": _disc, "square": _square, "triangle": _triangle, "cross": _cross}
"""Name to a function that is negative inside the shape of radius r; none reaches beyond r on either axis."""
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (245, 228, 60),
    "green": (60, 205, 70),
    "cyan": (60, 215, 225),
    "blue": (50, 80, 230),
    "purple": (160, 60, 205),
    "white": (245, 245, 245),
}
SIZES: Mapping[str, float] = {"small": 9.0, "large": 14.0}
"""Radius."""
TEXTURES: Mapping[str, str] = {
    "plain": "a plain {} background",
    "stripes": "{} stripes",
    "checkerboard": "a {} checkerboard",
    "dots": "{} dots",
}
"""Name to the words of a caption."""
BACKGROUNDS: Mapping[str, tuple[int, int, int]] = {
    "grey": (112, 112, 112),
    "brown": (116, 82, 52),
    "green": (50, 100, 62),
    "navy": (44, 56, 112),
}
DIRECTIONS: Mapping[str, float] = {
    "right": 0.0,
    "up and right": 45.0,
    "up": 90.0,
    "up and left": 135.0,
    "left": 180.0,
    "down and left": 225.0,
    "down": 270.0,
    "down and right": 315.0,
}
"""Degrees, counter-clockwise as seen."""
SPEEDS: Mapping[str, float] = {"drifting": 1.2, "moving": 2.6}
"""The caption's verb to units per step."""
HIGHER_SPEEDS: Mapping[str, float] = {"drifting": 2.0, "moving": 4.0}
"""Those of objects that appear."""


@dataclass(frozen=True)
class Factors:
    """The causes of N clips. The first seven index the tables of this module, in their order."""

    speeds: ClassVar[Mapping[str, float]] = SPEEDS

    shape: Ints
    colour: Ints
    size: Ints
    texture: Ints
    background: Ints
    direction: Ints
    speed: Ints
    start_x: Floats
    """Centre of the object in the first frame, from the left."""
    start_y: Floats
    """From the top."""
    phase_x: Floats
    """Shift of the texture, in periods."""
    phase_y: Floats

    def __len__(self) -> int:
        return len(self.shape)

    def select(self, index: Ints | slice) -> Self:
        """Return the clips at `index`."""
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def join(self, other: Self) -> Self:
        """Return these clips, and then the `other` ones."""
        return type(self)(
            **{
                field.name: np.concatenate([getattr(self, field.name), getattr(other, field.name)])
                for field in fields(self)
            }
        )

    def to_json(self) -> dict[str, list[float]]:
        """Return name to N values."""
        return {field.name: getattr(self, field.name).tolist() for field in fields(self)}

    @property
    def radius(self) -> Floats:
        """Radius of each object, [N]."""
        return np.array(list(SIZES.values()), np.float32)[self.size]

    @property
    def velocity(self) -> Floats:
        """Units per step to the right and downwards, [N,2]."""
        angle = np.deg2rad(np.array(list(DIRECTIONS.values())))[self.direction]
        speed = np.array(list(self.speeds.values()))[self.speed]
        return np.stack([np.cos(angle) * speed, -np.sin(angle) * speed], axis=1).astype(np.float32)

    def positions(self, frames: int) -> Floats:
        """Return the object's centre (x, y) in every frame, [N,F,2]."""
        time = np.arange(frames, dtype=np.float32) * (STEPS / frames)
        start = np.stack([self.start_x, self.start_y], axis=1)
        return start[:, None] + time[None, :, None] * self.velocity[:, None]

    def shown(self, frames: int) -> NDArray[np.bool_]:
        """Return in which frames there is an object, [N,F]: in all."""
        return np.ones((len(self), frames), bool)


@dataclass(frozen=True)
class Appearing(Factors):
    """The causes of clips whose object appears on an empty ground; until then it moves unseen."""

    speeds: ClassVar[Mapping[str, float]] = HIGHER_SPEEDS

    onset: Floats
    """Step of motion from which on the object is shown, 0 to `STEPS`."""

    def shown(self, frames: int) -> NDArray[np.bool_]:
        """Return in which frames there is an object, [N,F]: from its onset on."""
        return np.asarray(np.arange(frames) * (STEPS / frames) >= self.onset[:, None])


AnyFactors = TypeVar("AnyFactors", bound=Factors)


def from_json(columns: Mapping[str, Sequence[float]]) -> Factors:
    """Return the factors that `to_json` wrote."""
    types: Mapping[str, type[Any]] = {"int64": np.int64, "float64": np.float32}  # as they were drawn, before JSON
    arrays: dict[str, Any] = {name: np.array(values) for name, values in columns.items()}
    kind = Appearing if "onset" in columns else Factors
    return kind(**{name: values.astype(types[str(values.dtype)]) for name, values in arrays.items()})


def sample_factors(rng: np.random.Generator, count: int, *, scenes: Ints | None = None) -> Factors:
    """Draw the factors of `count` clips, independently and uniformly, such that no object ever leaves the frame.

    With `scenes`, the number of each clip's scene [N], clips of a scene share `SCENE` and are drawn alone in the rest.
    """
    return _placed(Factors(**_causes(rng, count, scenes)), rng)


def sample_appearing(rng: np.random.Generator, count: int, *, onset: float, scenes: Ints | None = None) -> Appearing:
    """Draw as `sample_factors` does, for objects that appear at step `onset`."""
    return _placed(Appearing(**_causes(rng, count, scenes), onset=np.full(count, onset, np.float32)), rng)


SCENE = ("shape", "colour", "size", "texture", "background", "phase_x", "phase_y")
"""What the clips of a scene share: object and ground."""


def with_unseen(
    factors: AnyFactors, unseen: NDArray[np.bool_], rng: np.random.Generator, *, scenes: Ints
) -> AnyFactors:
    """Return the clips with other shapes: no other clip has the combinations of shape, colour, ground of `unseen` [N].

    Numbers of shape, colour, texture and background add up to a multiple of the number of shapes in these clips alone.
    So a quarter of the combinations is held out, and each two values of shape, colour and ground occur elsewhere. Clips
    of a scene, whose number for each clip is in `scenes` [N], share their shape.
    """
    rest, kinds = factors.colour + factors.texture + factors.background, len(SHAPES)
    off = np.where(unseen, 0, rng.integers(1, kinds, size=int(scenes.max()) + 1)[scenes])
    return replace(factors, shape=(off - rest) % kinds)


def _causes(rng: np.random.Generator, count: int, scenes: Ints | None) -> dict[str, Any]:
    """Draw all factors except the start, which depends on the velocity."""
    tables = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "texture": TEXTURES, "background": BACKGROUNDS}
    tables |= {"direction": DIRECTIONS, "speed": SPEEDS}
    drawn = {name: rng.integers(len(table), size=count) for name, table in tables.items()}
    phase = rng.random((2, count), dtype=np.float32)
    nowhere = np.zeros(count, np.float32)
    causes = drawn | {"start_x": nowhere, "start_y": nowhere, "phase_x": phase[0], "phase_y": phase[1]}
    if scenes is None:
        return causes
    _, first, number = np.unique(scenes, return_index=True, return_inverse=True)
    return causes | {name: causes[name][first[number]] for name in SCENE}


def _placed(still: AnyFactors, rng: np.random.Generator) -> AnyFactors:
    """Draw the start of each object."""
    way = still.velocity * STEPS
    border = still.radius[:, None] + MARGIN
    low, high = border - np.minimum(way, 0.0), SIDE - border - np.maximum(way, 0.0)
    start = (low + rng.random((len(still), 2), dtype=np.float32) * (high - low)).astype(np.float32)
    return replace(still, start_x=start[:, 0], start_y=start[:, 1])


def render(factors: Factors, *, frames: int = STEPS, resolution: int = 64) -> Picture:
    """Draw the clips, uint8 RGB [N,F,H,W,3]."""
    clips = np.empty((len(factors), frames, resolution, resolution, 3), np.uint8)
    colours = np.array(list(COLOURS.values()), np.float32)
    for first in range(0, len(factors), 64):
        rows = slice(first, first + 64)
        some = factors.select(rows)
        ground = _ground(some, resolution)[:, None]
        cover = _cover(some, frames=frames, resolution=resolution)[..., None]
        paint = colours[some.colour][:, None, None, None]
        clips[rows] = ground + cover * (paint - ground) + 0.5
    return clips


@dataclass(frozen=True)
class DrawnClips:
    """Clips that are drawn on access: the pixels of `render`, never all in memory."""

    factors: Factors
    frames: int
    resolution: int

    @property
    def shape(self) -> tuple[int, ...]:
        """N, F, H, W, 3."""
        return (len(self.factors), self.frames, self.resolution, self.resolution, 3)

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, rows: slice, /) -> Picture:
        """Draw the clips `rows`."""
        return render(self.factors.select(rows), frames=self.frames, resolution=self.resolution)


def object_mask(factors: Factors, *, frames: int = STEPS, resolution: int = 64) -> NDArray[np.bool_]:
    """Return which pixels belong to the object, [N,F,H,W]."""
    mask = np.empty((len(factors), frames, resolution, resolution), bool)
    for first in range(0, len(factors), 64):
        rows = slice(first, first + 64)
        mask[rows] = _cover(factors.select(rows), frames=frames, resolution=resolution) >= 0.5
    return mask


def captions(factors: Factors) -> tuple[str, ...]:
    """Describe each clip: "a large red disc moving left over a green checkerboard"; 15 words at the most."""
    shapes, colours, sizes, speeds = list(SHAPES), list(COLOURS), list(SIZES), list(SPEEDS)
    directions, grounds, backgrounds = list(DIRECTIONS), list(TEXTURES.values()), list(BACKGROUNDS)
    return tuple(
        f"a {sizes[factors.size[i]]} {colours[factors.colour[i]]} {shapes[factors.shape[i]]} "
        f"{speeds[factors.speed[i]]} {directions[factors.direction[i]]} "
        f"over {grounds[factors.texture[i]].format(backgrounds[factors.background[i]])}"
        for i in range(len(factors))
    )


def _pixels(resolution: int) -> Floats:
    return (np.arange(resolution, dtype=np.float32) + np.float32(0.5)) * np.float32(SIDE / resolution)


def _cover(factors: Factors, *, frames: int, resolution: int) -> Floats:
    """Return how much of each pixel the object covers, from 0 to 1, [N,F,H,W]."""
    pixel = _pixels(resolution)
    centre = factors.positions(frames)
    x = pixel - centre[..., 0, None, None]
    y = pixel[:, None] - centre[..., 1, None, None]
    r = factors.radius[:, None, None, None]
    cover = np.empty((len(factors), frames, resolution, resolution), np.float32)
    for index, distance in enumerate(SHAPES.values()):
        rows = factors.shape == index
        cover[rows] = distance(x[rows], y[rows], r[rows])
    np.clip(np.float32(0.5) - cover * np.float32(resolution / SIDE), 0.0, 1.0, out=cover)
    cover[~factors.shown(frames)] = 0.0
    return cover


def _ground(factors: Factors, resolution: int) -> Floats:
    """Return the backgrounds, [N,H,W,3]."""
    pixel = _pixels(resolution)
    x = 2 * np.pi * (pixel / 16.0 + factors.phase_x[:, None])[:, None, :]
    y = 2 * np.pi * (pixel / 16.0 + factors.phase_y[:, None])[:, :, None]
    waves = {
        "plain": 0.0 * x + 0.0 * y,
        "stripes": np.sin(x) + 0.0 * y,
        "checkerboard": 1.5 * np.sin(x) * np.sin(y),
        "dots": 1.5 * (np.cos(x) + np.cos(y)) - 1.0,
    }
    stacked = np.stack([waves[name] for name in TEXTURES])
    # Clipping a steepened wave gives flat tones with edges about two pixels wide, whatever the resolution.
    tone = np.clip(2.5 * stacked[factors.texture, np.arange(len(factors))], -1.0, 1.0)
    base = np.array(list(BACKGROUNDS.values()), np.float32)[factors.background]
    return (base[:, None, None] * (1.0 + CONTRAST * tone[..., None])).astype(np.float32)
