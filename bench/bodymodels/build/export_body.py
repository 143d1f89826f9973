"""Build the surrogate body and write the files that the package ships."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.bodymodels.build.charts import chart_coordinates
from bench.bodymodels.build.correctives import fit_correctives
from bench.bodymodels.build.hand import Hand, fit_hand, hands_of
from bench.bodymodels.build.labels import (
    chart_parts,
    joint_parts,
    number_both_sides,
    parsing_parts,
    right_half,
    tidy,
)
from bench.bodymodels.build.landmarks import find_landmarks
from bench.bodymodels.build.mesh import mirror_faces
from bench.bodymodels.build.shapes import (
    Samples,
    draw_samples,
    fit_joint_regressor,
    principal_shapes,
    symmetric_weights,
)
from bench.bodymodels.build.skeleton import JOINTS, merge_matrix, pose_globally, t_pose
from bench.bodymodels.build.source import NativeBody, digest_of_sources, load_native_body
from bench.bodymodels.build.surface_mesh import SurfaceMesh, decimate
from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.model import HAND_FILE, LEAST_INFLUENCES, ROOT, SURROGATE_FILE
from bench.bodymodels.surface import DP24_NAMES, LABELS_FILE, P25_NAMES, UV_STEPS

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

NAME = "surrogate-v1"
HAND_NAME = "surrogate-hand-v1"
VERSION = 1
SEED = 0
REGRESSOR_PEOPLE = 250
SUMS_FILE = "SHA256SUMS"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Body:
    """Everything that goes into the body file, in full precision."""

    template: Floats  # (V, 3)
    directions: Floats  # (V, 3, 10)
    regressor: Floats  # (24, V)
    weights: Floats  # (V, 24)
    correctives: sparse.csr_array  # (3V, 207)
    landmarks: dict[str, int]
    root: Floats  # (3,), where the pelvis joint of the mean of the samples was


def build(directory: Path, people: int) -> dict[str, float]:
    """Build body, labels and hand, and write the npz files and their checksums.

    Args:
        directory: where to write; made if missing.
        people: samples behind the shape space.

    Returns:
        Figures about the quality of the result, by name.
    """
    native = load_native_body()
    mesh = decimate(native, *_t_posed_mean(native))
    samples = draw_samples(native, mesh, people, np.random.default_rng(SEED))
    body = fit_body(native, mesh, samples)
    hand = fit_hand(native, mesh, samples, REGRESSOR_PEOPLE)
    directory.mkdir(parents=True, exist_ok=True)
    files = {
        SURROGATE_FILE: body_arrays(body, mesh),
        LABELS_FILE: label_arrays(body, mesh),
        HAND_FILE: hand_arrays(hand),
    }
    for name, arrays in files.items():
        write_npz(directory / name, arrays)
    sums = [f"{hashlib.sha256((directory / name).read_bytes()).hexdigest()}  {name}\n" for name in files]
    (directory / SUMS_FILE).write_text("".join(sums))
    return held_out_errors(native, mesh, body, hand)


def _t_posed_mean(native: NativeBody) -> tuple[Floats, float]:
    """The mean adult in the T-pose, (N, 3), and the x of the right wrist."""
    heads = native.heads[None]
    transforms, placed = pose_globally(native, heads, t_pose(native, heads))
    blended = np.einsum("vb,bij->vij", native.weights, transforms[0])
    vertices = np.einsum("vij,vj->vi", blended[..., :3], native.template) + blended[..., 3]
    return vertices, float(placed[0, native.bones.index("wrist.R"), 0])


def fit_body(native: NativeBody, mesh: SurfaceMesh, samples: Samples) -> Body:
    """Fit shape space, weights, joint regressor, correctives and landmarks to samples."""
    mean, directions = principal_shapes(samples, mesh.mirror)
    bone_weights = native.weights[mesh.rows]
    weights = symmetric_weights(bone_weights @ merge_matrix(native.bones), mesh.mirror)
    first = Samples(
        vertices=samples.vertices[:REGRESSOR_PEOPLE],
        joints=samples.joints[:REGRESSOR_PEOPLE],
        heads=samples.heads[:REGRESSOR_PEOPLE],
    )
    regressor = fit_joint_regressor(first, weights, mesh.mirror)
    root = regressor[0] @ mean * [0, 1, 1]
    mean = mean - root
    parents = np.array(JOINT_SETS["smpl24"].parents)
    heads = samples.heads.mean(0) - root
    return Body(
        template=mean,
        directions=directions,
        regressor=regressor,
        weights=weights,
        correctives=fit_correctives(mean, regressor @ mean, weights, parents, mesh.mirror, SEED),
        root=root,
        landmarks=find_landmarks(mean, weights, mesh.mirror, native.bones, bone_weights, heads),
    )


def body_arrays(body: Body, mesh: SurfaceMesh) -> Arrays:
    """Contents of the body file: half floats and sparse rows where they cost no accuracy that matters."""
    parents = np.array(JOINT_SETS["smpl24"].parents)
    return {
        "v_template": body.template.astype(np.float32),
        "shapedirs": body.directions.astype(np.float16),
        "posedirs_values": body.correctives.data.astype(np.float16),
        "posedirs_columns": body.correctives.indices.astype(np.uint8),
        "posedirs_rows": body.correctives.indptr.astype(np.int32),
        **_joint_arrays(body.regressor, body.weights, parents),
        "f": mesh.faces.astype(np.uint16),
        "mirror": mesh.mirror.astype(np.uint16),
        "hand_vertex_ids": mesh.hand.astype(np.uint16),
        **_closing_arrays(body.landmarks, NAME),
    }


def hand_arrays(hand: Hand) -> Arrays:
    """Contents of the hand file, laid out like the body's; it has no pose correctives."""
    return {
        "v_template": hand.template.astype(np.float32),
        "shapedirs": hand.directions.astype(np.float16),
        "posedirs_values": np.zeros(0, np.float16),
        "posedirs_columns": np.zeros(0, np.uint8),
        "posedirs_rows": np.zeros(3 * len(hand.template) + 1, np.int32),
        **_joint_arrays(hand.regressor, hand.weights, np.array(JOINT_SETS["mano16"].parents)),
        "f": hand.faces.astype(np.uint16),
        **_closing_arrays(hand.landmarks, HAND_NAME),
    }


