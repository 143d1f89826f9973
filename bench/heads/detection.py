"""Detectors of people on any encoder with maps: torchvision's feature pyramid, proposals and regions.

Faster R-CNN (arXiv:1506.01497) with a feature pyramid (arXiv:1612.03144). Anchors follow the strides. Samples
of anchors and regions are drawn from torch's global generator, which the training loop seeds for every step.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import AnchorGenerator, RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from bench.api import FeatureInfo, Features
from bench.errors import ConfigError
from bench.heads.pixel import upsample

Levels = Mapping[str, Tensor]

STRIDES = (4, 8, 16, 32)  # of the levels made of tokens
ANCHOR = 8  # side of an anchor in strides: 32 pixels at stride 4
RATIOS = (0.5, 1.0, 2.0)
GROUPS = 32  # of the normalisation, or as many as divide the channels
BOX_CELLS = 7  # of a region, for the box head
KINDS = ("pyramid", "tokens")  # of encoders


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much a detector computes; torchvision's and detectron2's numbers."""

    width: int = 256  # channels of the levels
    hidden: int = 1024  # of the box head
    proposals: int = 1000  # per picture
    anchor_samples: int = 256  # anchors per picture in the loss
    region_samples: int = 512  # regions per picture in the loss
    detections: int = 20  # per picture
    least_score: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """Regions of all pictures of a batch, one after the other."""

    boxes: list[Tensor]  # left, top, right, bottom, of each picture, (M_n, 4)
    scores: list[Tensor]  # (M_n,)
    picture: Tensor  # (M,)
    truth: Tensor  # which of the picture's truths a region belongs to, (M,); training only

    @property
    def all_boxes(self) -> Tensor:
        """(M, 4)."""
        return torch.cat(self.boxes)


def level_maker(info: FeatureInfo, width: int) -> nn.Module:
    """Build a module that maps `Features` to levels of `width` channels, finest first, by name.

    Raises:
        ConfigError: the encoder returns no maps.
    """
    if info.kind == "pyramid":
        return PyramidLevels(info, width)
    if info.kind == "tokens":
        return TokenLevels(info, width)
    raise ConfigError(
        f'a "{info.kind}" encoder has no image maps: detection needs a pyramid or tokens encoder'
    )


def strides_of(info: FeatureInfo) -> tuple[int, ...]:
    """Return the strides of the levels of an encoder."""
    return info.strides if info.kind == "pyramid" else STRIDES


