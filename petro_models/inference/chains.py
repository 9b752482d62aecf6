"""Chains of a NumPyro kernel, advanced block by block.

XLA gives back what a program holds only when the program ends, and one that samples a map for a
quarter of an hour came to hold 19 GB where a gradient needs 16 MB. Blocks end often: memory stays
flat, a bar can tell how far the chains are, and an interrupt is heard.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpyro.infer import HMC

from petro_models.inference import progress
from petro_models.inference.devices import across_chains, on

STATISTICS = ("diverging", "num_steps", "energy", "accept_prob", "potential_energy")
BLOCK = 50
"""Iterations of one call, at most."""


@dataclass(frozen=True)
class ChainDraws:
    """What chains drew.

    Attributes
    ----------
    z
        Draws, (chain, draw, size).
    statistics
        The kernel's own by their names in NumPyro, (chain, draw).
    complete
        False if the chains gave up, and this is what they last came by.
    """

    z: np.ndarray
    statistics: dict[str, np.ndarray]
    complete: bool


def advance(kernel: HMC) -> Callable[[Any, None], tuple[Any, tuple[jax.Array, dict[str, Any]]]]:
    """Give the step that `jax.lax.scan` repeats: a draw, and what the kernel says of it."""

    def step(state: Any, _: None) -> tuple[Any, tuple[jax.Array, dict[str, Any]]]:
        state = kernel.sample(state, (), {})
        return state, (state.z, {name: getattr(state, name) for name in STATISTICS})

    return step


def run_chains(
    kernel: HMC,
    origin: np.ndarray,
    *,
    tune: int,
    draws: int,
    seed: int,
    device: jax.Device,
    progressbar: bool,
    give_up: Callable[[dict[str, np.ndarray]], bool] = lambda _: False,
) -> ChainDraws:
    """Run chains of a kernel side by side.

    Parameters
    ----------
    kernel
        Of a potential of flat positions.
    origin
        Where the chains start, (chain, size).
    tune, draws
        Iterations in which the kernel adapts itself, and those kept after them.
    seed
        Same seed, same draws, whatever `BLOCK` is.
    device
        Where to run.
    progressbar
        Whether to show one.
    give_up
        Told the statistics of the second block, says whether to stop there.
    """
    chains, iterations = len(origin), tune + draws
    blocks = -(-iterations // BLOCK)
    length = -(-iterations // blocks)
    own_keys = jax.random.split(jax.random.PRNGKey(seed), chains)
    step = advance(kernel)

    def begin(key: jax.Array, place: jax.Array) -> Any:
        return kernel.init(key, tune, place, (), {})

    def block(state: Any) -> Any:
        return jax.lax.scan(step, state, length=length)

    side_by_side = _mapped(device, chains)
    kept: list[Any] = []
    with on(device), progress.bar("chains", progressbar, log=False) as update:
        state = side_by_side(begin)(own_keys, jnp.asarray(origin))
        program = side_by_side(block)
        for number in range(blocks):
            state, part = program(state)
            kept.append(jax.tree.map(np.asarray, part))
            done = min((number + 1) * length, iterations)
            update(done / iterations, f"{done} of {iterations} iterations")
            if number == 1 and give_up(kept[1][1]):
                return ChainDraws(kept[1][0], kept[1][1], complete=False)
    z, statistics = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *kept)
    after = slice(tune, iterations)
    return ChainDraws(z[:, after], {n: v[:, after] for n, v in statistics.items()}, complete=True)


def _mapped(device: jax.Device, chains: int) -> Callable[[Any], Any]:
    """Give what makes a function of one chain one of all, compiled: see `across_chains`."""
    method = across_chains(device, chains)
    if callable(method):
        return method
    return jax.pmap if method == "parallel" else lambda function: jax.jit(jax.vmap(function))


def sampling_statistics(fields: Mapping[str, Any], posterior: xr.Dataset) -> xr.Dataset:
    """Give NumPyro's statistics (chain, draw) under this package's names."""
    named = {
        "diverging": np.asarray(fields["diverging"], bool),
        "n_steps": np.asarray(fields["num_steps"], float),
        "energy": np.asarray(fields["energy"], float),
        "acceptance_rate": np.asarray(fields["accept_prob"], float),
        "lp": -np.asarray(fields["potential_energy"], float),
    }
    return xr.Dataset(
        {name: (("chain", "draw"), values) for name, values in named.items()},
        {"chain": posterior["chain"], "draw": posterior["draw"]},
    )
