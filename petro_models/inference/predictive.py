"""Draws of data from a model, and log densities of draws, all compiled to JAX where it can be."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr
from pymc.stats import compute_log_likelihood, compute_log_prior

from petro_models.inference.draws import quiet_libraries

logger = logging.getLogger("petro_models")


def prior_predictive(model: pm.Model, draws: int, seed: int) -> xr.DataTree:
    """Draw parameters and data from the prior; groups ``prior`` and ``prior_predictive``."""
    with model, quiet_libraries():
        return _in_jax(
            lambda **mode: pm.sample_prior_predictive(draws=draws, random_seed=seed, **mode)
        )


def posterior_predictive(model: pm.Model, posterior: xr.Dataset, seed: int) -> xr.Dataset:
    """Draw replicated data for every posterior draw given."""
    tree = xr.DataTree.from_dict({"posterior": posterior})
    with model, quiet_libraries():
        replicated = _in_jax(
            lambda **mode: pm.sample_posterior_predictive(
                tree, random_seed=seed, progressbar=False, **mode
            )
        )
    return replicated["posterior_predictive"].to_dataset()


def log_densities(model: pm.Model, posterior: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Give the log prior of each variable and the log likelihood of each column of data."""
    tree = xr.DataTree.from_dict({"posterior": posterior})
    options: dict[str, Any] = {"extend_inferencedata": False, "progressbar": False}
    with model, quiet_libraries():
        log_prior = _in_jax(lambda **mode: compute_log_prior(tree, **options, **mode))
        log_likelihood = _in_jax(lambda **mode: compute_log_likelihood(tree, **options, **mode))
    return _labelled_as(posterior, log_prior), _labelled_as(posterior, log_likelihood)


def _labelled_as(posterior: xr.Dataset, values: Any) -> xr.Dataset:
    """Give the densities the chain and draw labels of the draws they belong to."""
    dataset = values.to_dataset() if isinstance(values, xr.DataTree) else values
    return dataset.assign_coords(chain=posterior["chain"], draw=posterior["draw"])


def _in_jax(function: Callable[..., Any]) -> Any:
    """Run with JAX, or with PyTensor's plain functions where JAX lacks a distribution."""
    try:
        return function(compile_kwargs={"mode": "JAX"})
    except NotImplementedError as error:
        logger.info("drawn without JAX, which lacks a part of this model: %s", error)
        return function(compile_kwargs={"mode": "FAST_COMPILE"})


def thin(posterior: xr.Dataset, at_most: int) -> xr.Dataset:
    """Keep evenly spaced draws, at most so many over all chains together."""
    per_chain = max(1, at_most // posterior.sizes["chain"])
    step = int(np.ceil(posterior.sizes["draw"] / per_chain))
    return posterior.isel(draw=slice(None, None, step))
