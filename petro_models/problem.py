"""The one life cycle: data -> priors -> model -> fit -> checks -> derived -> report."""

import copy
import hashlib
import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from petro_models.errors import FitError, PriorError, nearest
from petro_models.inference import checks, predictive, progress
from petro_models.inference.devices import small_work
from petro_models.inference.draws import Draws, Sampled
from petro_models.inference.nuts import Backend, Point, sample_nuts
from petro_models.inference.optimum import find_optimum
from petro_models.inference.replicates import with_observed
from petro_models.inference.smc import sample_smc
from petro_models.inference.whitened import sample_hmc, sample_laplace, sample_whitened
from petro_models.priors import Priors, PriorSpecification

if TYPE_CHECKING:
    from petro_models.report.cards import Card

type Method = Literal["auto", "nuts", "hmc", "smc", "exact", "laplace", "map"]
METHODS: tuple[str, ...] = ("auto", "nuts", "hmc", "smc", "exact", "laplace", "map")
RANKED_ELEMENTS = 3
"""Elements of a variable that calibration ranks unless the problem says otherwise."""
PACKAGES = ("petro_models", "pymc", "numpyro", "jax", "blackjax", "arviz", "numpy", "xarray")

logger = logging.getLogger("petro_models")


class InverseProblem(ABC):
    """A declared inverse problem with editable priors.

    Subclasses say what the data, the priors and the model are, and what the answers are; the life
    cycle here is the same for all.

    Attributes
    ----------
    data
        The validated measurements.
    options
        Choices of model structure (plain values).
    priors
        The priors in force, edited by name.
    """

    kind: ClassVar[str]
    """Name of the problem in files and on the command line."""
    model_version: ClassVar[int]
    """Raised whenever the declared model changes meaning."""
    predictive_draws: ClassVar[int] = 1000
    """Posterior draws for which data are replicated and densities are kept."""
    prior_draws: ClassVar[int] = 500
    """Draws of the prior and of data from it."""
    predictive_kept: ClassVar[int | None] = None
    """Replicated data sets kept in the fit after the checks; None: all."""
    whitened_acceptance: ClassVar[float] = 0.9
    """Acceptance that NUTS in whitened coordinates aims at, unless asked for another."""
    thins_prior: ClassVar[bool] = False
    """Whether `log_acceptance` refuses some draws of the priors."""
    registry: ClassVar[dict[str, type["InverseProblem"]]] = {}

    data: xr.Dataset
    options: dict[str, str]
    priors: Priors

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        InverseProblem.registry[cls.kind] = cls

    def __init__(
        self,
        data: xr.Dataset,
        options: Mapping[str, str],
        specifications: Mapping[str, PriorSpecification],
    ) -> None:
        self.data = laid_out(data)
        self.options = dict(options)
        self.priors = Priors(specifications, {str(d): c.values for d, c in data.coords.items()})
        self._model: tuple[str, pm.Model] | None = None

    # -- what a problem must say of itself -------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_options(cls, data: xr.Dataset, options: Mapping[str, str]) -> "InverseProblem":
        """Make the problem again from its data and options."""

    @abstractmethod
    def _declare(self) -> pm.Model:
        """Declare the PyMC model under the priors in force."""

    @abstractmethod
    def _choose_method(self) -> tuple[str, str]:
        """Pick a method by the structure of the problem; give it and the reason."""

    @abstractmethod
    def _derive(self, draws: Draws, seed: int) -> xr.Dataset:
        """Turn draws into the scientific answers."""

    @abstractmethod
    def _predictive_statistics(self, replicated: xr.Dataset) -> dict[str, tuple[float, np.ndarray]]:
        """Name statistics of the data: observed value and replicates."""

    @abstractmethod
    def _own_checks(self, fit: xr.DataTree) -> list[checks.Check]:
        """Check what only this problem knows."""

    @abstractmethod
    def _cards(self, fit: xr.DataTree) -> "list[Card]":
        """Give the cards of the report that belong to this problem."""

    @abstractmethod
    def headline(self, fit: xr.DataTree) -> list[str]:
        """Say the answer in sentences with numbers."""

    def _exact(self, draws: int, chains: int, seed: int) -> Draws:
        """Sample the posterior exactly, where the problem has a closed form."""
        raise FitError(f'{type(self).__name__} has no exact method: use method="auto"')

    def _starting_points(self) -> list[Point]:
        """Give points, one per candidate mode, best first; empty to leave it to the sampler."""
        return []

    def start_of_climb(self) -> Point | None:
        """Give the point from which whitened NUTS climbs; None to sample the model as it stands."""
        return None

    def bends_along(self) -> str | None:
        """Name the unknown that the others bend with, for whitened NUTS to follow; None if none."""
        return None

    def competing_optima(self) -> str | None:
        """Say what a sampler about one optimum would miss of the posterior; None if nothing."""
        return None

    def log_acceptance(self, prior: xr.Dataset) -> np.ndarray:
        """Give the log probability with which each draw of the priors can be a rock at all."""
        return np.zeros(prior.sizes["draw"])

    def with_observed(self, drawn: xr.Dataset) -> Self:
        """Give this problem with data drawn from its model in place of its own.

        Parameters
        ----------
        drawn
            Values by observed variable, as `prior_predictive` draws them; one draw.
        """
        values = {str(name): values.to_numpy() for name, values in drawn.data_vars.items()}
        other = copy.copy(self)
        other._model = (self.model_id, with_observed(self.model, values))
        return other

    def ranked(self, posterior: xr.Dataset) -> dict[str, np.ndarray]:
        """Give the quantities that calibration ranks, by name (draw over all chains).

        A few elements, evenly spread, of every free variable.
        """
        found = {}
        for name, values in posterior.data_vars.items():
            flat = values.to_numpy().reshape(values.sizes["chain"] * values.sizes["draw"], -1)
            chosen = np.unique(np.linspace(0, flat.shape[1] - 1, RANKED_ELEMENTS).astype(int))
            for index in chosen:
                label = f"{name}[{index}]" if flat.shape[1] > 1 else str(name)
                found[label] = flat[:, index]
        return found

    def _quantities(self) -> list[str]:
        """Name the posterior variables whose sensitivity to the priors matters."""
        return [rv.name for rv in self.model.free_RVs]

    # -- the life cycle --------------------------------------------------------------------------

    @property
    def model(self) -> pm.Model:
        """The declared model, a plain `pymc.Model`; declared anew after an edit of the priors."""
        state = self.model_id
        if self._model is None or self._model[0] != state:
            self._model = (state, self._declare())
        return self._model[1]

    @property
    def model_id(self) -> str:
        """Hash of data, options, priors and model version: what a fit is a fit *of*."""
        digest = hashlib.sha256()
        parts = [self.kind, str(self.model_version), json.dumps(self.options, sort_keys=True)]
        digest.update("\n".join([*parts, self.priors.to_toml()]).encode())
        for name in sorted(map(str, self.data.variables)):
            values = self.data[name].to_numpy()
            digest.update(name.encode())
            if values.dtype.kind in "fiub":
                # Read in place: a map may be larger than memory.
                digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
            else:
                digest.update(str(values.tolist()).encode())
        return digest.hexdigest()[:16]

    @small_work()
    def prior_predictive(self, draws: int | None = None, seed: int = 0) -> xr.DataTree:
        """Draw parameters and data from the priors: to see whether they know rocks."""
        return predictive.prior_predictive(self.model, draws or self.prior_draws, seed)

    def fit(
        self,
        method: Method = "auto",
        *,
        draws: int = 1000,
        chains: int = 4,
        tune: int | None = None,
        seed: int = 0,
        backend: Backend = "numpyro",
        target_accept: float | None = None,
        log_likelihood: bool = False,
        progressbar: bool | None = None,
    ) -> xr.DataTree:
        """Fit the model: sample, derive the answers, check.

        Parameters
        ----------
        method
            ``auto`` picks by structure and says why; ``nuts``, ``smc``, ``exact``; ``hmc``, quicker
            than NUTS where the posterior is near normal; ``laplace``, the normal approximation
            about the optimum; ``map``, the optimum alone.
        draws, chains
            Kept draws per chain (particles per run for SMC), and chains.
        tune
            Adaptation steps; by default 1,000 of NUTS and 300 of HMC.
        seed
            Same seed, same result.
        backend
            NUTS implementation: ``numpyro`` (reference) or ``nutpie``.
        target_accept
            Acceptance that NUTS (by default 0.9, 0.95 of histories) or HMC (0.8) aims at.
        log_likelihood
            Whether to keep the log likelihood of each column of data (thinned) in the fit.
        progressbar
            Whether to show one; by default where someone watches.

        Returns
        -------
        xr.DataTree
            Groups ``posterior sample_stats observed_data constant_data prior
            posterior_predictive log_prior derived checks`` (and ``log_likelihood`` on request).

        Raises
        ------
        FitError
            If the method is unknown or cannot sample this model.
        """
        begin = time.perf_counter()
        show = progress.is_watched() if progressbar is None else progressbar
        sampled = self.sample(
            method,
            draws=draws,
            chains=chains,
            tune=tune,
            seed=seed,
            backend=backend,
            target_accept=target_accept,
            progressbar=show,
        )
        with progress.shown(show):
            fit = self.complete(sampled, log_likelihood=log_likelihood)
        fit.attrs["wall_seconds"] = time.perf_counter() - begin
        return fit

    @small_work()
    def sample(
        self,
        method: Method = "auto",
        *,
        draws: int = 1000,
        chains: int = 4,
        tune: int | None = None,
        seed: int = 0,
        backend: Backend = "numpyro",
        target_accept: float | None = None,
        progressbar: bool = False,
        start: Point | None = None,
    ) -> Sampled:
        """Sample the free variables, the first half of `fit`; parameters as there.

        `start` is where to climb from, in natural units, in place of the problem's own start.

        Raises
        ------
        FitError
            If the method is unknown or cannot sample this model.
        """
        if method not in METHODS:
            raise FitError(f"no method is named '{method}': {nearest(str(method), METHODS)}")
        for name, number in (("draws", draws), ("chains", chains)):
            if number < 1:
                raise FitError(f"{name} must be at least 1; got {number}")
        begin = time.perf_counter()
        show = progressbar
        chosen, reason = (method, "as asked") if method != "auto" else self._choose_method()
        logger.info("%s: method %s (%s)", self.kind, chosen, reason)
        chained: dict[str, Any] = {"draws": draws, "chains": chains, "seed": seed}
        chained |= {"progressbar": show}
        chained |= {} if tune is None else {"tune": tune}
        chained |= {} if target_accept is None else {"target_accept": target_accept}
        if chosen == "exact":
            result = self._exact(draws, chains, seed)
        elif chosen == "smc":
            result = sample_smc(self.model, draws=draws, chains=chains, seed=seed, progressbar=show)
        elif chosen == "map":
            result = find_optimum(self.model, self._starting_points() or [{}])
        elif chosen == "laplace":
            climb = start or self.start_of_climb() or {}
            result = sample_laplace(self.model, climb, draws=draws, chains=chains, seed=seed)
        elif chosen == "hmc":
            result = sample_hmc(self.model, start or self.start_of_climb() or {}, **chained)
        elif (own := self.start_of_climb()) is not None and backend == "numpyro":
            chained = {"target_accept": self.whitened_acceptance} | chained
            result = sample_whitened(self.model, start or own, along=self.bends_along(), **chained)
        else:
            starts = self._starts_of_chains(chains, seed) if method == "auto" else None
            result = sample_nuts(self.model, backend=backend, start=starts, **chained)
        seconds = time.perf_counter() - begin
        logger.info("%s: sampled in %.1f s", result.sampler, seconds)
        return Sampled(result, seed, chosen, reason, seconds)

    @small_work()
    def complete(
        self,
        sampled: Sampled,
        *,
        log_likelihood: bool = False,
        derived: xr.Dataset | None = None,
    ) -> xr.DataTree:
        """Derive the answers and check, the second half of `fit`.

        Parameters
        ----------
        sampled
            As `sample` returns it.
        log_likelihood
            Whether to keep the log likelihood in the fit.
        derived
            The answers, where they were computed elsewhere.
        """
        begin, result = time.perf_counter(), sampled.draws
        fit, likelihood = self._assemble(result, sampled.seed, derived)
        if log_likelihood:
            fit["log_likelihood"] = xr.DataTree(likelihood)
        verdicts = self._check(fit, result, likelihood)
        fit["checks"] = xr.DataTree(verdicts.to_dataset())
        if self.predictive_kept is not None:
            kept = predictive.thin(fit["posterior_predictive"].to_dataset(), self.predictive_kept)
            fit["posterior_predictive"] = xr.DataTree(kept)
        fit.attrs |= {
            "method": sampled.method,
            "method_reason": sampled.reason,
            "sampling_seconds": sampled.seconds,
            "wall_seconds": sampled.seconds + time.perf_counter() - begin,
        }
        logger.info("%s", verdicts)
        return fit

    def to_tree(self) -> xr.DataTree:
        """Give data, options and priors as `problem_of` takes them: a fit without draws."""
        tree = xr.DataTree.from_dict({"constant_data": self.data})
        tree.attrs |= self._identity()
        return tree

    def describe(self, result: Draws, seed: int) -> dict[str, Any]:
        """Give the attributes of a fit: of which model it is a fit, and how it was made."""
        return {
            **self._identity(),
            "seed": seed,
            "sampler": result.sampler,
            "sampler_notes": json.dumps(dict(result.notes)),
            "device": result.notes.get("device", "cpu"),
            "created": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
        }

    @small_work()
    def derive(self, fit: xr.DataTree) -> xr.Dataset:
        """Compute the scientific answers of a fit of this problem anew."""
        self._require_own(fit)
        draws = Draws(
            fit["posterior"].to_dataset(), fit["sample_stats"].to_dataset(), fit.attrs["sampler"]
        )
        return self._derive(draws, int(fit.attrs["seed"]))

    def report(self, fit: xr.DataTree, path: str | Path) -> Path:
        """Write the report of a fit of this problem: one HTML file that needs nothing else.

        Raises
        ------
        FitError
            If the fit is of another model, data or priors than this problem holds now.
        """
        from petro_models.report import write_report

        self._require_own(fit)
        return write_report(self, fit, path)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{dim} {size}" for dim, size in self.data.sizes.items())
        options = ", ".join(f"{name}={value}" for name, value in self.options.items() if value)
        return (
            f"{type(self).__name__} ({self.data.attrs.get('source', 'in memory')})\n"
            f"  data    {sizes}\n"
            f"  model   {options}  [id {self.model_id}]\n"
            f"  priors  (* = edited)\n"
            + "\n".join(f"  {line}" for line in repr(self.priors).splitlines())
        )

    # -- parts of the life cycle -----------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """Give what `problem_of` reads of a file, and the versions that wrote it."""
        return {
            "problem": self.kind,
            "options": json.dumps(self.options),
            "priors": self.priors.to_toml(),
            "model_version": self.model_version,
            "model_id": self.model_id,
            "versions": json.dumps({name: version(name) for name in PACKAGES}),
        }

    def _assemble(
        self, result: Draws, seed: int, derived: xr.Dataset | None
    ) -> tuple[xr.DataTree, xr.Dataset]:
        """Make the fit's groups, and the log likelihood of its thinned draws beside them."""
        posterior = result.posterior
        thinned = predictive.thin(posterior, self.predictive_draws)
        prior = self.prior_predictive(seed=seed)
        log_prior, log_likelihood = predictive.log_densities(self.model, thinned)
        groups = {
            "posterior": posterior,
            "sample_stats": result.sample_stats,
            "observed_data": prior["observed_data"].to_dataset(),
            "constant_data": self.data,
            "prior": prior["prior"].to_dataset(),
            "posterior_predictive": predictive.posterior_predictive(self.model, thinned, seed),
            "log_prior": log_prior,
            "derived": self._derive(result, seed) if derived is None else derived,
        }
        fit = xr.DataTree.from_dict(groups)
        fit.attrs |= self.describe(result, seed)
        return fit, log_likelihood

    def _check(self, fit: xr.DataTree, result: Draws, log_likelihood: xr.Dataset) -> checks.Checks:
        posterior = result.posterior
        found = checks.convergence(posterior) + checks.sampler_health(result.sample_stats)
        if posterior.sizes["draw"] >= 4:
            replicated = fit["posterior_predictive"].to_dataset()
            found += checks.predictive(self._predictive_statistics(replicated))
            sensitivity = checks.power_scaling(
                predictive.thin(posterior, self.predictive_draws),
                fit["log_prior"].to_dataset(),
                log_likelihood,
                self._quantities(),
            )
            fit["sensitivity"] = xr.DataTree(_sensitivity_dataset(sensitivity))
            found += checks.prior_sensitivity(sensitivity)
        return checks.Checks(found + self._own_checks(fit))

    def _starts_of_chains(self, chains: int, seed: int) -> Sequence[Point] | None:
        """Start every chain near the best candidate mode, scattered by a hundredth."""
        points = self._starting_points()
        if not points:
            return None
        generator = np.random.default_rng(seed)
        return [
            {
                name: value + 0.01 * np.abs(value).max() * generator.normal(size=np.shape(value))
                for name, value in points[0].items()
            }
            for _ in range(chains)
        ]

    def _require_own(self, fit: xr.DataTree) -> None:
        stored = fit.attrs.get("model_id")
        if stored is None:
            raise FitError("this DataTree is no fit of petro_models: it has no model id")
        if stored != self.model_id:
            raise FitError(
                f"this fit is of another model (id {stored}; the problem now has {self.model_id}): "
                "data, options or priors were changed since. Fit again, or take the problem that "
                "was fitted with petro_models.problem_of(fit)"
            )


