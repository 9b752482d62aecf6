"""No-U-Turn sampling of a PyMC model: NumPyro on JAX is the reference, nutpie on JAX an option."""

import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import Any, Literal

import jax
import numpy as np
import pymc as pm

from petro_models.errors import FitError
from petro_models.inference.compiled import compile_model
from petro_models.inference.devices import (
    across_chains,
    choose_device,
    on,
    seconds_of,
    seconds_of_chains,
)
from petro_models.inference.draws import Draws, normalise_statistics, quiet_libraries

type Backend = Literal["numpyro", "nutpie"]
type Point = Mapping[str, np.ndarray]


def sample_nuts(
    model: pm.Model,
    *,
    draws: int,
    chains: int,
    seed: int,
    tune: int = 1000,
    backend: Backend = "numpyro",
    target_accept: float = 0.9,
    start: Sequence[Point] | None = None,
    progressbar: bool = False,
) -> Draws:
    """Sample a model whose free variables are all continuous.

    Parameters
    ----------
    model
        The model.
    draws, tune, chains
        Kept draws and adaptation steps of each chain, and the number of chains.
    seed
        Same seed, same draws.
    backend
        ``numpyro`` or ``nutpie`` (both compile to JAX).
    target_accept
        Acceptance that the step size aims at.
    start
        A starting point for each chain; without it the chains start scattered over the prior's
        centre, so that separate modes show as disagreement between chains.
    progressbar
        Whether to show one.

    Raises
    ------
    FitError
        If a free variable is discrete or nutpie is asked for and not installed.
    """
    refuse_discrete(model)
    options: dict[str, Any] = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "random_seed": seed,
        "progressbar": progressbar,
        "quiet": not progressbar,
        "compute_convergence_checks": False,
        "var_names": [rv.name for rv in model.free_RVs],
    }
    placed: AbstractContextManager[None] = nullcontext()
    notes: dict[str, Any] = {"tune": tune, "target_accept": target_accept}
    if backend == "nutpie":
        if importlib.util.find_spec("nutpie") is None:
            raise FitError("nutpie is not installed: pip install 'petro_models[nutpie]'")
        options |= {
            "nuts_sampler": "nutpie",
            "nuts": {"target_accept": target_accept},
            "compile_kwargs": {"mode": "JAX"},
            "cores": min(chains, 4),
        }
        if start is not None:
            options["initvals"] = dict(start[0])
    else:
        device = choose_device(
            lambda: seconds_of_chains(_seconds_a_gradient(model), tune + draws, chains)
        )
        placed, notes["device"] = on(device), device.platform
        options |= {
            "nuts_sampler": "numpyro",
            "nuts": {
                "chain_method": across_chains(device, chains),
                "postprocessing_backend": device.platform,
                "target_accept": target_accept,
                "jitter": start is None,
            },
            "initvals": None if start is None else [dict(point) for point in start],
        }
    with model, quiet_libraries(), placed:
        tree = pm.sample(**options)
    return Draws(
        posterior=tree["posterior"].to_dataset(),
        sample_stats=normalise_statistics(tree["sample_stats"].to_dataset()),
        sampler=f"NUTS ({backend} {version(backend)})",
        notes=notes,
    )


def _seconds_a_gradient(model: pm.Model) -> float:
    """Measure one gradient at the model's own starting point."""
    compiled = compile_model(model)
    compute = jax.jit(
        jax.value_and_grad(lambda point: compiled.log_prior(point) + compiled.log_likelihood(point))
    )
    return seconds_of(lambda: jax.block_until_ready(compute(dict(compiled.initial))))


def refuse_discrete(model: pm.Model) -> None:
    """Refuse a model that NUTS could not sample whole.

    Raises
    ------
    FitError
        Naming the discrete variables.
    """
    if model.discrete_value_vars:
        names = ", ".join(variable.name for variable in model.discrete_value_vars)
        raise FitError(
            f"{names} is discrete: gradient-based sampling needs every unknown continuous. "
            "Give it a continuous prior"
        )
