"""What every sampler returns, with one set of names whatever the sampler calls them."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

RENAMED = {
    "acceptance_rate": "acceptance_rate",
    "mean_tree_accept": "acceptance_rate",
    "depth": "tree_depth",
    "n_steps": "n_steps",
    "step_size": "step_size",
    "diverging": "diverging",
    "energy": "energy",
    "lp": "lp",
    "logp": "lp",
    "tree_depth": "tree_depth",
}


@dataclass(frozen=True)
class Draws:
    """Posterior draws of the free variables and how they were made.

    Attributes
    ----------
    posterior
        Free variables, dims (chain, draw, ...).
    sample_stats
        Per-draw statistics under normalised names (``diverging energy lp n_steps ...``).
    sampler
        Name and version of the sampler.
    notes
        Facts about the run worth keeping (number of stages, log evidence, ...).
    """

    posterior: xr.Dataset
    sample_stats: xr.Dataset
    sampler: str
    notes: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sampled:
    """Draws with how they came about: what is kept between sampling and deriving the answers.

    Attributes
    ----------
    draws
        Of the free variables.
    seed
        Of the fit.
    method, reason
        Chosen, and why.
    seconds
        Of sampling.
    """

    draws: Draws
    seed: int
    method: str
    reason: str
    seconds: float

    def to_tree(self) -> xr.DataTree:
        """Give the draws as a tree that a file can hold."""
        draws = self.draws
        tree = xr.DataTree.from_dict(
            {"posterior": draws.posterior, "sample_stats": draws.sample_stats}
        )
        tree.attrs |= {
            "sampler": draws.sampler,
            "sampler_notes": json.dumps(dict(draws.notes)),
            "seed": self.seed,
            "method": self.method,
            "method_reason": self.reason,
            "sampling_seconds": self.seconds,
        }
        return tree

    @classmethod
    def from_tree(cls, tree: xr.DataTree) -> "Sampled":
        """Read what `to_tree` gave."""
        attrs = tree.attrs
        draws = Draws(
            tree["posterior"].to_dataset(),
            tree["sample_stats"].to_dataset(),
            str(attrs["sampler"]),
            json.loads(attrs["sampler_notes"]),
        )
        method, reason = str(attrs["method"]), str(attrs["method_reason"])
        return cls(draws, int(attrs["seed"]), method, reason, float(attrs["sampling_seconds"]))


def normalise_statistics(statistics: xr.Dataset) -> xr.Dataset:
    """Keep the per-draw statistics that all samplers share, under one set of names."""
    kept: dict[str, xr.DataArray] = {}
    for name, values in statistics.data_vars.items():
        new = RENAMED.get(str(name))
        if new is not None and new not in kept and values.dims == ("chain", "draw"):
            kept[new] = values.astype(float if values.dtype != bool else bool)
    return xr.Dataset(kept)


def free_variable_dims(model: pm.Model) -> dict[str, tuple[str, ...]]:
    """Give the dims of every free variable of a model."""
    named = model.named_vars_to_dims
    return {rv.name: tuple(map(str, named.get(rv.name, ()))) for rv in model.free_RVs}


def posterior_dataset(model: pm.Model, values: Mapping[str, Any]) -> xr.Dataset:
    """Label arrays (chain, draw, ...) of free variables with the model's dims and coords."""
    dims = free_variable_dims(model)
    arrays = {
        name: (("chain", "draw", *dims[name]), np.asarray(value)) for name, value in values.items()
    }
    used = {dim for name in arrays for dim in dims[name]}
    coords: dict[str, Any] = {dim: list(model.coords[dim]) for dim in used}
    n_chains, n_draws = next(iter(arrays.values()))[1].shape[:2]
    return xr.Dataset(arrays, coords | {"chain": np.arange(n_chains), "draw": np.arange(n_draws)})


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence what is no news: libraries' own lines, our dim named `sample`, generator copies."""
    loggers = [logging.getLogger(name) for name in ("pymc", "arviz_stats", "arviz.stats")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found dimension named 'sample'")
            warnings.filterwarnings("ignore", message="The RandomType SharedVariables")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
