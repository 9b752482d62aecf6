"""NUTS or HMC in coordinates that a Laplace fit has made round: for models with one optimum.

The unconstrained variables are written as ``theta = optimum + scale @ z``, where ``scale`` is the
root of the inverse Hessian of the negative log density at the optimum. Where the posterior is near
normal, ``z`` is near standard normal and few leapfrog steps are needed, however strongly the
variables correlate; where it is not, the draws are exact all the same. Where ``z`` is so nearly
standard normal that the length of a good trajectory is known beforehand, HMC takes half the steps
of NUTS or fewer, because NUTS doubles its trajectories until they turn back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import xarray as xr
from jax.flatten_util import ravel_pytree
from numpyro.infer import HMC, MCMC, NUTS
from scipy.optimize import minimize

from petro_models.errors import FitError
from petro_models.inference.compiled import CompiledModel, compile_model
from petro_models.inference.draws import Draws, posterior_dataset
from petro_models.inference.nuts import Point, refuse_discrete
from petro_models.inference.optimum import unconstrained

FLATTEST_CURVATURE = 0.1
"""Eigenvalues of the Hessian below this count as this: three prior units of freedom are enough."""
MOST_CLIMBS = 4
SMALL_STEP = 1.5
"""The curvature is measured anew where a climb went further than so many standard deviations."""
DIFFERENCE = 3e-5
WIDE_DIFFERENCE = 0.3
"""Step, in standard deviations, of the last curvatures: tables that are read linearly have kinks,
the highest point likes to sit on one, and the curvature *there* says nothing of the posterior."""
WIDE_ROUNDS = 2
SAME_WIDTH = 0.05
"""The curvature is measured once more unless all widths changed by less than this share."""
TRAJECTORY = 1.8
"""Length of HMC's trajectories, in standard deviations: a quarter turn of a standard normal is 1.6,
after which a draw has forgotten the last; somewhat more serves directions wider than thought."""
type ValueAndGradient = Callable[[np.ndarray], tuple[float, np.ndarray]]
STATISTICS = ("diverging", "num_steps", "energy", "accept_prob", "potential_energy")


@dataclass(frozen=True)
class Laplace:
    """A normal approximation about the highest point of a log density.

    Attributes
    ----------
    compiled
        The model's JAX functions.
    optimum
        Unconstrained variables, flat (size,).
    scale
        Root of the covariance (size, size): ``optimum + scale @ z`` for standard normal ``z``.
    log_density
        At the optimum, with the Jacobians of the transformations.
    log_evidence
        Laplace's approximation of the log marginal density.
    gradient_norm
        Length of the gradient at the optimum in whitened units: near 0 if the climb arrived.
    """

    compiled: CompiledModel
    optimum: np.ndarray
    scale: np.ndarray
    log_density: float
    log_evidence: float
    gradient_norm: float

    def constrained(self, points: np.ndarray | jax.Array) -> dict[str, np.ndarray]:
        """Give the free variables by name at flat unconstrained points (point, size)."""
        restore = _restorer(self.compiled)
        values = jax.lax.map(lambda flat: self.compiled.constrain(restore(flat)), points)
        return {name: np.asarray(value) for name, value in values.items()}

    def draws(self, count: int, seed: int) -> dict[str, np.ndarray]:
        """Draw free variables by name from the approximation, (count, ...)."""
        z = np.random.default_rng(seed).normal(size=(count, self.optimum.size))
        return self.constrained(jnp.asarray(self.optimum + z @ self.scale.T))


def fit_laplace(model: pm.Model, start: Point) -> Laplace:
    """Climb to the highest point from a start and measure the curvature there.

    Parameters
    ----------
    model
        All free variables continuous.
    start
        Values by variable name in natural units; missing ones start at the model's own point.

    Raises
    ------
    FitError
        If a variable is discrete, or the density is not finite at the start.
    """
    refuse_discrete(model)
    compiled = compile_model(model)
    restore = _restorer(compiled)
    initial = {name: np.asarray(value, float) for name, value in compiled.initial.items()}
    origin = np.asarray(ravel_pytree(initial | unconstrained(model, start))[0])

    compute = jax.jit(jax.value_and_grad(_negative(compiled)))
    units = _prior_units(jax.jit(jax.grad(lambda flat: -compiled.log_prior(restore(flat)))), origin)
    origin = origin / units

    def value_and_gradient(position: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compute(units * position)
        return float(value), units * np.asarray(gradient, float)

    if not np.isfinite(value_and_gradient(origin)[0]):
        raise FitError("the density is not finite at the starting point: check data and priors")
    position, curvature = origin, _hessian(value_and_gradient, origin)
    for _ in range(MOST_CLIMBS):
        scale, widths = _root(curvature)
        step, norm, lowest = _climb(value_and_gradient, position, scale)
        position = position + scale @ step
        if np.abs(step).max() < SMALL_STEP:
            break
        curvature = _hessian(value_and_gradient, position)
    for _ in range(WIDE_ROUNDS):
        inner, inner_widths = _root(_wide_hessian(value_and_gradient, position, scale))
        scale, widths = scale @ inner, widths * inner_widths
        if np.abs(np.log(inner_widths)).max() < SAME_WIDTH:
            break
    log_density = -lowest
    return Laplace(
        compiled=compiled,
        optimum=units * position,
        scale=units[:, None] * scale,
        log_density=log_density,
        log_evidence=log_density
        + 0.5 * position.size * float(np.log(2 * np.pi))
        + float(np.log(widths).sum() + np.log(units).sum()),
        gradient_norm=norm,
    )


def sample_whitened(
    model: pm.Model,
    start: Point,
    *,
    draws: int,
    chains: int,
    seed: int,
    tune: int = 1000,
    target_accept: float = 0.9,
    progressbar: bool = False,
) -> Draws:
    """Sample a model with NumPyro's NUTS in whitened coordinates.

    Parameters
    ----------
    model
        All free variables continuous; one mode, reached from the start.
    start
        As in `fit_laplace`.
    draws, tune, chains, seed, target_accept, progressbar
        As in `petro_models.inference.nuts.sample_nuts`.

    Raises
    ------
    FitError
        As `fit_laplace` does.
    """
    laplace = fit_laplace(model, start)
    kernel = NUTS(potential_fn=_potential(laplace), target_accept_prob=target_accept)
    notes = {"target_accept": target_accept}
    return _sample(model, laplace, kernel, draws, tune, chains, seed, progressbar, notes)


def sample_hmc(
    model: pm.Model,
    start: Point,
    *,
    draws: int,
    chains: int,
    seed: int,
    tune: int = 300,
    target_accept: float = 0.8,
    progressbar: bool = False,
) -> Draws:
    """Sample a model with NumPyro's HMC in whitened coordinates, trajectories `TRAJECTORY` long.

    Parameters
    ----------
    model, start
        As in `sample_whitened`; the posterior near normal.
    draws, chains, seed, progressbar
        As in `sample_whitened`.
    tune
        Adaptation steps: only the step size is to be found.
    target_accept
        Acceptance aimed at.

    Raises
    ------
    FitError
        As `fit_laplace` does.
    """
    laplace = fit_laplace(model, start)
    kernel = HMC(
        potential_fn=_potential(laplace),
        trajectory_length=TRAJECTORY,
        target_accept_prob=target_accept,
        adapt_mass_matrix=False,
    )
    notes = {"target_accept": target_accept, "trajectory": TRAJECTORY}
    return _sample(model, laplace, kernel, draws, tune, chains, seed, progressbar, notes)


def _potential(laplace: Laplace) -> Callable[[jax.Array], jax.Array]:
    """Give minus the log density in whitened coordinates."""
    negative = _negative(laplace.compiled)
    optimum, scale = jnp.asarray(laplace.optimum), jnp.asarray(laplace.scale)
    return lambda z: negative(optimum + scale @ z)


def _sample(
    model: pm.Model,
    laplace: Laplace,
    kernel: HMC,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    progressbar: bool,
    notes: dict[str, float],
) -> Draws:
    """Run a kernel in whitened coordinates and give the draws in the model's."""
    on_cpu = jax.default_backend() == "cpu"
    sampler = MCMC(
        kernel,
        num_warmup=tune,
        num_samples=draws,
        num_chains=chains,
        chain_method="parallel" if on_cpu and jax.local_device_count() >= chains else "vectorized",
        progress_bar=progressbar,
    )
    generator = np.random.default_rng(seed)
    origin = generator.normal(size=(chains, laplace.optimum.size))
    sampler.run(
        jax.random.PRNGKey(seed),
        init_params=jnp.asarray(origin if chains > 1 else origin[0]),
        extra_fields=STATISTICS,
    )
    z = np.asarray(sampler.get_samples(group_by_chain=True))
    points = jnp.asarray((laplace.optimum + z @ laplace.scale.T).reshape(chains * draws, -1))
    values = {
        name: value.reshape(chains, draws, *value.shape[1:])
        for name, value in laplace.constrained(points).items()
    }
    posterior = posterior_dataset(model, values)
    return Draws(
        posterior=posterior,
        sample_stats=_statistics(sampler.get_extra_fields(group_by_chain=True), posterior),
        sampler=f"{type(kernel).__name__} in Laplace-whitened coordinates "
        f"(numpyro {version('numpyro')})",
        notes={
            **notes,
            "tune": tune,
            "laplace_log_evidence": laplace.log_evidence,
            "gradient_norm_at_optimum": laplace.gradient_norm,
        },
    )


