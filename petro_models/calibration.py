"""Simulation-based calibration of a problem: its own model draws data, which it then fits.

Truths come from the priors, data from the model given them, at the design of the problem's own
data. If sampler, model and code agree, the rank of a truth among its posterior draws is uniform.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import arviz as az
import jax
import numpy as np
import xarray as xr

from petro_models.errors import FitError, PetroError
from petro_models.inference import progress
from petro_models.inference.batch import fit_many
from petro_models.inference.calibration import Calibration, calibrate
from petro_models.problem import InverseProblem, Method

PRIOR_DRAWS_A_REPLICATE = 8
"""Draws of the prior for each replicate, where some are too strange for the model to take."""
RANKED_DRAWS = 200
CONVERGED = 1.05
"""R-hat above which a replicate counts as not converged: ranks forgive more than a fit does."""
REVIEW, FAIL = 0.05, 0.001
"""Probabilities of so uneven ranks, or of such a coverage, below which a verdict turns."""


@dataclass(frozen=True)
class CalibrationResult:
    """What the replicates of a problem showed.

    Attributes
    ----------
    quantities
        Ranks and coverage of each quantity.
    status
        What became of each replicate: ``ok``, ``not converged`` (ranked all the same), or
        ``failed: ...`` (left out).
    facts
        Problem, method, sizes, versions, date and seconds.
    """

    quantities: list[Calibration]
    status: list[str]
    facts: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """How many replicates ended how."""
        return dict(Counter(status.split(":")[0] for status in self.status))

    @property
    def verdict(self) -> str:
        """Say ``PASS``, ``REVIEW`` or ``FAIL`` for all quantities together (Bonferroni)."""
        if not self.quantities or self.counts.get("failed", 0) > 0.1 * len(self.status):
            return "FAIL"
        chances = [p for one in self.quantities for p in (one.p_uniform, one.p_covered)]
        lowest = min(chances) * len(chances)
        return "FAIL" if lowest < FAIL else "REVIEW" if lowest < REVIEW else "PASS"

    def to_json(self) -> str:
        """Give the figures as JSON."""
        record = {
            **self.facts,
            "verdict": self.verdict,
            "replicates": self.counts,
            "failures": [status for status in self.status if status.startswith("failed")],
            "quantities": {
                one.name: {
                    "truths": int(one.pit.size),
                    "coverage of 90 % intervals": round(one.coverage, 4),
                    "p of uniform ranks": round(one.p_uniform, 4),
                    "ranks": [round(float(value), 3) for value in one.pit],
                }
                for one in self.quantities
            },
        }
        return json.dumps(record, indent=1) + "\n"


@dataclass(frozen=True)
class Settings:
    """What a calibration does: arguments of `calibrate_problem`."""

    replicates: int
    method: Method
    draws: int
    chains: int
    tune: int | None
    seed: int


@dataclass(frozen=True)
class Replicate:
    """One data set that was drawn and fitted.

    Attributes
    ----------
    status
        As in `CalibrationResult`.
    ranked
        Quantity -> truth and nearly independent posterior draws.
    """

    status: str
    ranked: dict[str, tuple[float, Any]]


def calibrate_problem(
    problem: InverseProblem,
    replicates: int = 50,
    *,
    method: Method = "auto",
    draws: int = 500,
    chains: int = 4,
    tune: int | None = None,
    seed: int = 0,
    together: bool = False,
    progressbar: bool | None = None,
) -> CalibrationResult:
    """Calibrate a problem: draw data from its model, fit them, rank the truths.

    Parameters
    ----------
    problem
        Its priors, options and the design of its data are kept; the data themselves are not used.
    replicates
        How many data sets.
    method, draws, chains, tune
        Of each fit, as in `InverseProblem.fit`.
    seed
        Same seed, same result.
    together
        Whether all data sets are sampled side by side by one program (`fit_many`), which spares
        compiling one each; for ``nuts`` and ``hmc`` of models that are climbed to one optimum.
    progressbar
        Whether to show one; by default where someone watches.

    Raises
    ------
    FitError
        If the priors hardly ever draw data that the model can take, or the data sets cannot be
        sampled together.

    References
    ----------
    Talts, S., and others (2018). Validating Bayesian inference algorithms with simulation-based
    calibration. arXiv:1804.06788.
    """
    begin = time.perf_counter()
    settings = Settings(replicates, method, draws, chains, tune, seed)
    truths = draw_truths(problem, settings)
    if together:
        found = fit_together(problem, truths, settings, progressbar)
        return summarise(problem, found, settings, time.perf_counter() - begin)
    found = []
    show = progress.is_watched() if progressbar is None else progressbar
    with progress.bar("replicates", show) as update:
        for number in range(replicates):
            found.append(fit_replicate(problem, truths, number, settings))
            done = f"{number + 1} of {replicates}, {found[-1].status}"
            update((number + 1) / replicates, done)
    return summarise(problem, found, settings, time.perf_counter() - begin)


def summarise(
    problem: InverseProblem, found: Sequence[Replicate], settings: Settings, seconds: float
) -> CalibrationResult:
    """Rank the truths of all replicates."""
    generator = np.random.default_rng([settings.seed, 1])
    collected: dict[str, tuple[list[float], list[np.ndarray]]] = {}
    for replicate in found:
        for name, (true, values) in replicate.ranked.items():
            truths, posteriors = collected.setdefault(name, ([], []))
            truths.append(true)
            posteriors.append(np.asarray(values))
    is_auto = settings.method == "auto"
    facts = {
        "problem": problem.kind,
        "model_id": problem.model_id,
        "method": problem._choose_method()[0] if is_auto else settings.method,
        "replicates asked for": settings.replicates,
        "draws, chains": [settings.draws, settings.chains],
        "seed": settings.seed,
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("petro_models", "pymc", "numpyro", "jax")},
        "seconds": round(seconds, 1),
    }
    return CalibrationResult(
        [calibrate(name, *column, generator) for name, column in collected.items()],
        [replicate.status for replicate in found],
        facts,
    )


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep what every fit says about itself out of sight."""
    logger = logging.getLogger("petro_models")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def draw_truths(problem: InverseProblem, settings: Settings) -> tuple[xr.Dataset, xr.Dataset]:
    """Draw truths and data; those that the model finds too strange are drawn again.

    Raises
    ------
    FitError
        If the priors hardly ever draw data that the model can take.
    """
    generator, replicates = np.random.default_rng(settings.seed), settings.replicates
    count = replicates * (PRIOR_DRAWS_A_REPLICATE if problem.thins_prior else 1)
    tree = problem.prior_predictive(draws=count, seed=int(generator.integers(2**31)))
    names = [rv.name for rv in problem.model.free_RVs]
    prior, data = tree["prior"].to_dataset()[names], tree["prior_predictive"].to_dataset()
    if not problem.thins_prior:
        return prior, data
    chance = problem.log_acceptance(prior)
    taken = np.flatnonzero(np.log(generator.uniform(size=count)) < chance)
    if taken.size < replicates:
        raise FitError(
            f"only {taken.size} of {count:,} draws of the priors can be taken as rocks, and "
            f"{replicates} are wanted: ask for fewer replicates, or edit the priors until "
            "problem.prior_predictive() looks like rocks"
        )
    return prior.isel(draw=taken[:replicates]), data.isel(draw=taken[:replicates])


