"""Mesh of a right hand from two pictures, the second one by another camera (arXiv:2311.09104, Sec. 4)."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.body_mesh_pair import BodyMeshPair, BodyMeshPairConfig
from tasks.hand_mesh import HandMesh, HandMeshConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class HandMeshPairConfig(HandMeshConfig, BodyMeshPairConfig):
    """Settings are those of pairs of bodies."""


class HandMeshPair(HandMesh, BodyMeshPair):
    """The network of `BodyMeshPair` on the hand of `HandMesh`, to which the first picture belongs."""

    Config = HandMeshPairConfig