def sample_laplace(model: pm.Model, start: Point, *, draws: int, chains: int, seed: int) -> Draws:
    """Draw from the normal approximation about the optimum: quick, and only as good as that is.

    Parameters
    ----------
    model, start
        As in `fit_laplace`.
    draws, chains, seed
        Independent draws, in as many chains as asked for.
    """
    laplace = fit_laplace(model, start)
    values = {
        name: value.reshape(chains, draws, *value.shape[1:])
        for name, value in laplace.draws(chains * draws, seed).items()
    }
    posterior = posterior_dataset(model, values)
    return Draws(
        posterior=posterior,
        sample_stats=xr.Dataset(coords={"chain": posterior["chain"], "draw": posterior["draw"]}),
        sampler="Laplace approximation",
        notes={
            "laplace_log_evidence": laplace.log_evidence,
            "gradient_norm_at_optimum": laplace.gradient_norm,
        },
    )


def _restorer(compiled: CompiledModel) -> Callable[[jax.Array], dict[str, jax.Array]]:
    """Give the function from flat to named unconstrained variables."""
    return ravel_pytree({name: np.asarray(v, float) for name, v in compiled.initial.items()})[1]


def _negative(compiled: CompiledModel) -> Callable[[jax.Array], jax.Array]:
    """Give minus the log density at flat unconstrained variables."""
    restore = _restorer(compiled)

    def negative(flat: jax.Array) -> jax.Array:
        position = restore(flat)
        return -(compiled.log_prior(position) + compiled.log_likelihood(position))

    return negative