def fit_replicate(
    problem: InverseProblem, truths: tuple[xr.Dataset, xr.Dataset], number: int, settings: Settings
) -> Replicate:
    """Fit one replicate; what goes wrong with it is said and spares the others.

    Parameters
    ----------
    problem
        Whose design and priors it has.
    truths
        From `draw_truths`.
    number
        Which of them.
    settings
        Of the fits.
    """
    prior, data = truths
    options = {name: getattr(settings, name) for name in ("method", "draws", "chains", "tune")}
    options |= {"seed": settings.seed + number}
    try:
        with _silenced():
            replicate = problem.with_observed(data.isel(chain=0, draw=number))
            return _fit(replicate, prior.isel(draw=[number]), options)
    except (PetroError, ArithmeticError, ValueError, RuntimeError) as error:
        return Replicate(f"failed: {type(error).__name__}: {error}", {})
    finally:
        # No other data set uses its programs, and some dozens take all memory maps of a process.
        jax.clear_caches()


def fit_together(
    problem: InverseProblem,
    truths: tuple[xr.Dataset, xr.Dataset],
    settings: Settings,
    progressbar: bool | None = None,
) -> list[Replicate]:
    """Fit all replicates side by side; parameters as of `calibrate_problem` and `draw_truths`.

    Raises
    ------
    FitError
        If the method does not sample about one optimum.
    """
    method = problem._choose_method()[0] if settings.method == "auto" else settings.method
    kernel: Literal["nuts", "hmc"] = "hmc" if method == "hmc" else "nuts"
    if method not in ("nuts", "hmc") or problem.bends_along() is not None:
        raise FitError(
            f"data sets that are fitted by '{method}' cannot be sampled together: leave `together` "
            "out, or ask for method='hmc'"
        )
    prior, data = truths
    numbers = range(settings.replicates)
    items: list[InverseProblem | None] = []
    refused: dict[int, str] = {}
    for number in numbers:
        try:
            items.append(problem.with_observed(data.isel(chain=0, draw=number)))
        except (PetroError, ArithmeticError, ValueError) as error:
            items.append(None)
            refused[number] = f"failed: {type(error).__name__}: {error}"
    with _silenced():
        fits = fit_many(
            items,
            method=kernel,
            draws=settings.draws,
            chains=settings.chains,
            seed=settings.seed,
            keep_draws=True,
            starts=[_values(prior.isel(draw=[number])) for number in numbers],
            progressbar=progressbar,
            **({} if settings.tune is None else {"tune": settings.tune}),
        )
    status, found = fits["status"].to_dataset(), []
    kept = fits["items"].children if "items" in fits.children else {}
    for number, item in enumerate(items):
        ended = status.isel(item=number)
        if item is None:
            found.append(Replicate(refused[number], {}))
        elif str(number) in kept:
            posterior = kept[str(number)]["posterior"].to_dataset()
            worst = float(ended["r_hat"])
            found.append(_ranked(item, prior.isel(draw=[number]), posterior, worst))
        else:
            found.append(Replicate(f"failed: {ended['message'].item()}", {}))
    return found


def _values(truth: xr.Dataset) -> dict[str, np.ndarray]:
    return {str(name): values.to_numpy()[0, 0] for name, values in truth.data_vars.items()}


def _fit(replicate: InverseProblem, truth: xr.Dataset, options: dict[str, Any]) -> Replicate:
    """Fit one data set; give what became of it, and truth and nearly independent draws."""
    posterior = replicate.sample(**options, start=_values(truth)).draws.posterior
    worst = 1.0
    if posterior.sizes["chain"] > 1 and options["method"] != "exact":
        worst = float(az.rhat(posterior).to_array().max())
    return _ranked(replicate, truth, posterior, worst)


def _ranked(
    replicate: InverseProblem, truth: xr.Dataset, posterior: xr.Dataset, worst: float
) -> Replicate:
    true = replicate.ranked(truth)
    drawn = {
        name: values[:: max(1, len(values) // RANKED_DRAWS)]
        for name, values in replicate.ranked(posterior).items()
    }
    ended = "ok" if worst < CONVERGED else f"not converged: R-hat {worst:.2f}"
    return Replicate(ended, {name: (float(true[name][0]), drawn[name]) for name in drawn})