def _joint_arrays(regressor: Floats, weights: Floats, parents: NDArray[np.int64]) -> Arrays:
    strongest = np.argsort(-weights, axis=1, kind="stable")[:, :LEAST_INFLUENCES]
    joint, vertex = np.nonzero(regressor)
    return {
        "J_regressor_rows": joint.astype(np.uint8),
        "J_regressor_vertices": vertex.astype(np.uint16),
        "J_regressor_values": regressor[joint, vertex].astype(np.float32),
        "weights_ids": strongest.astype(np.uint8),
        "weights_values": np.take_along_axis(weights, strongest, 1).astype(np.float16),
        "kintree_table": np.stack([np.where(parents < 0, ROOT, parents), np.arange(len(parents))]).astype(
            np.uint32
        ),
    }


def _closing_arrays(landmarks: dict[str, int], name: str) -> Arrays:
    return {
        "keypoint_names": np.array(list(landmarks)),
        "keypoint_vertices": np.array(list(landmarks.values()), np.uint16),
        "model_name": np.array(name),
        "version": np.array(VERSION),
        "sha256_of_sources": np.array(digest_of_sources()),
    }


def label_arrays(body: Body, mesh: SurfaceMesh) -> Arrays:
    """Contents of the label file."""
    face_mirror = mirror_faces(mesh.faces, mesh.mirror)
    joints = body.regressor @ body.template
    half = right_half(body.template, mesh.faces, mesh.mirror, body.weights, joints)

    def table(parts: NDArray[np.str_], names: tuple[str, ...]) -> NDArray[np.uint8]:
        return number_both_sides(tidy(parts, half.neighbours), half, face_mirror, names)

    dp24 = table(chart_parts(half), DP24_NAMES)
    uv = chart_coordinates(body.template, mesh.faces, dp24, mesh.mirror, face_mirror)
    return {
        "model_name": np.array(NAME),
        "version": np.array(VERSION),
        "dp24": dp24,
        "p25": table(parsing_parts(half), P25_NAMES),
        "smpl24": table(joint_parts(half), JOINTS),
        "uv": np.rint(uv * UV_STEPS).astype(np.uint16),
        "face_mirror": face_mirror.astype(np.uint16),
    }


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an npz whose bytes depend on the arrays alone, packed as tightly as deflate can."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue())


def held_out_errors(
    native: NativeBody, mesh: SurfaceMesh, body: Body, hand: Hand, people: int = 100
) -> dict[str, float]:
    """Reconstruct new people and hands with the ten betas and with the joint regressor; millimetres."""
    fresh = draw_samples(native, mesh, people, np.random.default_rng(SEED + 1))
    gap = _residuals(body.directions, fresh.vertices - body.root - body.template)
    joints = np.einsum("jv,svd->sjd", body.regressor, fresh.vertices) - fresh.joints
    height = np.ptp(fresh.vertices[..., 1], axis=1)
    hands, hand_joints = hands_of(native, mesh, fresh)
    hand_gap = _residuals(hand.directions, hands - hand.template)
    finger_joints = np.einsum("jv,svd->sjd", hand.regressor, hands) - hand_joints
    return {
        "vertex error mean, mm": float(gap.mean()),
        "vertex error 95 %, mm": float(np.percentile(gap, 95)),
        "vertex error largest, mm": float(gap.max()),
        "joint error mean, mm": float(1e3 * np.linalg.norm(joints, axis=2).mean()),
        "height mean, m": float(height.mean()),
        "height deviation, m": float(height.std()),
        "hand vertex error mean, mm": float(hand_gap.mean()),
        "hand vertex error 95 %, mm": float(np.percentile(hand_gap, 95)),
        "hand joint error mean, mm": float(1e3 * np.linalg.norm(finger_joints, axis=2).mean()),
    }


def _residuals(directions: Floats, offset: Floats) -> Floats:
    """Distances (S, V), mm, that offsets (S, V, 3) keep from the span of directions (V, 3, B)."""
    basis = directions.reshape(-1, directions.shape[2])
    flat = offset.reshape(len(offset), -1).T
    betas = np.linalg.lstsq(basis, flat, rcond=None)[0]
    gap: Floats = 1e3 * np.linalg.norm((flat - basis @ betas).T.reshape(offset.shape), axis=2)
    return gap
