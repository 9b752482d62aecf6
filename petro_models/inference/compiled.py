"""A PyMC model as JAX functions of its unconstrained variables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.sampling.jax import get_jaxified_graph

type Point = dict[str, jax.Array]


@dataclass(frozen=True)
class CompiledModel:
    """Log densities and back-transformation of one model.

    Attributes
    ----------
    log_prior
        Unconstrained point -> log prior density (Jacobian included unless compiled without).
    log_likelihood
        Unconstrained point -> log likelihood of all data.
    constrain
        Unconstrained point -> the free variables by name.
    initial
        The model's own starting point.
    """

    log_prior: Callable[[Point], jax.Array]
    log_likelihood: Callable[[Point], jax.Array]
    constrain: Callable[[Point], Point]
    initial: Mapping[str, np.ndarray]


def compile_model(model: pm.Model, jacobian: bool = True) -> CompiledModel:
    """Compile a model's log densities to JAX, with the Jacobian of the transformations or not."""
    names = [variable.name for variable in model.value_vars]
    prior = model.logp(vars=model.free_RVs, sum=True, jacobian=jacobian)
    likelihood = (
        model.logp(vars=model.observed_RVs, sum=True) if model.observed_RVs else pt.zeros(())
    )

    def named(output: Any) -> Callable[[Point], Any]:
        function = get_jaxified_graph(inputs=model.value_vars, outputs=output)
        return lambda point: function(*(point[name] for name in names))

    log_prior, log_likelihood = named([prior]), named([likelihood])
    constrain = named(model.unobserved_value_vars)
    free = {rv.name for rv in model.free_RVs}
    outputs = [variable.name for variable in model.unobserved_value_vars]
    return CompiledModel(
        log_prior=lambda point: log_prior(point)[0],
        log_likelihood=lambda point: log_likelihood(point)[0],
        constrain=lambda point: {
            name: value
            for name, value in zip(outputs, constrain(point), strict=True)
            if name in free
        },
        initial=model.initial_point(),
    )


def draw_prior(model: pm.Model, draws: int, seed: int, mode: str | None) -> dict[str, np.ndarray]:
    """Draw unconstrained points from the prior, (draw, ...) for each value variable."""
    expressions = []
    for rv in model.free_RVs:
        transform = model.rvs_to_transforms[rv]
        expressions.append(rv if transform is None else transform.forward(rv, *rv.owner.inputs))
    values = pm.draw(expressions, draws=draws, random_seed=seed, mode=mode)
    names = [model.rvs_to_values[rv].name for rv in model.free_RVs]
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
