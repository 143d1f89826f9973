"""Import adapters by the address in their YAML and build their typed configs."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.adapters import outside, sources
from bench.errors import AssetError, ConfigError, nearest
from bench.settings import convert


class ImportFailure(ConfigError):
    """The code of an adapter failed while it was imported; only the steps that need it fail."""


def load_adapter(address: str, config_dirs: Sequence[str] = (), source: str = "") -> Any:
    """Import `module:Class` from the project, from one of some folders, or from an installed package.

    Args:
        address: of the adapter.
        config_dirs: folders of adapters.
        source: digest of the code that is meant, for adapters outside the project; "" = any.

    Raises:
        ConfigError: malformed address, no such module, one that ends the program, or no such class in it.
        AssetError: the code has changed since `source` was computed.
    """
    module_name, class_name = sources.split(address)
    try:
        module = _module(address, module_name, config_dirs, source)
    except SystemExit as error:
        raise ImportFailure(
            f'adapter "{address}": {module_name} called sys.exit({error.code!r}) while it was imported; '
            'read the command line, and end the program, under `if __name__ == "__main__":` alone'
        ) from error
    if not hasattr(module, class_name):
        public = [n for n, v in vars(module).items() if isinstance(v, type)]
        close = nearest(class_name, public)
        raise ConfigError(f'adapter "{address}": {module_name} has no {class_name}.{close}')
    return getattr(module, class_name)


def _module(address: str, name: str, config_dirs: Sequence[str], source: str) -> ModuleType:
    if not sources.is_shipped(address):
        places = [p for d in config_dirs if (p := sources.Place(Path(d).resolve())).file(name)]
        for place in places:
            digest = sources.digest(place, name)
            if source in ("", digest):
                return outside.import_module(place.folder, name, digest)
        there = sources.installed(name)
        if source and there is None and not places:
            raise AssetError(
                f'the code of "{address}" is in none of the folders of adapters; name its (--config-dir DIR)'
            )
        if source and (there is None or sources.digest(there, name) != source):
            raise AssetError(
                f'the code of "{address}" has changed since the grid was planned; restore it, or run the '
                "grid again"
            )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(f'adapter "{address}": there is no module {error.name}') from error
        raise


def address_of(kind: type) -> str:
    """Return the address under which `load_adapter` finds a class again."""
    module = kind.__module__
    if module.startswith(outside.PREFIX):  # of a folder: its package is named after the folder's path
        module = module.partition(".")[2]
    return f"{module}:{kind.__qualname__}"


def load_configured(
    spec: Mapping[str, Any], base: type, where: str, config_dirs: Sequence[str] = ()
) -> tuple[Any, Any]:
    """Return the class of a method, task or encoder, and its config.

    Args:
        spec: `adapter`, `config`, and `source` outside the project.
        base: what the class must be derived from.
        where: how messages about the config begin.
        config_dirs: where adapters are found besides.

    Raises:
        ConfigError: no such class, one of another kind, or a wrong value.
        AssetError: its code has changed since the grid was planned.
    """
    adapter = load_adapter(spec["adapter"], config_dirs, spec.get("source", ""))
    check_kind(adapter, base, str(spec["adapter"]))
    return adapter, build_config(getattr(adapter, "Config", None), spec["config"], where)


def check_kind(adapter: Any, base: type, address: str) -> None:
    """Make sure that an adapter is a class of its kind, and defines what each of them must.

    Raises:
        ConfigError: it is not, or does not.
    """
    if not (isinstance(adapter, type) and issubclass(adapter, base)):
        raise ConfigError(f"adapter {address} is not a subclass of bench.api.{base.__name__}")
    for name in dir(base):
        if getattr(getattr(adapter, name, None), "__isabstractmethod__", False):
            own = [n for n in vars(adapter) if not n.startswith("_")]
            close = nearest(name, own)
            hint = close if "Did you mean" in close else ""
            raise ConfigError(f"adapter {address}: its class defines no {name}(); see bench.api.{hint}")
    either = [name for name in ("head", "network") if hasattr(base, name)]  # of tasks
    if either and all(getattr(adapter, name) is getattr(base, name) for name in either):
        raise ConfigError(
            f"adapter {address}: its class defines neither {'() nor '.join(either)}(); see bench.api"
        )


def build_config(schema: Any, values: Mapping[str, Any], where: str) -> Any:
    """Build a config dataclass from YAML values.

    Raises:
        ConfigError: unknown, missing or wrongly typed keys.
    """
    if not (isinstance(schema, type) and dataclasses.is_dataclass(schema)):
        raise ConfigError(f"{where}: the Config of its class is no dataclass; write @dataclass above it")
    return convert(values, schema, where)
