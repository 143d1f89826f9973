"""Cameras: where they stand, what they look at, and the crop around the person.

Camera frame: x right, y down, z ahead. A crop keeps the perspective of the full frame: only focal length and
principal point change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.synth.domains import Domain
from bench.synth.scene import Scene

Floats = NDArray[np.float64]

SENSOR_FOCAL = 580.0  # pixels of the full frame of 640 x 480 (Kinect v1)
CENTRE_HEIGHT = 0.9  # metres, what the cameras of a rig look at


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Camera:
    """A pinhole camera and its crop."""

    rotation: Floats  # world to camera, (3, 3)
    eye: Floats  # position in the world, metres, (3,)
    focal: float = SENSOR_FOCAL  # pixels of the image
    cx: float = 0.0  # principal point, pixels; the top left corner is (0, 0), pixel centres at .5
    cy: float = 0.0

    def packed(self) -> Floats:
        """Rotation (row by row), eye, focal, cx, cy: (15,)."""
        return np.concatenate([self.rotation.ravel(), self.eye, [self.focal, self.cx, self.cy]])

    def record(self) -> NDArray[np.float32]:
        """The `cam` array of a sample: f, cx, cy, rotation (9), eye (3), focal / sensor focal; (16,)."""
        row = [self.focal, self.cx, self.cy, *self.rotation.ravel(), *self.eye, self.focal / SENSOR_FOCAL]
        return np.array(row, np.float32)

    def seen(self, points: NDArray[np.floating]) -> Floats:
        """World points (N, 3) in the camera frame, metres, as rows x, y, z: (3, N)."""
        return self.rotation @ points.T - (self.rotation @ self.eye)[:, None]

    def pixels(self, seen: Floats) -> Floats:
        """Points of the camera frame (3, N) to rows of pixel x, pixel y and depth in metres, (3, N)."""
        scale = self.focal / seen[2]
        return np.stack([seen[0] * scale + self.cx, seen[1] * scale + self.cy, seen[2]])

    def project(self, points: NDArray[np.floating]) -> Floats:
        """World points (N, 3) to pixel x, pixel y and depth in metres, (N, 3)."""
        return self.pixels(self.seen(points)).T


def look_at(eye: Floats, target: Floats, roll_rad: float) -> Floats:
    """Rotation (3, 3) of a camera at `eye` that looks at `target`."""
    ahead = (target - eye) / np.linalg.norm(target - eye)
    right = np.array([-ahead[2], 0.0, ahead[0]])
    right /= np.linalg.norm(right)
    down = np.cross(ahead, right)
    c, s = np.cos(roll_rad), np.sin(roll_rad)
    return np.stack([c * right + s * down, c * down - s * right, ahead])


def place_camera(
    domain: Domain, scene: Scene, rng: Generator, azimuth_deg: float | None, centre: Floats
) -> Camera:
    """Put a camera somewhere; it then stays there for the whole clip.

    Args:
        domain: rules of height and distance.
        scene: turns the rig.
        rng: source of all randomness.
        azimuth_deg: place on the rig; None = anywhere around the person.
        centre: of the person over the clip, metres, (3,).
    """
    near, far = domain.distance_m
    distance = float(np.exp(rng.uniform(np.log(near), np.log(far))))
    if azimuth_deg is None:
        azimuth, target = rng.uniform(0, 2 * np.pi), centre
        elevation = np.radians(np.clip(10 + 13 * rng.normal(), -18, 60))
    else:
        azimuth = np.radians(scene.rig_turn_deg + azimuth_deg)
        target, elevation = np.array([0.0, CENTRE_HEIGHT, 0.0]), 0.0
    flat = np.array(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]
    )
    eye = target + distance * flat
    eye[1] = max(eye[1], 0.15) if domain.camera_height_m is None else rng.uniform(*domain.camera_height_m)
    roll = np.radians((4 if azimuth_deg is None else 1.5) * rng.normal())
    return Camera(rotation=look_at(eye, target, roll), eye=eye)


def crop(camera: Camera, seen: Floats, size: int, rng: Generator, domain: Domain) -> Camera:
    """Choose focal length and principal point so that the person fills the image.

    Args:
        camera: full-frame camera.
        seen: surface of the person in its frame, metres, (3, V).
        size: side of the square image, pixels.
        rng: source of all randomness; the same numbers are drawn in every case.
        domain: how full, and how often truncated.
    """
    rays = seen[:2] / seen[2]
    low, high = rays.min(1), rays.max(1)
    extent, middle = (high - low).max(), (low + high) / 2
    u = rng.random(6)
    fill = domain.fill[0] + (domain.fill[1] - domain.fill[0]) * u[0]
    if u[1] < domain.truncation:  # keep a part of the longer side; mostly the legs get lost
        share = 0.4 + 0.35 * u[2]
        long = int(np.argmax(high - low))
        end = -1.0 if (long == 1 and u[3] < 0.75) or (long == 0 and u[3] < 0.5) else 1.0
        middle[long] += end * (1 - share) / 2 * (high - low)[long]
        extent *= share
    middle = middle + (u[4:6] - 0.5) * max(0.02, 1 - fill) * extent
    focal = size * fill / extent
    return Camera(
        rotation=camera.rotation,
        eye=camera.eye,
        focal=focal,
        cx=size / 2 - focal * middle[0],
        cy=size / 2 - focal * middle[1],
    )
