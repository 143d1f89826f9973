"""From raw rows to a batch of tensors, and the normalisation of 2D joints.

Joints (`kp`, `kp_pix`) are positions (row, col) in the plane of the picture: pixel (r, c) covers
[r, r + 1) x [c, c + 1), so the pixel under a joint is its floor, as for `grid_sample` with
`align_corners=False`. Annotated `points` name pixels instead: whole numbers are pixel centres, and
augmentation makes them fractional. Absent positions are -1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.api import Batch
from bench.bodymodels.joints import JOINT_SETS
from bench.errors import ConfigError, nearest

Raw = Mapping[str, NDArray[Any]]

SOURCES = {"rgb": "rgb", "depth": "depth", "kp2d": "kp_det"}  # modality -> raw field
CLASS_MAPS = ("parts", "chart", "point_chart", "cluster")
BYTE_UV = ("uv", "point_uv")
LABELS = (*CLASS_MAPS, *BYTE_UV, "mask", "points", "kp", "betas")


def to_batch(
    raw: Raw,
    modalities: Sequence[str],
    fields: Sequence[str],
    device: torch.device | str,
    *,
    joint_set: str = "smpl24",
) -> Batch:
    """Convert raw rows; bytes travel to the device before they become floats.

    Args:
        raw: what `People.batch` returns for the sources of the modalities and the fields.
        modalities: of `rgb`, `depth`, `kp2d`; gives the inputs that `bench.api` lists. Rows of samples that
            lack a modality are zero. `kp2d` is made of the detector-like joints and brings `kp_pix`, `kp_vis`
            and `kp_known` (N, J) bool, found, maybe outside the crop; it needs a picture beside it.
        fields: labels: `parts`, `chart` int64 (N, H, W); `mask` bool (N, H, W); `uv` float32 (N, 2, H, W)
            in [0, 1]; `points` float32 (N, P, 2); `point_chart` int64 (N, P), 0 = none; `point_uv` float32
            (N, P, 2) in [0, 1]; `kp` float32 (N, J, 4), exact: row, col, metres from the camera, visibility
            0 outside, 1 hidden, 2 visible; `cluster` int64 (N,); `betas` float32 (N, 10).
        device: of the tensors.
        joint_set: of the joints.

    Raises:
        ConfigError: unknown modality or field.
    """
    batch = {
        name: moved(raw[name], device) for name in raw if name == "sample_id" or name.startswith("valid.")
    }
    for name in modalities:
        if name not in SOURCES:
            raise ConfigError(f'unknown modality "{name}".{nearest(name, SOURCES)}')
    if "rgb" in modalities:
        pixels = moved(raw["rgb"], device).permute(0, 3, 1, 2)  # stays channels-last in memory
        batch["rgb"] = pixels.to(torch.float32).div_(255)
    if "depth" in modalities:
        batch["depth"] = depth_m(raw["depth"], device)[:, None]
    if "kp2d" in modalities:
        batch |= _joints(raw, device, joint_set)
    for name in fields:
        batch[name] = label(name, raw, device)
    return batch


def label(name: str, raw: Raw, device: torch.device | str) -> Tensor:
    """Convert one label; `to_batch` says to what.

    Raises:
        ConfigError: no such label.
    """
    if name not in LABELS:
        raise ConfigError(f'no label "{name}" can be put into a batch.{nearest(name, LABELS)}')
    values = moved(raw[name], device)
    if name in CLASS_MAPS:
        return values.to(torch.int64)
    if name in BYTE_UV:
        scaled = values.to(torch.float32).div_(255)
        return scaled.permute(0, 3, 1, 2) if name == "uv" else scaled
    if name == "points":
        return values.to(torch.float32)
    if name == "kp":
        return values[..., [1, 0, 2, 3]]  # x, y -> row, col
    return values


def moved(array: NDArray[Any], device: torch.device | str) -> Tensor:
    """Copy an array to a device (on the CPU the memory is shared)."""
    return torch.from_numpy(array).to(device, non_blocking=True)


def depth_m(millimetres: NDArray[np.uint16], device: torch.device | str) -> Tensor:
    """Metres from uint16 millimetres, (N, H, W). Sensors end below 10 m, so the sign bit is free."""
    return moved(millimetres.view(np.int16), device).to(torch.float32).mul_(1e-3)


def _joints(raw: Raw, device: torch.device | str, joint_set: str) -> Batch:
    picture = raw.get("rgb", raw.get("depth"))
    if picture is None:
        raise ConfigError("the modality kp2d needs rgb or depth beside it, which say where the crop ends")
    found = moved(raw["kp_det"], device)  # x, y, confidence
    pixels, known = found[..., [1, 0]], found[..., 2] > 0
    return joints_of(torch.where(known[..., None], pixels, -1.0), known, picture.shape[1], joint_set)


def joints_of(kp_pix: Tensor, kp_known: Tensor, size: int, joint_set: str) -> Batch:
    """All entries of a batch that follow from the joints' positions.

    Args:
        kp_pix: (N, J, 2).
        kp_known: (N, J) bool.
        size: of the crop, pixels.
        joint_set: names the hips.

    Returns:
        `kp_pix`, `kp_known`, `kp_vis` and `kp2d`.
    """
    visible = kp_known & inside(kp_pix, size)
    normalised = normalise_joints(kp_pix, visible, kp_known, joint_set)
    return {"kp_pix": kp_pix, "kp_known": kp_known, "kp_vis": visible, "kp2d": normalised}


def inside(positions: Tensor, size: int) -> Tensor:
    """Which positions (..., 2) lie in a crop of `size` pixels, (...) bool."""
    return ((positions >= 0) & (positions < size)).all(-1)


def normalise_joints(kp_pix: Tensor, kp_vis: Tensor, kp_known: Tensor, joint_set: str) -> Tensor:
    """Joints relative to the mid-hip over their largest absolute coordinate (HCMoCo, arXiv:2203.13815).

    Corrected against its released code: the root is the mid-hip of every joint set, joints that are not
    visible neither count for the scale nor keep a value. Shifts and scales of the picture cancel; its
    rotation does not.

    Args:
        kp_pix: positions in pixels, (N, J, 2).
        kp_vis: annotated and inside the crop, (N, J) bool.
        kp_known: annotated, (N, J) bool. A hip outside the crop still gives the root; without any hip the
            mean of the visible joints does (design choice).
        joint_set: names the hips.

    Returns:
        (N, J, 2) in [-1, 1]; 0 for joints that are not visible.
    """
    names = JOINT_SETS[joint_set].names
    hips = [names.index("left hip"), names.index("right hip")]
    by_hips = _mean(kp_pix[:, hips], kp_known[:, hips])
    by_all = _mean(kp_pix, kp_vis)
    root = torch.where(kp_known[:, hips].any(1)[:, None], by_hips, by_all)
    centred = (kp_pix - root[:, None]) * kp_vis[..., None]
    scale = centred.abs().amax((1, 2), keepdim=True)
    return centred / scale.clamp_min(1e-6)


def _mean(positions: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen positions, (N, 2); 0 where none is chosen."""
    weight = chosen.to(positions.dtype)[..., None]
    total = (positions * weight).sum(1)
    return total / weight.sum(1).clamp_min(1)
