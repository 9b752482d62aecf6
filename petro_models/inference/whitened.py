"""NUTS or HMC in coordinates that a Laplace fit has made round: for models with one optimum.

The unconstrained variables are written as ``theta = optimum + scale @ z``, where ``scale`` is the
root of the inverse Hessian of the negative log density at the optimum. Where the posterior is near
normal, ``z`` is near standard normal and few leapfrog steps are needed, however strongly the
variables correlate; where it is not, the draws are exact all the same. Where ``z`` is so nearly
standard normal that the length of a good trajectory is known beforehand, HMC takes half the steps
of NUTS or fewer, because NUTS doubles its trajectories until they turn back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import xarray as xr
from jax.flatten_util import ravel_pytree
from numpyro.infer import HMC, NUTS

from petro_models.inference.chains import run_chains, sampling_statistics
from petro_models.inference.compiled import CompiledModel, compile_model
from petro_models.inference.devices import choose_device, seconds_of, seconds_of_chains
from petro_models.inference.draws import Draws, posterior_dataset
from petro_models.inference.nuts import Point, refuse_discrete
from petro_models.inference.optimum import unconstrained
from petro_models.inference.ridge import Ridge
from petro_models.inference.summit import Summit, ValueAndGradient, find_summit, mean_scale

TRAJECTORY = 1.8
"""Length of HMC's trajectories, in standard deviations: a quarter turn of a standard normal is 1.6,
after which a draw has forgotten the last; somewhat more serves directions wider than thought."""
MANY_STEPS = 8.0
"""Steps of such a trajectory from which some direction is much narrower than thought: four or five
serve a posterior that is near normal."""
POINTS = 4
"""At least so many draws are looked at to measure the curvature anew."""


@dataclass(frozen=True)
class Laplace(Summit):
    """A normal approximation of a model about its highest point.

    Attributes
    ----------
    compiled
        The model's JAX functions.
    descent
        Minus the log density and its gradient at flat points.
    ridge
        Where the highest points for known values of one variable lie on a curve.
    """

    compiled: CompiledModel
    descent: ValueAndGradient
    ridge: Ridge | None = None

    def place(self, z: jax.Array) -> jax.Array:
        """Give flat unconstrained variables (size,) at standardised coordinates (size,)."""
        if self.ridge is not None:
            return self.ridge.place(z)
        return jnp.asarray(self.optimum) + jnp.asarray(self.scale) @ z

    def constrained(self, points: np.ndarray | jax.Array) -> dict[str, np.ndarray]:
        """Give the free variables by name at flat unconstrained points (point, size)."""
        restore = _restorer(self.compiled)
        values = jax.lax.map(lambda flat: self.compiled.constrain(restore(flat)), points)
        return {name: np.asarray(value) for name, value in values.items()}

    def seconds_a_gradient(self) -> float:
        """Measure what one gradient takes on the CPU."""
        return seconds_of(lambda: self.descent(self.optimum))

    def about(self, z: np.ndarray) -> "Laplace":
        """Give the normal about the mean of points (point, size), with the mean curvature there.

        The highest point may be no typical one: where a scatter may nearly vanish the density is
        high, and what scatters seems wider there than it mostly is, or narrower.
        """
        points = np.asarray(self.optimum + z @ self.scale.T)
        scale = mean_scale(self.descent, points, self.scale)
        return replace(self, optimum=points.mean(axis=0), scale=scale)

    def draws(self, count: int, seed: int) -> dict[str, np.ndarray]:
        """Draw free variables by name from the approximation, (count, ...)."""
        z = np.random.default_rng(seed).normal(size=(count, self.optimum.size))
        return self.constrained(jnp.asarray(self.optimum + z @ self.scale.T))


def fit_laplace(model: pm.Model, start: Point, along: str | None = None) -> Laplace:
    """Climb to the highest point from a start and measure the curvature there.

    Parameters
    ----------
    model
        All free variables continuous.
    start
        Values by variable name in natural units; missing ones start at the model's own point.
    along
        A variable that the others bend with: coordinates then follow the ridge along it.

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
    prior_gradient = jax.jit(jax.grad(lambda flat: -compiled.log_prior(restore(flat))))

    def descent(position: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compute(position)
        return float(value), np.asarray(gradient, float)

    summit = find_summit(descent, lambda flat: np.asarray(prior_gradient(flat)), origin)
    laplace = Laplace(
        **vars(summit),
        compiled=compiled,
        descent=descent,
    )
    if along is None:
        return laplace
    value = model.rvs_to_values[model[along]].name
    marked = {name: np.full_like(part, name == value) for name, part in initial.items()}
    candidates = np.flatnonzero(np.asarray(ravel_pytree(marked)[0]))
    return replace(laplace, ridge=Ridge.follow(descent, summit, candidates))


def sample_whitened(
    model: pm.Model,
    start: Point,
    *,
    draws: int,
    chains: int,
    seed: int,
    tune: int = 1000,
    target_accept: float = 0.9,
    along: str | None = None,
    progressbar: bool = False,
) -> Draws:
    """Sample a model with NumPyro's NUTS in whitened coordinates.

    Parameters
    ----------
    model
        All free variables continuous; one mode, reached from the start.
    start, along
        As in `fit_laplace`.
    draws, tune, chains, seed, target_accept, progressbar
        As in `petro_models.inference.nuts.sample_nuts`.

    Raises
    ------
    FitError
        As `fit_laplace` does.
    """
    laplace = fit_laplace(model, start, along)
    kernel = partial(NUTS, target_accept_prob=target_accept)
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

    Where early draws show that the highest point is not typical of the posterior, the coordinates
    are taken anew from the curvature where the chains are, and the chains start again.

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
    kernel = partial(
        HMC,
        trajectory_length=TRAJECTORY,
        target_accept_prob=target_accept,
        adapt_mass_matrix=False,
    )
    notes = {"target_accept": target_accept, "trajectory": TRAJECTORY}
    return _sample(
        model, laplace, kernel, draws, tune, chains, seed, progressbar, notes, most_steps=MANY_STEPS
    )


def _potential(laplace: Laplace) -> Callable[[jax.Array], jax.Array]:
    """Give minus the log density in whitened coordinates."""
    negative = _negative(laplace.compiled)
    return lambda z: negative(laplace.place(z))


def _sample(
    model: pm.Model,
    laplace: Laplace,
    kernel: partial[HMC],
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    progressbar: bool,
    notes: dict[str, Any],
    most_steps: float = np.inf,
) -> Draws:
    """Run a kernel in whitened coordinates and give the draws in the model's."""
    device = choose_device(
        lambda: seconds_of_chains(laplace.seconds_a_gradient(), tune + draws, chains)
    )
    run = partial(
        run_chains,
        origin=np.random.default_rng(seed).normal(size=(chains, laplace.optimum.size)),
        tune=tune,
        draws=draws,
        seed=seed,
        device=device,
        progressbar=progressbar,
    )
    drawn = run(
        kernel(potential_fn=_potential(laplace)),
        give_up=lambda kept: float(kept["num_steps"].mean()) > most_steps,
    )
    if not drawn.complete:
        notes = notes | {"curvature_measured_anew": True}
        each = -(-POINTS // chains)
        last = np.linspace(0, drawn.z.shape[1] - 1, each + 1).astype(int)[1:]
        laplace = laplace.about(drawn.z[:, last].reshape(chains * each, -1))
        drawn = run(kernel(potential_fn=_potential(laplace)))
    points = jax.lax.map(laplace.place, drawn.z.reshape(chains * draws, -1))
    values = {
        name: value.reshape(chains, draws, *value.shape[1:])
        for name, value in laplace.constrained(points).items()
    }
    posterior = posterior_dataset(model, values)
    return Draws(
        posterior=posterior,
        sample_stats=sampling_statistics(drawn.statistics, posterior),
        sampler=f"{kernel.func.__name__} in Laplace-whitened coordinates "
        f"(numpyro {version('numpyro')})",
        notes={
            **notes,
            "tune": tune,
            "device": device.platform,
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
