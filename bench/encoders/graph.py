"""Graph network on 2D joints (SemGCN, arXiv:1904.03345, as used by HCMoCo)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.api import Encoder, FeatureInfo, Features
from bench.bodymodels.joints import JOINT_SETS
from bench.errors import ConfigError, nearest
from bench.settings import Count, Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphConfig:
    width: Count = 128
    blocks: Whole = 4  # residual ones, two layers each


class SemGCN(Encoder):
    """One layer from coordinates to `width`, residual blocks, one plain layer; no dropout, no attention.

    `tokens` is the output per joint, `pooled` its mean over the joints.
    """

    Config = GraphConfig

    def __init__(self, cfg: GraphConfig, modality: str, joint_set: str | None) -> None:
        """Create the layers for the tree of a joint set.

        Args:
            cfg: see `GraphConfig`.
            modality: `kp2d`.
            joint_set: key of `JOINT_SETS`.

        Raises:
            ConfigError: another modality, or an unknown joint set.
        """
        super().__init__()
        if modality != "kp2d" or joint_set is None:
            raise ConfigError(
                f'the graph encoder reads kp2d and needs a joint set, not "{modality}"/{joint_set}'
            )
        if joint_set not in JOINT_SETS:
            raise ConfigError(f'unknown joint set "{joint_set}".{nearest(joint_set, JOINT_SETS)}')
        parents = JOINT_SETS[joint_set].parents
        self.first = _Unit(2, cfg.width, parents)
        self.blocks = nn.ModuleList(
            nn.Sequential(_Unit(cfg.width, cfg.width, parents), _Unit(cfg.width, cfg.width, parents))
            for _ in range(cfg.blocks)
        )
        self.last = GraphConv(cfg.width, cfg.width, parents)
        self.feature_info = FeatureInfo(kind="graph", channels=(cfg.width,), strides=(), pooled=cfg.width)

    def forward(self, x: Tensor) -> Features:
        """Encode (N, J, 2) row, col; root-centred, largest visible coordinate 1, hidden joints zero."""
        hidden = self.first(x)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        tokens = self.last(hidden)
        return Features(maps=(), pooled=tokens.mean(1), tokens=tokens)


class GraphConv(nn.Module):
    """Semantic graph convolution: learned edge weights, one matrix for the joint, one for its neighbours.

    out = (S * I) X W0 + (S * (1 - I)) X W1 + b, where S is the softmax over a joint's neighbours and itself
    of one learned scalar per directed edge (arXiv:1904.03345, Eq. 2 and 3).
    """

    def __init__(self, inputs: int, outputs: int, parents: Sequence[int]) -> None:
        super().__init__()
        joints = len(parents)
        linked = torch.eye(joints, dtype=torch.bool)
        for child, parent in enumerate(parents):
            if parent >= 0:
                linked[child, parent] = linked[parent, child] = True
        rows, columns = linked.nonzero(as_tuple=True)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.joints = joints
        self.edges = nn.Parameter(torch.ones(len(rows)))
        self.weight = nn.Parameter(torch.empty(2, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        for matrix in self.weight:
            nn.init.xavier_uniform_(matrix.data, gain=1.414)
        nn.init.uniform_(self.bias, -1 / math.sqrt(outputs), 1 / math.sqrt(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, J, inputs) to (N, J, outputs)."""
        weights = self.edge_weights().to(x.dtype)
        own = weights.diagonal()
        themselves, neighbours = (x @ torch.cat(tuple(self.weight), 1)).chunk(2, 2)
        return own[:, None] * themselves + (weights - own.diag()) @ neighbours + self.bias

    def edge_weights(self) -> Tensor:
        """Return S, (J, J); rows sum to 1, zero where no edge is."""
        empty = self.edges.new_full((self.joints, self.joints), -torch.inf)
        where = (self.get_buffer("rows"), self.get_buffer("columns"))
        return empty.index_put(where, self.edges).softmax(1)


class _Unit(nn.Module):
    """Layer, batch norm over samples and joints, ReLU."""

    def __init__(self, inputs: int, outputs: int, parents: Sequence[int]) -> None:
        super().__init__()
        self.conv = GraphConv(inputs, outputs, parents)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.conv(x)
        return torch.relu(self.norm(hidden.flatten(0, 1))).view_as(hidden)
