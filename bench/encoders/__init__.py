"""Encoders: colour, depth or joints in, features out; built from plain data, stored as safetensors + JSON."""

from bench.encoders.build import build_encoder, fields_of
from bench.encoders.files import load_encoder, save_encoder

__all__ = ["build_encoder", "fields_of", "load_encoder", "save_encoder"]
