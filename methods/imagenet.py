"""ImageNet: published supervised weights, no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

from bench.api import Batch, Context, DataInfo, Encoder, Method, StepOutput
from bench.encoders.pretrained import Source, load_image_encoders
from bench.errors import StepError
from bench.settings import GIVEN, OffWhen


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNetConfig:
    file: str = ""  # local weights; empty takes those of the tag from the Hugging Face cache
    tag: Annotated[str, OffWhen(file=GIVEN)] = ""  # of timm; empty takes `pretrained` of the encoder
    mean: tuple[float, ...] = ()  # that the weights expect; empty takes the tag's, for a file the encoder's
    std: tuple[float, ...] = ()
    grid: tuple[int, ...] = ()  # height and width of a position table in patches; empty takes a square


class ImageNet(Method):
    """Load weights into the colour encoder and the same ones into the depth encoder (HCMoCo, Sec. 5.1)."""

    Config = ImageNetConfig

    def __init__(self, cfg: ImageNetConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        self.cfg = cfg

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        raise StepError("imagenet does not train; its stage must have share 0")

    def initialise(self) -> Mapping[str, str]:
        facts = load_image_encoders(self.encoders.values(), Source(**asdict(self.cfg)))
        return {"init": "imagenet", **facts}