def group_norm(channels: int) -> nn.GroupNorm:
    """Return what lets heads learn from scratch, whatever the batch (arXiv:1811.08883, Sec. 3)."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


class PyramidLevels(nn.Module):
    """A feature pyramid network on all maps."""

    def __init__(self, info: FeatureInfo, width: int) -> None:
        super().__init__()
        self.fpn = FeaturePyramidNetwork(list(info.channels), width, norm_layer=group_norm)

    def forward(self, features: Features) -> Levels:
        """Return a level per map."""
        out: Levels = self.fpn(OrderedDict((str(i), x.float()) for i, x in enumerate(features.maps)))
        return out


class TokenLevels(nn.Module):
    """Levels of one map, the last of a plain transformer (simple feature pyramid, arXiv:2203.16527)."""

    def __init__(self, info: FeatureInfo, width: int) -> None:
        super().__init__()
        channels, stride = info.channels[-1], info.strides[-1]
        self.levels = nn.ModuleList(
            nn.Sequential(
                _resized(channels, stride / wanted),
                nn.Conv2d(channels, width, 1, bias=False),
                group_norm(width),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                group_norm(width),
            )
            for wanted in STRIDES
        )

    def forward(self, features: Features) -> Levels:
        """Return a level per stride of `STRIDES`."""
        last = features.maps[-1].float()
        return OrderedDict((str(i), level(last)) for i, level in enumerate(self.levels))


def _resized(channels: int, scale: float) -> nn.Module:
    if scale > 1:
        return nn.ConvTranspose2d(channels, channels, round(scale), stride=round(scale))
    return nn.Identity() if scale == 1 else nn.MaxPool2d(round(1 / scale), ceil_mode=True)


def _box_head(given: int, hidden: int) -> nn.Module:
    """Two layers; normalised, see `group_norm`."""
    first = (nn.Linear(given, hidden, bias=False), nn.LayerNorm(hidden), nn.ReLU())
    second = (nn.Linear(hidden, hidden, bias=False), nn.LayerNorm(hidden), nn.ReLU())
    return nn.Sequential(nn.Flatten(), *first, *second)


class Detector(nn.Module):
    """Levels, proposals, regions and their boxes; one class, people. Computes in float32."""

    def __init__(self, info: FeatureInfo, sizes: Sizes) -> None:
        super().__init__()
        self.levels = level_maker(info, sizes.width)
        strides = strides_of(info)
        anchors = AnchorGenerator(tuple((ANCHOR * s,) for s in strides), (RATIOS,) * len(strides))
        count = {"training": sizes.proposals, "testing": sizes.proposals}
        self.rpn = RegionProposalNetwork(
            anchors,
            RPNHead(sizes.width, len(RATIOS)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=sizes.anchor_samples,
            positive_fraction=0.5,
            pre_nms_top_n=count,
            post_nms_top_n=count,
            nms_thresh=0.7,
        )
        self.names = [str(i) for i in range(len(strides))]
        self.roi = RoIHeads(
            MultiScaleRoIAlign(self.names, BOX_CELLS, sampling_ratio=2),
            _box_head(sizes.width * BOX_CELLS**2, sizes.hidden),
            FastRCNNPredictor(sizes.hidden, 2),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=sizes.region_samples,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=sizes.least_score,
            nms_thresh=0.5,
            detections_per_img=sizes.detections,
        )

    def pool(self, cells: int) -> MultiScaleRoIAlign:
        """Return what cuts regions of `cells` x `cells` out of the levels, for further heads."""
        return MultiScaleRoIAlign(self.names, cells, sampling_ratio=2)

    def propose(
        self, features: Features, images: Tensor, truths: Sequence[Tensor] | None
    ) -> tuple[Levels, list[Tensor], dict[str, Tensor]]:
        """Return levels, proposals of each picture, and in training the losses of the proposals.

        Args:
            features: of the encoder.
            images: (N, 3, H, W); their size counts.
            truths: boxes of the people of each picture, (G_n, 4); None outside of training.
        """
        levels = self.levels(features)
        sizes = [(images.shape[-2], images.shape[-1])] * len(images)
        targets = None if truths is None else [{"boxes": boxes} for boxes in truths]
        proposals, losses = self.rpn(ImageList(images, sizes), levels, targets)
        return levels, proposals, {name.removeprefix("loss_"): value for name, value in losses.items()}

    def learn(
        self, levels: Levels, proposals: list[Tensor], truths: Sequence[Tensor], size: tuple[int, int]
    ) -> tuple[Regions, dict[str, Tensor]]:
        """Return the regions on people, and the losses of the box head."""
        targets = [
            {"boxes": boxes, "labels": boxes.new_ones(len(boxes), dtype=torch.int64)} for boxes in truths
        ]
        boxes, owner, labels, wanted = self.roi.select_training_samples(proposals, targets)
        logits, deltas = self._judge(levels, boxes, size)
        classes, places = fastrcnn_loss(logits, deltas, labels, wanted)
        on = [label > 0 for label in labels]
        kept = [box[keep] for box, keep in zip(boxes, on, strict=True)]
        scores = [box.new_ones(len(box)) for box in kept]
        owners = torch.cat([own[keep] for own, keep in zip(owner, on, strict=True)])
        return _regions(kept, scores, owners), {"class": classes, "box": places}

    def detect(self, levels: Levels, proposals: list[Tensor], size: tuple[int, int]) -> Regions:
        """Return the detections of each picture, the surest first."""
        logits, deltas = self._judge(levels, proposals, size)
        boxes, scores, _ = self.roi.postprocess_detections(logits, deltas, proposals, [size] * len(proposals))
        return _regions(boxes, scores, None)

    def _judge(self, levels: Levels, boxes: list[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        cut = self.roi.box_roi_pool(levels, boxes, [size] * len(boxes))
        logits, deltas = self.roi.box_predictor(self.roi.box_head(cut))
        return logits, deltas


def _regions(boxes: list[Tensor], scores: list[Tensor], truth: Tensor | None) -> Regions:
    counts = torch.tensor([len(each) for each in boxes], device=boxes[0].device)
    picture = torch.repeat_interleave(torch.arange(len(boxes), device=boxes[0].device), counts)
    return Regions(
        boxes=boxes,
        scores=scores,
        picture=picture,
        truth=picture.new_zeros(len(picture)) if truth is None else truth,
    )


class SurfaceHead(nn.Module):
    """Convolutions on regions, then maps at four times their cells: a deconvolution and a bilinear step."""

    def __init__(self, width: int, channels: int, convolutions: int, out_channels: int) -> None:
        """Size the layers.

        Args:
            width: channels of the levels.
            channels: inside the head.
            convolutions: how many, 3 x 3.
            out_channels: K, maps wanted.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(convolutions):
            given = width if number == 0 else channels
            layers += [nn.Conv2d(given, channels, 3, padding=1, bias=False), group_norm(channels), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.out = nn.ConvTranspose2d(channels, out_channels, 4, stride=2, padding=1)
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, cut: Tensor) -> Tensor:
        """Map (M, width, c, c) to (M, K, 4 c, 4 c)."""
        maps = self.out(self.body(cut))
        return upsample(maps, (2 * maps.shape[-2], 2 * maps.shape[-1]))
