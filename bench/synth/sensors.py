"""From light and distance to what a camera and a depth sensor deliver.

Depth errors follow the usual descriptions of structured-light and time-of-flight sensors (Khoshelham &
Elberink, Sensors 12 (2012)); the constants are design choices.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.synth.camera import SENSOR_FOCAL

Single = NDArray[np.float32]
Flags = NDArray[np.bool_]

BASELINE_M = 0.075  # between projector and camera
FARTHEST_M = 9.5
EDGE_M = 0.12  # second difference of depth that counts as a discontinuity
GRAZING = 0.18  # cosine of the viewing angle
TONE_STEPS = 4096


@cache
def _tiles(side: int) -> tuple[Single, Single]:
    """Large fields of normal and uniform numbers that all images cut their noise from."""
    rng = np.random.Generator(np.random.Philox(3141592))
    shape = (side, 3 * side)
    return rng.standard_normal(shape, np.float32), rng.random(shape, np.float32)


def _cut(size: int, rng: Generator, *, uniform: bool = False) -> Single:
    """A random window of the noise fields, three numbers per pixel: (S, 3 S)."""
    side = max(640, 2 * size)
    y, x = rng.integers(0, side - size, 2).tolist()
    return _tiles(side)[int(uniform)][y : y + size, 3 * x : 3 * (x + size)]


def develop(
    light: Single,
    person: Flags,
    rng: Generator,
    *,
    exposure: tuple[float, float],
    noise: tuple[float, float],
    white_balance: float,
) -> NDArray[np.uint8]:
    """Expose, tone and digitise an image; metering looks mostly at the person.

    Args:
        light: linear colours, (S, S, 3).
        person: its silhouette, (S, S).
        rng: source of all randomness.
        exposure: range of the mean linear brightness.
        noise: range of the sd of the noise, of full scale.
        white_balance: sd of the gain of a channel.

    Returns:
        Display colours, (S, S, 3).
    """
    u = rng.random(5)
    grey = light.reshape(-1, 3) @ np.full(3, 1 / 3, np.float32)
    inside = person.ravel().astype(np.float32)
    level = 0.4 * float(grey.mean()) + 0.6 * float(grey @ inside) / max(1.0, float(inside.sum()))
    wanted = exposure[0] + (exposure[1] - exposure[0]) * u[0]
    gain = np.clip(wanted / max(level, 1e-3), 0.05, 8.0) * (1 + white_balance * rng.normal(size=3))
    size = len(light)
    row = np.tile(gain * (TONE_STEPS - 1), size).astype(np.float32)  # numpy is slow on a last axis of three
    steps = np.minimum(light.reshape(size, 3 * size) * row, TONE_STEPS - 1)
    toned = _curve(int(9 * u[1]))[steps.astype(np.intp)]
    if u[2] < 0.35:
        toned = _blur(toned, np.float32(0.3 + 0.4 * u[3]))
    sd = np.float32(255 * (noise[0] + (noise[1] - noise[0]) * u[4]))
    toned += sd * _cut(size, rng)
    display: NDArray[np.uint8] = np.clip(toned, 0, 255, out=toned).astype(np.uint8)
    return display.reshape(size, size, 3)


@cache
def _curve(number: int) -> Single:
    """Display values, plus one half, of evenly spaced light; number 0..8 stands for gamma 2.0..2.4."""
    light = np.arange(TONE_STEPS) / (TONE_STEPS - 1)
    return (255 * light ** (1 / (2.0 + 0.05 * number)) + 0.5).astype(np.float32)


def _blur(image: Single, share: np.float32) -> Single:
    """Mix every pixel of an image (S, 3 S) with the mean of its four neighbours."""
    padded = np.pad(image, ((1, 1), (3, 3)), mode="edge")
    around = padded[:-2, 3:-3] + padded[2:, 3:-3] + padded[1:-1, :-6] + padded[1:-1, 6:]
    return (1 - share) * image + share / 4 * around


def measure(
    z: Single,
    where: Flags,
    cosine: Single,
    brightness: Single,
    focal: float,
    rng: Generator,
    *,
    structured: bool,
) -> NDArray[np.uint16]:
    """What a depth sensor reports.

    Args:
        z: exact depth, metres, infinite for the sky, (S, S).
        where: pixels to measure, (S, S).
        cosine: between surface normal and view, 1 where unknown, (S, S).
        brightness: of the surface, 0..1, (S, S).
        focal: of the crop, pixels.
        rng: source of all randomness.
        structured: structured light (as Kinect v1); otherwise time of flight (as Kinect v2).

    Returns:
        Millimetres, 0 = no measurement, (S, S).
    """
    normal = _cut(len(z), rng).reshape(*z.shape, 3)[where].T  # (3, N), as all that follows
    chance, share, flying = _cut(len(z), rng, uniform=True).reshape(*z.shape, 3)[where].T
    d, corner, edge = _look_up(z, where, normal[:2])
    if structured:
        disparity = np.rint(8 * (SENSOR_FOCAL * BASELINE_M / d + 0.06 * normal[2])) / 8
        measured = SENSOR_FOCAL * BASELINE_M / np.maximum(disparity, 0.125)
        lost = 0.004 + 0.45 * edge
    else:
        dark = 1 + 1.5 * np.clip(0.35 - brightness[where], 0, None)
        measured = d + normal[2] * (0.0012 + 0.0016 * d * d) * dark
        mixed = share * measured + (1 - share) * corner
        measured = np.where(edge & (flying < 0.6), mixed, measured)
        lost = 0.002 + 0.15 * edge
    lost = lost + 0.5 * (cosine[where] < GRAZING)
    gone = (chance < lost) | (measured > FARTHEST_M) | (d > FARTHEST_M)
    image = np.zeros(z.shape, np.float32)
    image[where] = np.where(gone, 0.0, measured)
    if structured:
        image = _projector_shadow(image, focal)
    return np.rint(1000 * image).astype(np.uint16)


def _look_up(z: Single, where: Flags, shift: Single) -> tuple[Single, Single, Flags]:
    """Depth beside each wanted pixel, where its ray really went; that of the neighbour down right; outlines.

    Args:
        z: exact depth, (S, S).
        where: wanted pixels, N of them.
        shift: random numbers that move the rays by rows and columns, (2, N).
    """
    finite = np.pad(np.minimum(z, np.float32(20.0)), 1, mode="edge")
    rows, columns = (index + 1 for index in np.nonzero(where))
    centre = 2 * finite[rows, columns]
    down = np.abs(finite[rows + 1, columns] + finite[rows - 1, columns] - centre)
    across = np.abs(finite[rows, columns + 1] + finite[rows, columns - 1] - centre)
    step = np.rint(np.clip(0.6 * shift, -1, 1)).astype(np.intp)
    moved: Single = finite[rows + step[0], columns + step[1]]
    return moved, finite[rows + 1, columns + 1], np.maximum(down, across) > EDGE_M


def _projector_shadow(measured: Single, focal: float) -> Single:
    """Remove what a nearer surface to its right hides from the projector."""
    seen = measured > 0
    disparity = np.float32(SENSOR_FOCAL * BASELINE_M) / np.where(seen, measured, np.float32(np.inf))
    step = SENSOR_FOCAL / focal  # sensor pixels per pixel of the crop
    hidden = np.zeros(measured.shape, np.bool_)
    for shift in range(1, min(measured.shape[1], int(16 / step) + 2)):
        leap = disparity[:, shift:] - disparity[:, :-shift]
        nearer = measured[:, shift:] < measured[:, :-shift] - 0.15
        hidden[:, :-shift] |= (leap >= shift * step) & nearer & seen[:, shift:]
    measured[hidden] = 0.0
    return measured


def rough_mask(person: Flags, rng: Generator) -> Flags:
    """Silhouette as a segmenter would give it: smoothly displaced border, 2 % holes; (S, S)."""
    size = len(person)
    knots = 9
    spread = _interpolation(size, knots)
    amplitude = size / 128
    shift = [amplitude * (spread @ rng.normal(size=(knots, knots)) @ spread.T) for _ in range(2)]
    place = np.arange(size)
    rows = np.clip(np.rint(place[:, None] + shift[0]), 0, size - 1).astype(np.intp)
    columns = np.clip(np.rint(place[None] + shift[1]), 0, size - 1).astype(np.intp)
    return person[rows, columns] & (_cut(size, rng, uniform=True)[:, ::3] > 0.02)


@cache
def _interpolation(size: int, knots: int) -> NDArray[np.float64]:
    """Linear interpolation from evenly spaced knots to pixels, (S, K)."""
    place = np.linspace(0, knots - 1, size)
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(knots)[None]))
    return weights