def _prior_units(gradient: Callable[[np.ndarray], jax.Array], origin: np.ndarray) -> np.ndarray:
    """Give the widths of the prior along each variable: curvatures in these units compare.

    An energy of 200 +- 30 and a log scale of 0 +- 1 are then equally flat where data say nothing.
    """
    units = np.ones(origin.size)
    for index, value in enumerate(origin):
        move = np.zeros(origin.size)
        move[index] = DIFFERENCE * max(1.0, abs(value))
        ahead, behind = gradient(origin + move)[index], gradient(origin - move)[index]
        curvature = float(ahead - behind) / (2 * move[index])
        if curvature > 0:
            units[index] = 1 / np.sqrt(curvature)
    return units


def _root(curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give a root of the inverse of a Hessian, and the widths along its directions.

    Away from the optimum some curvatures are negative: their size still tells the scale.
    """
    eigenvalues, directions = np.linalg.eigh(curvature)
    if not np.isfinite(eigenvalues).all():
        raise FitError("the curvature of the density is not finite at the optimum: check priors")
    widths = 1 / np.sqrt(np.maximum(np.abs(eigenvalues), FLATTEST_CURVATURE))
    return directions * widths, widths


def _climb(
    value_and_gradient: ValueAndGradient, origin: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Minimise by L-BFGS in whitened coordinates; give the step, the gradient left, the value."""

    def whitened(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(origin + scale @ z)
        return value, scale.T @ gradient

    result = minimize(
        whitened,
        np.zeros(origin.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500, "maxfun": 1000, "maxcor": 30, "ftol": 1e-12, "gtol": 1e-3},
    )
    return result.x, float(np.linalg.norm(result.jac)), float(result.fun)


def _hessian(value_and_gradient: ValueAndGradient, position: np.ndarray) -> np.ndarray:
    """Give the Hessian by differences of the exact gradient.

    Second derivatives by JAX took ten times as long, most of it to compile.
    """
    here = value_and_gradient(position)[1]
    moves = DIFFERENCE * np.eye(position.size)
    rows = np.array([value_and_gradient(position + move)[1] - here for move in moves]) / DIFFERENCE
    return (rows + rows.T) / 2


def _wide_hessian(
    value_and_gradient: ValueAndGradient, position: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Give the Hessian in whitened coordinates, averaged over a part of a standard deviation."""
    changes = [
        value_and_gradient(position + move)[1] - value_and_gradient(position - move)[1]
        for move in WIDE_DIFFERENCE * scale.T
    ]
    rows = np.array(changes) @ scale / (2 * WIDE_DIFFERENCE)
    return (rows + rows.T) / 2


def _statistics(fields: dict[str, jax.Array], posterior: xr.Dataset) -> xr.Dataset:
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
