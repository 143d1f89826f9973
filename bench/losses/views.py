"""Where two augmented views show the same place of the stored image.

A view is told by its map `crop` (N, 3, 3), from (x, y) in the plane of the stored image to (x, y) in that of
the view; pixel (r, c) covers [c, c + 1) x [r, r + 1). Mirrored and rotated views need no case of their own.
Feature maps cover their image evenly, whatever their resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.losses.cells import read_between


@torch.no_grad()
def cell_centres(crop: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return where the cells of a view's feature map lie in the stored image.

    Args:
        crop: (N, 3, 3).
        grid: (h, w) of the map.
        size: (H, W) of the view, pixels.

    Returns:
        (N, h * w, 2) x, y of the centres, row by row; pixels of the stored image.
    """
    return _moved(torch.linalg.inv(crop.float()), _centres(grid, crop.device) * _extent(size, crop))


@torch.no_grad()
def cell_diagonals(crop: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return the length of a cell's diagonal in pixels of the stored image, (N,); arguments as above."""
    back: Tensor = torch.linalg.inv(crop.float())[:, :2, :2]
    cell = _extent(size, crop) / torch.tensor([grid[1], grid[0]], device=crop.device)
    squares: Tensor = (back * cell).square().sum((1, 2))
    return squares.sqrt()  # of both sides: views are scaled equally in x and y


@torch.no_grad()
def cell_distances(crop: Tensor, crop2: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return how far the cells of two views are apart, in units of the larger cell (arXiv:2011.10043, Eq. 1).

    Args:
        crop: of the first view, (N, 3, 3).
        crop2: of the second.
        grid: (h, w) of both feature maps.
        size: (H, W) of both views, pixels.

    Returns:
        (N, h * w, h * w): distance between the centres of cell i of the first and cell j of the second view,
        divided by the larger of the two cells' diagonals.
    """
    first, second = (cell_centres(c, grid, size) for c in (crop, crop2))
    unit = torch.maximum(*(cell_diagonals(c, grid, size) for c in (crop, crop2)))
    between = torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
    return between / unit[:, None, None]


@torch.no_grad()
def shared_points(crop: Tensor, crop2: Tensor, size: tuple[int, int], side: int) -> tuple[Tensor, Tensor]:
    """Lay a regular grid of points over what two views have in common.

    That is the intersection of their rectangles in the stored image (of rotated views, of the rectangles
    around them). Points are the centres of `side` x `side` equal parts of it.

    Args:
        crop: of the first view, (N, 3, 3).
        crop2: of the second.
        size: (H, W) of both views, pixels.
        side: points per row and per column.

    Returns:
        (N, side * side, 2) x, y in the stored image, row by row; (N,) bool, whether there is an intersection.
        Without one the points are finite but mean nothing.
    """
    (low, high), (low2, high2) = (_rectangle(c, size) for c in (crop, crop2))
    start, end = torch.maximum(low, low2), torch.minimum(high, high2)
    points = start[:, None] + _centres((side, side), crop.device) * (end - start)[:, None]
    return points, (end > start).all(1)


def read_view(maps: Tensor, points: Tensor, crop: Tensor, size: tuple[int, int]) -> Tensor:
    """Read a view's feature map bilinearly at places of the stored image.

    Args:
        maps: (N, C, h, w).
        points: (N, P, 2) x, y in the stored image; what lies outside the view reads its border.
        crop: of the view, (N, 3, 3).
        size: (H, W) of the view, pixels.

    Returns:
        (N, P, C).
    """
    inside = _moved(crop.float(), points) / _extent(size, crop)
    return read_between(maps, inside.flip(-1))


def _centres(grid: tuple[int, int], device: torch.device) -> Tensor:
    """Centres of the cells of a grid, (h * w, 2) x, y in 0..1, row by row."""
    rows, columns = ((torch.arange(n, device=device, dtype=torch.float32) + 0.5) / n for n in grid)
    return torch.cartesian_prod(rows, columns).flip(-1)


def _extent(size: tuple[int, int], like: Tensor) -> Tensor:
    return torch.tensor([size[1], size[0]], dtype=torch.float32, device=like.device)


def _moved(maps: Tensor, points: Tensor) -> Tensor:
    """Apply affine maps (N, 3, 3) to points ([N,] P, 2)."""
    return points @ maps[:, :2, :2].mT + maps[:, None, :2, 2]


def _rectangle(crop: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Corners of the rectangle around a view in the stored image, (N, 2) each."""
    ends = torch.arange(2, device=crop.device, dtype=torch.float32)
    corners = torch.cartesian_prod(ends, ends) * _extent(size, crop)
    places = _moved(torch.linalg.inv(crop.float()), corners)
    return places.amin(1), places.amax(1)
