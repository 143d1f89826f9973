"""Published weights, and any checkpoint of a user: loaded, not trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from bench.api import Batch, Context, DataInfo, Encoder, Method, StepOutput
from bench.encoders.cost import describe_cost
from bench.encoders.image import ImageEncoder
from bench.encoders.pretrained import Source, load_image_encoders
from bench.errors import StepError
from bench.settings import GIVEN, OffWhen
from bench.weights.layout import check_told


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedConfig:
    file: str = ""  # local weights; empty takes those of the tag
    tag: Annotated[str, OffWhen(file=GIVEN)] = ""  # of timm; empty takes `pretrained` of the encoder
    layout: str | dict[str, Any] = ""  # name of one (bench list layouts); empty detects it
    mean: tuple[
        float, ...
    ] = ()  # that the weights expect; empty takes the layout's or tag's, else the encoder's
    std: tuple[float, ...] = ()
    grid: tuple[int, ...] = ()  # height and width of a position table in patches; empty takes a square
    licence: str = ""
    trained_on: tuple[str, ...] = field(default=())  # data sets
    init: str = "published"  # what tables call the beginning

    def __post_init__(self) -> None:
        check_told(self.mean, self.std, self.grid)


class Published(Method):
    """Load weights into the colour encoder and the same ones into the depth encoder (HCMoCo, Sec. 5.1).

    A depth encoder takes weights of its own where the file holds them.
    """

    Config = PublishedConfig

    def __init__(self, cfg: PublishedConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        self.cfg = cfg
        self.size = data.size

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        raise StepError("published weights are not trained; their stage must have budget_share 0")

    def initialise(self) -> Mapping[str, str]:
        words = {key: value for key, value in asdict(self.cfg).items() if key != "init"}
        facts = load_image_encoders(self.encoders.values(), Source(**words))
        image = next((e for e in self.encoders.values() if isinstance(e, ImageEncoder)), None)
        cost = describe_cost(image, self.size) if image else {}
        seen = {"sources": facts["trained_on"]} if "trained_on" in facts else {}
        return {"init": self.cfg.init, **facts, **cost, **seen}
