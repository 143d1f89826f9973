"""Build encoders from plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from bench.adapters.loading import load_configured
from bench.api import Encoder, FeatureInfo
from bench.errors import ConfigError


def build_encoder(
    spec: Mapping[str, Any],
    modality: str,
    joint_set: str | None = None,
    config_dirs: Sequence[str] = (),
) -> Encoder:
    """Build an encoder with fresh weights, drawn from torch's current random state.

    Args:
        spec: `adapter`, `version`, `config`, as in configs/encoder/<name>.yaml; or the `spec` of an encoder,
            which is rebuilt as it was.
        modality: `rgb`, `depth` or `kp2d`: what it will read, hence its input normalisation.
        joint_set: name of the joint set, for `kp2d`.
        config_dirs: where adapters are found besides.

    Raises:
        ConfigError: unknown adapter or config key, or one that does not read the modality.
    """
    adapter, config = load_configured(spec, Encoder, f"encoder {spec['adapter']}", config_dirs)
    encoder: Encoder = adapter(config, modality, joint_set)
    info = getattr(encoder, "feature_info", None)
    if not isinstance(info, FeatureInfo):
        raise ConfigError(
            f"encoder {spec['adapter']}: its __init__ sets no feature_info, a FeatureInfo of bench.api"
        )
    if info.kind != spec.get("kind", info.kind):  # rates and heads are chosen by it
        raise ConfigError(
            f"encoder {spec['adapter']}: its YAML says kind {spec['kind']}, its feature_info {info.kind}"
        )
    encoder.spec = {
        **{key: spec[key] for key in ("adapter", "version", "source") if key in spec},
        "config": dict(spec["config"]),
        "pretrained": spec.get("pretrained"),
        "modality": modality,
        "joint_set": joint_set if modality == "kp2d" else None,
    }
    return encoder


def fields_of(network: nn.Module) -> tuple[str, ...]:
    """Return the fields of the data that the encoders in a network read besides their modalities."""
    found = [name for m in network.modules() if isinstance(m, Encoder) for name in m.fields]
    return tuple(dict.fromkeys(found))
