"""What a process settles before JAX starts: its cores, its GPU, and where programs are kept."""

import hashlib
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
WORTH_KEEPING = 0.3
"""Seconds of compiling from which a program is kept."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
CPU_INFORMATION = Path("/proc/cpuinfo")
GPU_INFORMATION = Path("/proc/driver/nvidia/gpus")


def prepare_process(position: int = 0) -> None:
    """Settle what this process may use; JAX reads it when it is first imported.

    Parameters
    ----------
    position
        Of this process among those of its node: it takes one GPU of those visible.
    """
    os.environ.update(environment_of(position, visible_gpus(), os.environ))


def environment_of(
    position: int, gpus: Sequence[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Give the variables that a process adds to its environment.

    Parameters
    ----------
    position
        Of the process among those of its node.
    gpus
        Names of the GPUs it may choose from.
    environment
        As it is; what is set there stays.
    """
    added = where_programs_are_kept(environment)
    if gpus:
        added[VISIBLE] = gpus[position % len(gpus)]
    return added


def where_programs_are_kept(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the variables that let JAX keep compiled programs in the user's cache folder.

    Parameters
    ----------
    environment
        As it is; nothing is added where the user named a folder, or where ours cannot be written.
        A folder of ours may have been inherited from a node of another type.
    """
    ours = Path(platformdirs.user_cache_dir("petro_models")) / "jax"
    if CACHE_VARIABLE in environment and Path(environment[CACHE_VARIABLE]).parent != ours:
        return {}
    folder = ours / node_type()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return {}
    if not os.access(folder, os.W_OK):
        return {}
    return {
        CACHE_VARIABLE: str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": str(WORTH_KEEPING),
    }


def visible_gpus() -> list[str]:
    """Name the GPUs that JAX could use here; none where JAX has no support for them."""
    if not any(find_spec(f"jax_cuda{number}_plugin") for number in (12, 13)):
        return []
    if (named := os.environ.get(VISIBLE)) is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(number) for number, _ in enumerate(_gpu_folders())]


def node_type() -> str:
    """Name the kind of this node: programs compiled on one kind need not run on another."""
    processor = [platform.machine()]
    try:
        lines = CPU_INFORMATION.read_text().splitlines()
        processor += sorted({x for x in lines if x.startswith(("model name", "flags", "Features"))})
    except OSError:
        processor.append(platform.processor())
    for folder in _gpu_folders():
        try:
            processor += [
                line
                for line in (folder / "information").read_text().splitlines()
                if line.startswith("Model")
            ]
        except OSError:
            continue
    processor.append(version("jaxlib"))
    digest = hashlib.sha256("\n".join(processor).encode()).hexdigest()
    return f"{sys.platform}-{platform.machine()}-{digest[:12]}"


def share_of_cores(position: int, workers: int) -> list[int]:
    """Give the cores of one of several processes of this node; empty where that cannot be said."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return cores[position % len(cores) :: workers]


def number_of_cores() -> int:
    """Give how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpu_folders() -> list[Path]:
    return sorted(GPU_INFORMATION.iterdir()) if GPU_INFORMATION.is_dir() else []
