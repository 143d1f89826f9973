from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.bodymodels.model import ROOT, BodyModel


@pytest.fixture
def export_smpl() -> Callable[[BodyModel, Path], list[Path]]:
    """Write a model as code that expects SMPL files reads it: an npz, and a pickle of protocol 2."""

    def export(model: BodyModel, directory: Path) -> list[Path]:
        table = np.stack([np.where(model.parents < 0, ROOT, model.parents), np.arange(len(model.parents))])
        arrays = {
            "v_template": model.v_template,
            "shapedirs": model.shapedirs,
            "posedirs": model.posedirs.toarray().reshape(len(model.v_template), 3, -1),
            "J_regressor": model.joint_regressor.toarray().astype(np.float32),
            "weights": model.weights,
            "kintree_table": table.astype(np.uint32),
            "f": model.faces.astype(np.uint32),
        }
        directory.mkdir(parents=True, exist_ok=True)
        files = [directory / "SMPL_NEUTRAL.npz", directory / "SMPL_NEUTRAL.pkl"]
        np.savez_compressed(files[0], **arrays)
        files[1].write_bytes(pickle.dumps(arrays, protocol=2))
        return files

    return export
