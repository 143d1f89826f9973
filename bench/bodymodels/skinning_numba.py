"""Linear blend skinning with sparse pose correctives, compiled with numba (SMPL, ACM TOG 34(6), Eqs. 2-9)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.jit import kernel

Single = NDArray[np.float32]
Ints = NDArray[np.int32]


@kernel()
def skin(
    vertices: Single,
    ids: Ints,
    values: Single,
    transforms: Single,
    corrective_rows: Ints,
    corrective_columns: Ints,
    corrective_values: Single,
    feature: Single,
    out: Single,
) -> None:
    """Add the pose correctives to each vertex and move it by the weighted joint transforms.

    Args:
        vertices: rest shape, metres, (V, 3).
        ids: joints that move each vertex, (V, K).
        values: their weights, (V, K); 0 = unused.
        transforms: rest to posed, (J, 3, 4).
        corrective_rows: CSR row pointer of the correctives, (3V + 1,).
        corrective_columns: CSR columns.
        corrective_values: CSR values, metres.
        feature: rotations minus identity of joints 1.., (9 (J - 1),).
        out: receives the posed vertices, (V, 3).
    """
    for v in range(vertices.shape[0]):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        for k in range(corrective_rows[3 * v], corrective_rows[3 * v + 1]):
            x += corrective_values[k] * feature[corrective_columns[k]]
        for k in range(corrective_rows[3 * v + 1], corrective_rows[3 * v + 2]):
            y += corrective_values[k] * feature[corrective_columns[k]]
        for k in range(corrective_rows[3 * v + 2], corrective_rows[3 * v + 3]):
            z += corrective_values[k] * feature[corrective_columns[k]]
        out_x, out_y, out_z = 0.0, 0.0, 0.0
        for k in range(ids.shape[1]):
            weight = values[v, k]
            if weight == 0.0:
                continue
            a = transforms[ids[v, k]]
            out_x += weight * (a[0, 0] * x + a[0, 1] * y + a[0, 2] * z + a[0, 3])
            out_y += weight * (a[1, 0] * x + a[1, 1] * y + a[1, 2] * z + a[1, 3])
            out_z += weight * (a[2, 0] * x + a[2, 1] * y + a[2, 2] * z + a[2, 3])
        out[v, 0] = out_x
        out[v, 1] = out_y
        out[v, 2] = out_z
