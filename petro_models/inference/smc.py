"""Adaptive tempered sequential Monte Carlo on the JAX log density, for posteriors of many modes.

BlackJAX's algorithms, called directly; ours is the tuning of the mutation kernel at every stage:
the mass matrix follows the particles' covariance and the step size the acceptance of the stage
before. BlackJAX moves particles at the temperature they come from and only then weights them for
the next one, so the particles that reach temperature 1 still carry weights: a last stage at
temperature 1 resamples and moves them (without it the weights of separate modes come out wrong).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, NamedTuple

import blackjax
import blackjax.smc.adaptive_tempered as adaptive_tempered
import blackjax.smc.resampling as resampling
import blackjax.smc.tempered as tempered
import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import xarray as xr
from jax.flatten_util import ravel_pytree

from petro_models.errors import FitError
from petro_models.inference import progress
from petro_models.inference.compiled import CompiledModel, compile_model, draw_prior
from petro_models.inference.draws import Draws, posterior_dataset, quiet_libraries
from petro_models.inference.nuts import refuse_discrete

MAXIMUM_STAGES = 1000
TARGET_ACCEPTANCE = 0.8
TRAJECTORY_LENGTH = 1.6
MAXIMUM_LEAPFROGS = 24
DENSE_UP_TO = 60


class _Run(NamedTuple):
    particles: Any
    log_evidence: float
    stages: int
    acceptance: float


def sample_smc(
    model: pm.Model,
    *,
    draws: int,
    chains: int,
    seed: int,
    moves: int = 8,
    target_ess: float = 0.9,
    progressbar: bool = False,
) -> Draws:
    """Carry particles from the prior to the posterior through tempered likelihoods.

    Each chain is an independent run of `draws` particles, so that R-hat between chains tells
    whether the weights of separate modes are reproducible.

    Parameters
    ----------
    model
        The model; all free variables continuous.
    draws, chains
        Particles per run and number of independent runs.
    seed
        Same seed, same draws.
    moves
        Hamiltonian moves of every particle at each stage.
    target_ess
        Share of effective particles that each step of the temperature keeps.
    progressbar
        Whether to show one.

    Raises
    ------
    FitError
        If a free variable is discrete, or the temperature stops rising.
    """
    refuse_discrete(model)
    compiled = compile_model(model)
    with quiet_libraries():
        points = draw_prior(model, draws * chains, seed, mode="JAX")
    stages = _compile_stages(compiled, draws, moves, target_ess)
    keys = jax.random.split(jax.random.key(seed), chains)
    temperatures = np.zeros(chains)

    with progress.bar("tempered SMC", progressbar) as update:

        def run(chain: int) -> _Run:
            def report(temperature: float, message: str) -> None:
                temperatures[chain] = temperature
                update(float(temperatures.mean()), f"run {chain + 1} of {chains}, {message}")

            start = {name: jnp.asarray(value[chain::chains]) for name, value in points.items()}
            return _run(stages, start, keys[chain], report)

        # Compiled code lets go of the interpreter: a thread a core runs the chains side by side.
        with ThreadPoolExecutor(min(chains, os.cpu_count() or 1)) as pool:
            runs = list(pool.map(run, range(chains)))
    values = [jax.vmap(compiled.constrain)(run.particles) for run in runs]
    lp = [
        jax.vmap(lambda p: compiled.log_prior(p) + compiled.log_likelihood(p))(run.particles)
        for run in runs
    ]
    posterior = posterior_dataset(
        model, {name: np.stack([value[name] for value in values]) for name in values[0]}
    )
    return Draws(
        posterior=posterior,
        sample_stats=xr.Dataset(
            {"lp": (("chain", "draw"), np.stack(lp))},
            {"chain": posterior["chain"], "draw": posterior["draw"]},
        ),
        sampler=f"tempered SMC (blackjax {version('blackjax')})",
        notes={
            "log_evidence": float(np.mean([run.log_evidence for run in runs])),
            "log_evidence_sd": float(np.std([run.log_evidence for run in runs])),
            "stages": max(run.stages for run in runs),
            "acceptance": float(np.mean([run.acceptance for run in runs])),
            "moves": moves,
        },
    )


def _compile_stages(
    compiled: CompiledModel, particles: int, moves: int, target_ess: float
) -> tuple[Any, Any]:
    """Compile a stage that raises the temperature and the last one, which stays at 1."""
    parts = (
        compiled.log_prior,
        compiled.log_likelihood,
        blackjax.hmc.build_kernel(),
        blackjax.hmc.init,
        resampling.systematic,
    )
    rising = adaptive_tempered.build_kernel(*parts, target_ess)
    staying = tempered.build_kernel(*parts)

    def parameters(key: jax.Array, state: Any, step_size: jax.Array) -> dict[str, jax.Array]:
        jitter = jax.random.uniform(key, (particles,), minval=0.4, maxval=1.2)
        leapfrogs = jnp.clip(jnp.ceil(TRAJECTORY_LENGTH / step_size), 1, MAXIMUM_LEAPFROGS)
        return {
            "step_size": step_size * jitter,
            "inverse_mass_matrix": _inverse_mass_matrix(state.particles)[None],
            "num_integration_steps": jnp.full((1,), leapfrogs.astype(int)),
        }

    @jax.jit
    def rise(key: jax.Array, state: Any, step_size: jax.Array) -> tuple[Any, Any]:
        jitter_key, step_key = jax.random.split(key)
        return rising(step_key, state, moves, parameters(jitter_key, state, step_size))

    @jax.jit
    def stay(key: jax.Array, state: Any, step_size: jax.Array) -> tuple[Any, Any]:
        jitter_key, step_key = jax.random.split(key)
        return staying(step_key, state, moves, 1.0, parameters(jitter_key, state, step_size))

    return rise, stay


def _inverse_mass_matrix(particles: Any) -> jax.Array:
    rows = jax.vmap(lambda particle: ravel_pytree(particle)[0])(particles)
    variance = rows.var(axis=0) + 1e-12
    if rows.shape[1] > DENSE_UP_TO or rows.shape[0] < 5 * rows.shape[1]:
        return variance
    covariance = jnp.cov(rows, rowvar=False).reshape(rows.shape[1], rows.shape[1])
    return 0.98 * covariance + 0.02 * jnp.diag(variance)


def _run(
    stages: tuple[Any, Any], start: Any, key: jax.Array, report: Callable[[float, str], None]
) -> _Run:
    rise, stay = stages
    state = adaptive_tempered.init(start)
    dimension = sum(int(np.prod(value.shape[1:])) for value in start.values())
    step_size = min(1.0, 1.2 * dimension**-0.25)
    log_evidence = 0.0
    for index in range(MAXIMUM_STAGES):
        key, subkey = jax.random.split(key)
        before = float(state.tempering_param)
        move = rise if before < 1.0 else stay
        state, info = move(subkey, state, jnp.asarray(step_size))
        temperature = float(state.tempering_param)
        log_evidence += float(info.log_likelihood_increment)
        acceptance = float(jnp.nanmean(info.update_info.acceptance_rate))
        step_size = float(np.clip(step_size * np.exp(acceptance - TARGET_ACCEPTANCE), 1e-4, 1.6))
        report(
            temperature,
            f"stage {index + 1}, temperature {temperature:.3g}, acceptance {acceptance:.2f}",
        )
        if before >= 1.0:
            return _Run(state.particles, log_evidence, index + 1, acceptance)
        if not temperature > before:
            break
    raise FitError(
        f"tempered SMC stopped at temperature {float(state.tempering_param):.3g} after "
        f"{index + 1} stages: the likelihood is not finite for too many prior draws. "
        "Use more draws, or priors nearer to what is plausible"
    )
