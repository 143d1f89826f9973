"""CMC: pull the modalities of one person together, against a memory of all others (arXiv:1906.05849).

In the form of the first stage of HCMoCo (arXiv:2203.13815, Sec. 4.2): softmax cross-entropy, not NCE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from bench.api import Batch, Context, DataInfo, Encoder, Features, Method, StepOutput
from bench.encoders.partial import encode_present
from bench.encoders.pretrained import Source, load_image_encoders
from bench.errors import ConfigError
from bench.losses.memory import MemoryBank, Negatives, memory_contrast
from bench.losses.numerics import l2_normalize, masked_mean
from bench.modalities import there
from bench.settings import Count, OffWhen, Positive, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class CMCConfig:
    variant: Literal["paper", "official"] = (
        "paper"  # official: absent modalities are encoded and remembered too
    )
    dim: Count = 128  # D, width of the shared embedding
    temperature: Positive = 0.07
    negatives: Negatives = "shared"  # the official code draws per_sample
    n_negatives: Annotated[Count, OffWhen(negatives="all")] = (
        16384  # K; where the memory holds no more, all of it is used
    )
    momentum: Share = 0.5  # share of the old row in a memory update
    init: Literal["random", "imagenet"] = "random"  # weights of the image encoders at the start
    # local weights; empty takes the Hugging Face cache
    file: Annotated[str, OffWhen(init="random")] = ""

    def check(self, *, where: str, encoders: Mapping[str, Any], fields: Sequence[str]) -> None:
        """Check that the data have two modalities to contrast."""
        found = there(encoders, fields)
        if len(found) < 2:
            raise ConfigError(
                f"{where}: of {', '.join(encoders)} the data have {', '.join(found)} alone, and nothing to "
                "contrast it with; choose another mix"
            )


class CMC(Method):
    """Contrast every ordered pair of modalities; the loss is the sum over the pairs.

    A pair is averaged over the samples that have both. The memory is written after the step. Negatives of
    a modality are other samples that have it; under `variant: official` any samples, the own one included.
    """

    Config: ClassVar[type] = CMCConfig

    def __init__(self, cfg: CMCConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        if len(encoders) < 2:
            raise ConfigError(f"contrast needs two modalities or more, got {', '.join(encoders) or 'none'}")
        self.cfg = cfg
        self.modalities = tuple(encoders)
        self.global_mappers = nn.ModuleDict(
            {m: nn.Linear(e.feature_info.pooled, cfg.dim) for m, e in encoders.items()}
        )
        self.memory = MemoryBank(self.modalities, data.n_samples, cfg.dim, momentum=cfg.momentum)
        self._unwritten: list[tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]] = []  # empty between steps

    def initialise(self) -> Mapping[str, str]:
        if self.cfg.init == "random":
            return {}
        facts = load_image_encoders(self.encoders.values(), Source(file=self.cfg.file))
        return {"init": "imagenet", **facts}

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        features, valid = self.encode(batch, ctx)
        loss, scalars = self.sample_level(features, valid, batch["sample_id"], ctx)
        return StepOutput(terms={"sample": loss}, scalars=scalars)

    def after_step(self, ctx: Context) -> None:
        for ids, entries in self._unwritten:
            everyone = ctx.world.all_gather(ids)
            for modality, (embedding, valid) in entries.items():
                known = torch.ones_like(valid) if self.cfg.variant == "official" else valid
                embedded, kept = ctx.world.all_gather(embedding), ctx.world.all_gather(known)
                self.memory.update(modality, everyone, embedded, kept)
        self._unwritten.clear()

    def encode(self, batch: Batch, ctx: Context) -> tuple[dict[str, Features], dict[str, Tensor]]:
        """Encode all modalities; return features and which samples have them, (N,) bool."""
        features, valid = {}, {}
        for modality in self.modalities:
            x, present = batch[modality], batch[f"valid.{modality}"]
            encoded = torch.ones_like(present) if self.cfg.variant == "official" else present
            encoder = self.encoder(modality)
            features[modality] = encode_present(encoder, x, encoded, ctx.group, *encoder.besides(batch))
            valid[modality] = present
        return features, valid

    def encoder(self, modality: str) -> Encoder:
        """Return the encoder of a modality."""
        encoder = self.encoders[modality]
        assert isinstance(encoder, Encoder)
        return encoder

    def sample_level(
        self, features: Mapping[str, Features], valid: Mapping[str, Tensor], ids: Tensor, ctx: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of whole samples, and note what to write into the memory.

        Args:
            features: per modality.
            valid: per modality, (N,) bool.
            ids: (N,) int64, rows of the memory.
            ctx: of the step, which draws the negatives.

        Returns:
            Scalar, the sum over ordered pairs; and the value of each pair, for logging.
        """
        own = {
            m: l2_normalize(self.global_mappers[m](features[m].pooled)) for m in self.modalities
        }  # (N, D) each
        usable = self._usable(valid)
        chosen = self._negatives(len(ids), ctx)
        terms = {}
        for target in self.modalities:
            rows = self.memory.rows(target)
            positives, negatives = rows[ids], rows[chosen[target]]
            excluded = None if self.cfg.variant == "official" else chosen[target] == ids[:, None]
            for anchor in self.modalities:
                if anchor != target:
                    values = memory_contrast(
                        own[anchor], positives, negatives, self.cfg.temperature, excluded
                    )  # (N,)
                    terms[f"{anchor}_{target}"] = masked_mean(
                        values, usable[anchor] & usable[target], ctx.group
                    )
        self._unwritten.append((ids, {m: (own[m].detach(), valid[m]) for m in self.modalities}))
        total = torch.stack([terms[f"{a}_{b}"] for a, b in permutations(self.modalities, 2)]).sum()
        return total, {f"sample_{name}": value.detach() for name, value in terms.items()}

    def _usable(self, valid: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return which samples take part; the official code drops those without colour altogether."""
        if self.cfg.variant == "official" and "rgb" in valid:
            return {m: v & valid["rgb"] for m, v in valid.items()}
        return valid

    def _negatives(self, samples: int, ctx: Context) -> dict[str, Tensor]:
        """Draw ids per target modality; the official code draws once for all, among all samples."""
        cfg = self.cfg
        if cfg.variant == "official":
            ids = self.memory.negatives(None, cfg.negatives, cfg.n_negatives, samples, ctx.draws)
            return dict.fromkeys(self.modalities, ids)
        return {
            m: self.memory.negatives(m, cfg.negatives, cfg.n_negatives, samples, ctx.draws)
            for m in self.modalities
        }
