"""From raw rows to a batch of tensors, field by field as its kind says, and the normalisation of 2D joints.

Joints (kind `joints2d`, and `keypoints_pixels`) are positions (row, col) in the plane of the image: pixel
(r, c) covers [r, r + 1) x [c, c + 1), so the pixel under a joint is its floor, as for `grid_sample` with
`align_corners=False`. Annotated pixels (kind `pixels`) name pixels instead: whole numbers are pixel centres,
and augmentation makes them fractional. Absent ones are -1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.api import Batch
from bench.bodymodels.joints import JOINT_SETS
from bench.dataset import MODALITIES, Arrays, Field, FieldKind, picture_size
from bench.errors import ConfigError, DataError, nearest

Raw = Arrays


def to_batch(
    raw: Raw,
    modalities: Sequence[str],
    names: Sequence[str],
    fields: Mapping[str, Field],
    device: torch.device | str,
    *,
    joint_set: str,
) -> Batch:
    """Convert raw rows; bytes travel to the device before they become floats.

    Args:
        raw: what `Dataset.batch` returns for the fields of the modalities and the names.
        modalities: of `rgb`, `depth`, `kp2d`; gives the inputs that `bench.api` lists. Rows of samples that
            lack a modality are zero. `kp2d` is made of the field `keypoints_detected` and brings
            `keypoints_pixels`, `keypoints_visible` and `keypoints_labeled` (N, J) bool: found, even outside
            the crop.
        names: further fields. By kind: `image` float32 (N, 3, H, W) in [0, 1]; `depth` float32 (N, 1, H, W)
            metres; `classes` int64 (N, H, W); `mask` bool (N, H, W); `uv` float32 (N, 2, H, W) in [0, 1];
            `pixels` float32 (N, P, 2); `point_classes` int64 (N, P), 0 = none; `point_uv` float32 (N, P, 2)
            in [0, 1]; `boxes` float32 (N, B, 4) as stored; `joints2d` (N, J, ...) row, col, and what else is
            stored; `plain` integers int64, floats float32, bool; all others float32 as stored.
        fields: what the data set says of its fields.
        device: where the batch goes.
        joint_set: names the hips for `kp2d`.

    Raises:
        ConfigError: unknown modality or field.
    """
    batch = {
        name: moved(raw[name], device) for name in raw if name == "sample_id" or name.startswith("valid.")
    }
    for modality in modalities:
        if modality not in MODALITIES:
            raise ConfigError(f'unknown modality "{modality}".{nearest(modality, MODALITIES)}')
        if modality == "kp2d":
            batch |= _joints(raw, fields, device, joint_set)
        else:
            batch[modality] = decode(raw, MODALITIES[modality], fields, device)
    for name in names:
        batch[name] = decode(raw, name, fields, device)
    return batch


def decode(raw: Raw, name: str, fields: Mapping[str, Field], device: torch.device | str) -> Tensor:
    """Convert one field; `to_batch` says to what.

    Raises:
        ConfigError: the data have no such field.
    """
    if name not in fields:
        raise ConfigError(f'data have no field "{name}".{nearest(name, fields)}')
    kind = fields[name].kind
    found = raw[name].shape[1:] if name in raw else "missing"
    if found != fields[name].shape:
        raise DataError(
            f"batch() of the data set: {name} is {found}, declared {fields[name].shape} per sample"
        )
    if kind == "depth":
        return depth_m(raw[name], device)[:, None]
    return DECODERS.get(kind, _single)(moved(raw[name], device))


def moved(array: NDArray[np.generic], device: torch.device | str) -> Tensor:
    """Copy an array to a device (on the CPU the memory is shared)."""
    return torch.from_numpy(array).to(device, non_blocking=True)


def depth_m(millimetres: NDArray[np.uint16], device: torch.device | str) -> Tensor:
    """Metres from uint16 millimetres, (N, H, W). Sensors end below 10 m, so the sign bit is free."""
    return moved(millimetres.view(np.int16), device).to(torch.float32).mul_(1e-3)


def _single(values: Tensor) -> Tensor:
    return values.to(torch.float32)


def _whole(values: Tensor) -> Tensor:
    return values.to(torch.int64)


def _bytes(values: Tensor) -> Tensor:
    return values.to(torch.float32).div_(255)


def _planes(values: Tensor) -> Tensor:
    """(N, H, W, C) bytes to (N, C, H, W); stays channels-last in memory."""
    return values.permute(0, 3, 1, 2).to(torch.float32).div_(255)


def _plain(values: Tensor) -> Tensor:
    if values.dtype == torch.bool:
        return values
    return _single(values) if values.is_floating_point() else _whole(values)


def _row_first(values: Tensor) -> Tensor:
    """Make x, y, ... to row, col, ..."""
    return torch.cat([values[..., [1, 0]], values[..., 2:]], -1).to(torch.float32)


DECODERS: dict[FieldKind, Callable[[Tensor], Tensor]] = {  # all others become float32
    "image": _planes, "classes": _whole, "mask": torch.Tensor.bool, "uv": _planes, "point_classes": _whole,
    "point_uv": _bytes, "joints2d": _row_first, "plain": _plain,
}  # fmt: skip


def _joints(raw: Raw, fields: Mapping[str, Field], device: torch.device | str, joint_set: str) -> Batch:
    found = decode(raw, MODALITIES["kp2d"], fields, device)  # row, col, confidence
    pixels, known = found[..., :2], found[..., -1] > 0
    return joints_of(torch.where(known[..., None], pixels, -1.0), known, picture_size(fields), joint_set)


def joints_of(
    keypoints_pixels: Tensor, keypoints_labeled: Tensor, size: tuple[int, int], joint_set: str
) -> Batch:
    """All entries of a batch that follow from the joints' positions.

    Args:
        keypoints_pixels: (N, J, 2).
        keypoints_labeled: (N, J) bool.
        size: (H, W) of the crop, pixels.
        joint_set: names the hips.

    Returns:
        `keypoints_pixels`, `keypoints_labeled`, `keypoints_visible` and `kp2d`.
    """
    visible = keypoints_labeled & inside(keypoints_pixels, size)
    normalised = normalise_joints(keypoints_pixels, visible, keypoints_labeled, joint_set)
    return {
        "keypoints_pixels": keypoints_pixels,
        "keypoints_labeled": keypoints_labeled,
        "keypoints_visible": visible,
        "kp2d": normalised,
    }


def inside(positions: Tensor, size: tuple[int, int]) -> Tensor:
    """Which positions (row, col) (..., 2) lie in a crop of (H, W) pixels, (...) bool."""
    height, width = size
    row, col = positions.unbind(-1)
    return (row >= 0) & (row < height) & (col >= 0) & (col < width)


def normalise_joints(
    keypoints_pixels: Tensor, keypoints_visible: Tensor, keypoints_labeled: Tensor, joint_set: str
) -> Tensor:
    """Joints relative to the mid-hip over their largest absolute coordinate (HCMoCo, arXiv:2203.13815).

    Corrected against its released code: the root is the mid-hip of every joint set, joints that are not
    visible neither count for the scale nor keep a value. Shifts and scales of the image cancel; its
    rotation does not.

    Args:
        keypoints_pixels: positions in pixels, (N, J, 2).
        keypoints_visible: annotated and inside the crop, (N, J) bool.
        keypoints_labeled: annotated, (N, J) bool. A hip outside the crop still gives the root; without any
            hip the mean of the visible joints does (design choice).
        joint_set: names the hips.

    Returns:
        (N, J, 2) in [-1, 1]; 0 for joints that are not visible.
    """
    names = JOINT_SETS[joint_set].names
    hips = [names.index("left hip"), names.index("right hip")]
    by_hips = _mean(keypoints_pixels[:, hips], keypoints_labeled[:, hips])
    by_all = _mean(keypoints_pixels, keypoints_visible)
    root = torch.where(keypoints_labeled[:, hips].any(1)[:, None], by_hips, by_all)
    centred = (keypoints_pixels - root[:, None]) * keypoints_visible[..., None]
    scale = centred.abs().amax((1, 2), keepdim=True)
    return centred / scale.clamp_min(1e-6)


def _mean(positions: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen positions, (N, 2); 0 where none is chosen."""
    weight = chosen.to(positions.dtype)[..., None]
    total = (positions * weight).sum(1)
    return total / weight.sum(1).clamp_min(1)
