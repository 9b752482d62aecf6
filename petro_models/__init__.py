"""petro_models: probabilistic models that read the history of a rock out of its chemistry."""

import importlib
import importlib.util
import logging
import os
from typing import TYPE_CHECKING, Any

from petro_models.cluster.processes import where_programs_are_kept

# Bound here, or the name of the room would hide the function.
from petro_models.report import report as report

if TYPE_CHECKING:
    from petro_models.public import *  # noqa: F403

__version__ = "0.1.0"

# JAX reads this when it starts: four devices on the CPU let chains run side by side.
_flags = os.environ.get("XLA_FLAGS", "")
if "xla_force_host_platform_device_count" not in _flags:
    os.environ["XLA_FLAGS"] = f"{_flags} --xla_force_host_platform_device_count=4".strip()
os.environ.setdefault("JAX_ENABLE_X64", "true")
os.environ.update(where_programs_are_kept(os.environ))

_logger = logging.getLogger("petro_models")
if not _logger.handlers:
    _logger.addHandler(logging.StreamHandler())
    _logger.setLevel(logging.INFO)


def __getattr__(name: str) -> Any:
    # PyMC and JAX take seconds to import: not before a public name is asked for.
    if name.startswith("_"):
        raise AttributeError(f"module 'petro_models' has no attribute '{name}'")
    if importlib.util.find_spec(f"petro_models.{name}"):  # modules import each other by name
        return importlib.import_module(f"petro_models.{name}")
    public = importlib.import_module("petro_models.public")
    if name not in public.__all__:
        raise AttributeError(f"module 'petro_models' has no attribute '{name}'")
    return getattr(public, name)


def __dir__() -> list[str]:
    return [*importlib.import_module("petro_models.public").__all__, "__version__"]
