"""The most probable point (MAP) from several starting points."""

from collections.abc import Sequence
from importlib.metadata import version

import jax
import numpy as np
import pymc as pm
import xarray as xr
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

from petro_models.errors import FitError
from petro_models.inference.compiled import compile_model
from petro_models.inference.draws import Draws, posterior_dataset
from petro_models.inference.nuts import Point, refuse_discrete


def find_optimum(model: pm.Model, starts: Sequence[Point]) -> Draws:
    """Climb from every starting point (BFGS, JAX gradients) and keep the highest point.

    The density climbed is that of the unconstrained variables *without* the Jacobian of their
    transformations, so the optimum does not depend on how PyMC samples a positive variable.

    Parameters
    ----------
    model
        The model; all free variables continuous.
    starts
        Points by variable name (natural units); missing variables start at the model's own point.

    Raises
    ------
    FitError
        If no climb reaches a finite density.
    """
    refuse_discrete(model)
    compiled = compile_model(model, jacobian=False)
    initial = {name: np.asarray(value, float) for name, value in compiled.initial.items()}
    restore = ravel_pytree(initial)[1]

    @jax.jit
    @jax.value_and_grad
    def negative(values: jax.Array) -> jax.Array:
        position = restore(values)
        return -(compiled.log_prior(position) + compiled.log_likelihood(position))

    best: tuple[float, dict[str, jax.Array]] | None = None
    reached = []
    for start in starts:
        flat = ravel_pytree(initial | unconstrained(model, start))[0]
        result = minimize(
            lambda values: tuple(np.asarray(part, float) for part in negative(values)),
            np.asarray(flat),
            jac=True,
            method="L-BFGS-B",
        )
        if np.isfinite(result.fun):
            reached.append(-float(result.fun))
            if best is None or reached[-1] > best[0]:
                best = (reached[-1], compiled.constrain(restore(jax.numpy.asarray(result.x))))
    if best is None:
        raise FitError("no starting point has a finite density: check data and priors")
    return Draws(
        posterior=posterior_dataset(
            model, {name: np.asarray(value)[None, None] for name, value in best[1].items()}
        ),
        sample_stats=xr.Dataset(
            {"lp": (("chain", "draw"), [[best[0]]])}, {"chain": [0], "draw": [0]}
        ),
        sampler=f"MAP, L-BFGS (scipy {version('scipy')})",
        notes={"starts": len(starts), "distinct_optima": len(np.unique(np.round(reached, 4)))},
    )


def unconstrained(model: pm.Model, point: Point) -> dict[str, np.ndarray]:
    """Carry a point in natural units to the model's unconstrained variables, by their names."""
    values = {}
    for rv in model.free_RVs:
        if rv.name in point:
            transform = model.rvs_to_transforms[rv]
            value = np.asarray(point[rv.name], dtype=float)
            if transform is not None:
                value = transform.forward(value, *rv.owner.inputs).eval()
            values[model.rvs_to_values[rv].name] = value
    return values
