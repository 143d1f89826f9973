"""Cross-check with the reference library, where a developer has installed it (non-commercial licence)."""

import numpy as np
import pytest

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix

smplx = pytest.importorskip("smplx")
torch = pytest.importorskip("torch")


@pytest.mark.filterwarnings("ignore")
def test_the_reference_library_poses_the_exported_body_alike(tmp_path, capsys, export_smpl):
    body = surrogate_body()
    export_smpl(body, tmp_path / "smpl")
    model = smplx.create(str(tmp_path), model_type="smpl", gender="neutral", batch_size=4)
    rng = np.random.default_rng(0)
    betas, pose = rng.normal(size=(4, 10)), rng.normal(size=(4, 24, 3)) * 0.4
    tensors = {
        "betas": betas,
        "global_orient": pose[:, 0],
        "body_pose": pose[:, 1:].reshape(4, -1),
    }
    reference = model(**{key: torch.tensor(value, dtype=torch.float32) for key, value in tensors.items()})
    worst = 0.0
    for i in range(4):
        vertices, joints, _ = body.pose(*body.shape(betas[i]), axis_angle_to_matrix(pose[i]))
        worst = max(worst, np.abs(vertices - reference.vertices[i].detach().numpy()).max())
        worst = max(worst, np.abs(joints - reference.joints[i, :24].detach().numpy()).max())
    with capsys.disabled():
        print(f"largest difference to smplx: {worst * 1e6:.2f} micrometres")
    assert worst < 1e-5
