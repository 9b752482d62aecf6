"""Which device computes what: the CPU, or a GPU where it gains back what compiling for it takes.

A GPU starts slowly: its programs take longer to compile, and each of many small steps waits for it.
So all that is small, the climb to an optimum with it, runs on the CPU also where JAX finds a GPU;
chains, batches and passes over pixels go to the GPU from the size from which they are done sooner.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, get_args

import jax

from petro_models.cluster.processes import number_of_cores
from petro_models.errors import FitError, nearest

type Device = Literal["auto", "cpu", "gpu"]
DEVICES: tuple[str, ...] = get_args(Device.__value__)
VARIABLE = "PETRO_MODELS_DEVICE"
GPU_START = 60.0
"""Seconds that the programs of one fit take longer to compile for a GPU than for the CPU (an H200:
60 for the global unknowns of a map, 35 for its pixels); a GPU is taken for work that the CPU would
take longer for."""

STEPS_A_DRAW = 8
"""Gradients that a draw is thought to take when a device is chosen."""
TIMED = 3
full_precision = jax.default_matmul_precision("highest")
"""Decorates functions in single precision: a GPU would keep 10 bits of what it multiplies, which
moved phase fractions by up to 0.02, and by 0.09 where neighbours speak."""

_wanted: ContextVar[str | None] = ContextVar("device", default=None)


@contextmanager
def use_device(device: Device) -> Iterator[None]:
    """Let all fits inside the ``with`` block run on one kind of device.

    Parameters
    ----------
    device
        ``auto`` takes a GPU where JAX finds one and the work is large enough to gain by it; ``cpu``
        and ``gpu`` leave no choice. Outside any block the environment variable
        ``PETRO_MODELS_DEVICE`` says which, by default ``auto``.

    Raises
    ------
    FitError
        If there is no such kind of device, or JAX finds no GPU and ``gpu`` is asked for.

    Examples
    --------
    >>> with petro.use_device("cpu"):  # doctest: +SKIP
    ...     fit = problem.fit()
    """
    _require(device)
    token = _wanted.set(device)
    try:
        yield
    finally:
        _wanted.reset(token)


def choose_device(seconds_on_cpu: float | Callable[[], float]) -> jax.Device:
    """Give the device for a piece of work.

    Parameters
    ----------
    seconds_on_cpu
        What it would take on the CPU's cores, compiled; or what measures that, called only where
        there is a choice.

    Raises
    ------
    FitError
        As `use_device`, of what the environment variable asks.
    """
    wanted = _wanted.get() or os.environ.get(VARIABLE) or "auto"
    _require(wanted)
    found = _gpu()
    if found is None or wanted == "cpu":
        return _first_cpu()
    if wanted == "auto":
        seconds = seconds_on_cpu() if callable(seconds_on_cpu) else seconds_on_cpu
        return _first_cpu() if seconds < GPU_START else found
    return found


@contextmanager
def on(device: jax.Device) -> Iterator[None]:
    """Run what follows on a device; without effect where JAX would run it there anyway."""
    if device == (jax.config.jax_default_device or jax.local_devices()[0]):
        yield
    else:
        with jax.default_device(device):
            yield


@contextmanager
def small_work() -> Iterator[None]:
    """Keep what follows on the CPU unless it chooses for itself."""
    with on(_first_cpu()):
        yield


def seconds_of(work: Callable[[], object]) -> float:
    """Measure what a piece of work takes once it is compiled."""
    work()
    begin = time.perf_counter()
    for _ in range(TIMED):
        work()
    return (time.perf_counter() - begin) / TIMED


def seconds_of_chains(seconds_a_gradient: float, draws: int, chains: int) -> float:
    """Say what so many draws of each chain take on the CPU's cores, adaptation included."""
    rounds = -(-chains // min(chains, number_of_cores()))
    return seconds_a_gradient * STEPS_A_DRAW * draws * rounds


def across_chains(device: jax.Device, chains: int) -> str | Callable[[Any], Any]:
    """Give NumPyro's ``chain_method``: a core each, or in lockstep on a GPU.

    In lockstep on the CPU four chains took four times as long (73 samples x 29 elements).
    """
    if device.platform != "cpu":
        return "vectorized"
    cores = jax.local_devices(backend="cpu")
    if len(cores) < chains:
        return "vectorized"
    if jax.default_backend() == "cpu":
        return "parallel"
    return lambda function: jax.pmap(function, devices=cores[:chains])


def devices_of_batch(device: jax.Device) -> list[jax.Device]:
    """Give the devices that share a batch: the CPU's cores, or all GPUs."""
    if device.platform != "cpu":
        return list(jax.local_devices())
    return jax.local_devices(backend="cpu")[: number_of_cores()]


def _require(device: str) -> None:
    if device not in DEVICES:
        raise FitError(f"no device is named '{device}': {nearest(device, DEVICES)}")
    if device == "gpu" and _gpu() is None:
        raise FitError(
            "a GPU was asked for and JAX finds none: install JAX with support for it (pip install "
            "'petro_models[cuda]'), look whether CUDA_VISIBLE_DEVICES and JAX_PLATFORMS hide it, "
            "or ask for 'auto' or 'cpu'"
        )


def _gpu() -> jax.Device | None:
    first = jax.local_devices()[0]
    return None if first.platform == "cpu" else first


def _first_cpu() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names a GPU alone
        return jax.local_devices()[0]
