"""What the shaders read: the dressed person and the world around, as tuples of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.model import surrogate_body
from bench.synth.identity import Identity
from bench.synth.motion import Motion
from bench.synth.noise import lattice
from bench.synth.raster import rasterize, vertex_normals
from bench.synth.scene import Scene

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

SHADOW_SIZE = 80  # pixels
SHADOW_OFFSET = 100.0  # metres, keeps depths from the light positive


class Person(NamedTuple):
    """Surface of one person at one time."""

    faces: NDArray[np.int32]  # (F, 3)
    normals: Single  # unit, of the dressed surface, (V, 3)
    canon: Single  # canonical positions, metres, (V, 3)
    cuts: Floats  # of the clothes


class World(NamedTuple):
    """Materials and light at one time."""

    materials: Single  # of the person, then of the scene, (M, 18)
    light: Floats  # packed, (18,)
    shadow: Single  # depth from the light, (80, 80)
    shadow_frame: Floats  # axes (9), origin (2), pixels per metre (2), offset of the depth; (14,)
    backdrop: Single  # linear colours, (B, B, 3)
    turn: float
    lattice: Single


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posed:
    """One person in one pose, standing on the floor of the world."""

    vertices: Single  # the body without clothes, metres, (V, 3)
    dressed: Single  # the surface that is seen, (V, 3)
    joints: Floats  # (24, 3)
    translation: Floats  # from the posed body model to the world, (3,)
    person: Person


def pose_frame(identity: Identity, motion: Motion, frame: int) -> Posed:
    """Skin, dress and ground the person of a clip at one of its frames."""
    model = surrogate_body()
    turned, joints = motion.turned[frame], motion.joints[frame]
    moved = joints - np.einsum("jik,jk->ji", turned, identity.joints)
    transforms = np.concatenate([turned, moved[..., None]], 2).astype(np.float32)
    feature = (motion.rotations[frame, 1:] - np.eye(3)).reshape(-1).astype(np.float32)
    vertices = model.skin(identity.vertices, transforms, feature)
    x, z = motion.path[frame]
    lift = motion.hop[frame] - float(vertices[:, 1].min())
    translation = np.array([x, lift, z])
    vertices = vertices + translation.astype(np.float32)
    normals = vertex_normals(vertices, model.faces)
    dressed = vertices + normals * identity.offsets[:, None]
    person = Person(
        faces=model.faces,
        normals=vertex_normals(dressed, model.faces),
        canon=model.v_template,
        cuts=identity.outfit.cuts,
    )
    return Posed(
        vertices=vertices,
        dressed=dressed,
        joints=joints + translation,
        translation=translation,
        person=person,
    )


def light_world(identity: Identity, scene: Scene, posed: Posed) -> World:
    """Materials, light and the shadow that the person casts at this moment."""
    return world_around(identity.materials, scene, posed.dressed, posed.person.faces)


def world_around(own: Single, scene: Scene, surface: Single, faces: NDArray[np.int32]) -> World:
    """Materials, light and the shadow that a mesh casts.

    Args:
        own: materials of whom it belongs to, (7, 18).
        scene: the surroundings.
        surface: vertices, metres, (V, 3).
        faces: of the mesh, (F, 3).
    """
    towards = scene.light.direction
    up = np.array([0.0, 1.0, 0.0]) if abs(towards[1]) < 0.95 else np.array([1.0, 0.0, 0.0])
    across = np.cross(up, towards)
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(towards, across), -towards])
    seen: Floats = axes @ surface.T.astype(np.float64)
    low, high = seen[:2].min(1) - 0.05, seen[:2].max(1) + 0.05
    scale = SHADOW_SIZE / (high - low)
    seen[:2] = (seen[:2] - low[:, None]) * scale[:, None]
    seen[2] += SHADOW_OFFSET
    return World(
        materials=np.concatenate([own, scene.materials]),
        light=scene.light.packed(),
        shadow=rasterize(seen, faces, SHADOW_SIZE).depth,
        shadow_frame=np.concatenate([axes.ravel(), low, scale, [SHADOW_OFFSET]]),
        backdrop=scene.backdrop,
        turn=scene.turn,
        lattice=lattice(),
    )