def laid_out(data: xr.Dataset) -> xr.Dataset:
    """Lay every variable out in memory as a file does, row by row.

    Sums over arrays of another layout round otherwise, and a problem made again from its file must
    give the same fit to the last digit.
    """
    changed = {
        name: values.copy(data=np.ascontiguousarray(values.to_numpy()))
        for name, values in data.data_vars.items()
        if values.ndim > 1 and not values.to_numpy().flags.c_contiguous
    }
    return data.assign(changed)


def problem_of(fit: xr.DataTree) -> InverseProblem:
    """Make the problem again that a fit is a fit of: its data, options and priors.

    Raises
    ------
    FitError
        If the fit names a problem that does not exist, or this version declares another model.
    """
    import petro_models.public  # noqa: F401 - registers every kind of problem

    kind = fit.attrs.get("problem")
    if kind not in InverseProblem.registry:
        raise FitError(
            f"this DataTree is no fit of petro_models (problem: {kind!r}). "
            f"Known problems: {', '.join(InverseProblem.registry)}"
        )
    data = fit["constant_data"].to_dataset()
    problem = InverseProblem.registry[kind].from_options(data, json.loads(fit.attrs["options"]))
    try:
        problem.priors.from_toml(fit.attrs["priors"])
    except PriorError as error:
        raise FitError(
            f"the stored priors do not fit this version of petro_models ({error}); versions in the "
            f"file: {fit.attrs.get('versions')}. Fit again"
        ) from error
    if problem.model_id != fit.attrs["model_id"]:
        raise FitError(
            f"the stored fit has model id {fit.attrs['model_id']} but its data and priors give "
            f"{problem.model_id}: the file was edited, or made by a version of petro_models that "
            f"declares another model (versions in the file: {fit.attrs.get('versions')}). Fit again"
        )
    return problem


def check(fit: xr.DataTree) -> checks.Checks:
    """Read the verdicts on a fit; they print as a table.

    Raises
    ------
    FitError
        If the DataTree holds no verdicts.
    """
    if "checks" not in fit.children:
        raise FitError("this DataTree holds no checks: it is no fit of petro_models")
    return checks.Checks.from_dataset(fit["checks"].to_dataset())


def _sensitivity_dataset(table: pd.DataFrame) -> xr.Dataset:
    return xr.Dataset(
        {name: ("quantity", table[name].to_numpy(float)) for name in ("prior", "likelihood")},
        {"quantity": list(map(str, table.index))},
    )
