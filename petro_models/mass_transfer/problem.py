"""MassTransfer: which elements stayed, how much mass came or went."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from pymc_extras.prior import Prior

from petro_models.errors import DataError, FitError, nearest
from petro_models.inference import checks
from petro_models.inference.draws import Draws, free_variable_dims, posterior_dataset
from petro_models.inference.nuts import Point
from petro_models.mass_transfer import defaults, frames, summary
from petro_models.mass_transfer.data import validate_mass_table
from petro_models.mass_transfer.derived import ParameterDraws, derive
from petro_models.mass_transfer.enumeration import (
    Enumeration,
    GaussianColumns,
    enumeration_cost,
)
from petro_models.mass_transfer.forward import cell_variance, regularised_scale
from petro_models.mass_transfer.logs import log_table
from petro_models.mass_transfer.model import LIKELIHOODS, mass_transfer_model
from petro_models.problem import InverseProblem

if TYPE_CHECKING:
    from petro_models.report.cards import Card

STRUCTURES = ("independent", "pooled", "trend")
MAXIMUM_ENUMERATION = 2e10
"""Floating-point operations that an enumeration may cost: some ten seconds on one core."""
ONE_FRAME = 0.98


class MassTransfer(InverseProblem):
    """Mass-change ratios of altered rocks against a protolith, immobile elements found.

    Parameters
    ----------
    table
        As `read_mass_table` gives it: dims (sample, protolith, element).
    mobility
        Prior on mobility: ``spike_and_slab`` (default); ``coherent_spike_and_slab``, where each
        mobile element has its own mean and scatter over the samples (suites of many samples);
        ``horseshoe``; ``student_t``; or ``group_bridge(q)`` with 0 < q <= 2 (``group_bridge`` is
        q = 0.5).
    mass_change
        ``independent`` samples (default), ``pooled`` towards their mean, or a smooth ``trend``
        along the table's distance (one curve for each profile).

    Raises
    ------
    DataError
        If the table does not hold what the model needs.
    FitError
        If `mobility` or `mass_change` is unknown.

    Examples
    --------
    >>> import petro_models as petro
    >>> problem = petro.MassTransfer(petro.datasets.grant2005())
    >>> fit = problem.fit(seed=1)  # doctest: +SKIP
    """

    kind: ClassVar[str] = "mass-transfer"
    model_version: ClassVar[int] = 1

    def __init__(
        self, table: xr.Dataset, mobility: str = "spike_and_slab", mass_change: str = "independent"
    ) -> None:
        validate_mass_table(table)
        self.mobility, self.exponent = _parse_mobility(mobility)
        if mass_change not in STRUCTURES:
            raise FitError(
                f"no structure of mass change is named '{mass_change}': "
                f"{nearest(mass_change, STRUCTURES)}"
            )
        self.structure = mass_change
        self.logs = log_table(table)
        self._require_usable(table)
        super().__init__(
            table,
            {"mobility": mobility, "mass_change": mass_change},
            defaults.specifications(self.logs, self.mobility, mass_change),
        )

    @classmethod
    def from_options(cls, data: xr.Dataset, options: Mapping[str, str]) -> "MassTransfer":
        """Make the problem again from its table and options."""
        return cls(data, **options)

    def enumerate(self) -> Enumeration:
        """Give the exact posterior over all sets of immobile elements.

        Raises
        ------
        FitError
            If the model has no closed form, naming what stands in the way.
        """
        if obstacle := self._obstacle_to_enumeration():
            raise FitError(f'no exact enumeration: {obstacle}. Use method="smc" or "nuts"')
        return Enumeration(self._columns())

    def geochemical_immobility(self) -> pd.Series:
        """Give the geochemical table of prior immobility for this table's elements, to edit.

        Examples
        --------
        >>> problem.priors["immobile_probability"] = problem.geochemical_immobility()
        ... # doctest: +SKIP
        """
        return defaults.geochemical_immobility(self.logs.coords["element"])

    # -- the problem's own parts of the life cycle -----------------------------------------------

    def _declare(self) -> pm.Model:
        return mass_transfer_model(
            self.logs, self.priors, self.mobility, self.exponent, self.structure == "trend"
        )

    def _choose_method(self) -> tuple[str, str]:
        if self.mobility == "group_bridge":
            return "smc", "the group bridge has a maximum at every element's own frame"
        if not self._has_indicator:
            return "nuts", f"the {self.mobility} prior is continuous and averages frames"
        obstacle = self._obstacle_to_enumeration()
        if obstacle is None:
            count = len(self.logs.coords["element"])
            return "exact", f"all 2^{count} sets of immobile elements can be summed"
        modes = self._modes()
        weight = frames.mode_weights(modes)[0]
        if weight >= ONE_FRAME:
            return "nuts", f"{obstacle}; one frame holds {weight:.1%} (Laplace)"
        return "smc", f"{obstacle}; the leading frame holds only {weight:.0%} (Laplace)"

    def _exact(self, draws: int, chains: int, seed: int) -> Draws:
        enumeration = self.enumerate()
        generator = np.random.default_rng(seed)
        sets, mass_change, log_probability = enumeration.draw(draws * chains, generator)
        values = {"mass_change": mass_change}
        if not self.priors.is_known("protolith_offset"):
            mean, _ = self._offset_given_protolith()
            offset = enumeration.draw_shared_offset(sets, mass_change, generator)
            values["protolith_offset"] = mean + offset
        shape = (chains, draws)
        posterior = posterior_dataset(
            self.model, {name: value.reshape(*shape, -1) for name, value in values.items()}
        )
        return Draws(
            posterior,
            xr.Dataset(
                {"lp": (("chain", "draw"), log_probability.reshape(shape))},
                {"chain": posterior["chain"], "draw": posterior["draw"]},
            ),
            f"exact enumeration of {enumeration.probability.size} sets",
            {"log_evidence": enumeration.log_evidence, "sets": enumeration.probability.size},
        )

    def _starting_points(self) -> list[Point]:
        if not self._has_indicator and self.mobility != "group_bridge":
            return []
        return [{"mass_change": mode.mass_change} for mode in self._modes()]

    def with_observed(self, drawn: xr.Dataset) -> Self:
        """Give this problem with data drawn from its model; in the table where sets are summed."""
        if self._obstacle_to_enumeration():
            return super().with_observed(drawn)
        table = self.data.copy()
        for prefix, name in (("", "altered"), ("protolith_", "protolith")):
            if f"{name}_log_concentration" in drawn:
                own = table[f"{prefix}concentration"]
                values = np.exp(drawn[f"{name}_log_concentration"].to_numpy().T)
                table[f"{prefix}concentration"] = own.copy(
                    data=np.where(np.isfinite(own), values, np.nan)
                )
        other = type(self)(table, **self.options)
        other.priors = self.priors
        return other

    def competing_optima(self) -> str | None:
        """Say that frames compete, if they do: each has its own optimum."""
        if not self._has_indicator and self.mobility != "group_bridge":
            return None
        weight = frames.mode_weights(self._modes())[0]
        if weight >= ONE_FRAME:
            return None
        return f"frames compete: the leading one holds only {weight:.0%} (Laplace)"

    def _quantities(self) -> list[str]:
        dims = free_variable_dims(self.model)
        nuisance = {"element", "protolith", "shared_shape"}
        return [name for name in dims if not nuisance & set(dims[name])]

    def _derive(self, draws: Draws, seed: int) -> xr.Dataset:
        posterior = draws.posterior
        shape = (posterior.sizes["chain"], posterior.sizes["draw"])
        parameters = self._parameter_draws(posterior)
        thinned = parameters.mass_change[:: max(1, parameters.mass_change.shape[0] // 100)]
        modes = frames.find_modes(self._columns(posterior), thinned)
        return derive(self.data, self.logs, parameters, modes, shape, seed)

    def _predictive_statistics(self, replicated: xr.Dataset) -> dict[str, tuple[float, np.ndarray]]:
        return summary.predictive_statistics(self.logs, replicated)

    def _own_checks(self, fit: xr.DataTree) -> list[checks.Check]:
        return summary.frame_checks(fit["derived"].to_dataset(), self.logs)

    def headline(self, fit: xr.DataTree) -> list[str]:
        """Say the answer in sentences with numbers."""
        return summary.headline(fit["derived"].to_dataset())

    def _cards(self, fit: xr.DataTree) -> "list[Card]":
        from petro_models.mass_transfer.cards import cards

        return cards(self, fit)

    @property
    def _has_indicator(self) -> bool:
        return self.mobility in ("spike_and_slab", "coherent_spike_and_slab")

    # -- numbers behind the engines --------------------------------------------------------------

    def _require_usable(self, table: xr.Dataset) -> None:
        if self.structure == "trend" and "distance" not in table:
            raise DataError(
                "mass_change='trend' needs the variable 'distance' (sample): read the table with "
                "distance='<column>', or take mass_change='pooled'"
            )
        if self.mobility == "group_bridge" and self.logs.altered.any_below_detection:
            cells = np.argwhere(np.isfinite(self.logs.altered.floor))
            names = sorted({self.logs.coords["element"][j] for j, _ in cells})
            raise DataError(
                "the group bridge has no likelihood for values below detection "
                f"({', '.join(names)}): leave these elements out or take mobility='spike_and_slab'"
            )
        error = self.logs.protolith.error
        if error.shape[1] == 1 and (error > 0).any() and not (error > 0).all():
            bare = [
                name
                for name, value in zip(self.logs.coords["element"], error[:, 0], strict=True)
                if value == 0
            ]
            raise DataError(
                "the single protolith analysis states errors for some elements but not for "
                f"{', '.join(bare)}: state them all (errors={{element: relative error}})"
            )

    def _obstacle_to_enumeration(self) -> str | None:
        """Say what keeps the posterior from having a closed form; None if nothing does."""
        if not self._has_indicator:
            return f"the {self.mobility} prior has no indicators to sum over"
        if self.structure != "independent":
            return f"mass change is {self.structure}"
        if self.logs.altered.any_below_detection or self.logs.protolith.any_below_detection:
            return "values below detection"
        if self.logs.has_shared_error and not self._forgets_shared_error:
            return "analyses share errors"
        for name in (
            "tolerance",
            "mobility_scale",
            "immobile_probability",
            "mobility_shift_scale",
            "protolith_spread",
            "protolith_dilution",
        ):
            if not self.priors.is_known(name):
                return f"{name} is unknown"
        for name in ("mass_change", "protolith_offset"):
            value = self.priors[name]
            if isinstance(value, Prior) and not _is_plain_normal(value):
                return f"the prior of {name} is not a Normal with known mu and sigma"
        offset = self.priors["protolith_offset"]
        if isinstance(offset, Prior) and "element" not in (offset.dims or ()):
            return "one protolith_offset is shared by all elements"
        size, n_samples = self.logs.altered.value.shape
        if size > 30:
            return f"2^{size} sets of {size} elements are too many"
        cost = enumeration_cost(size, n_samples, self._columns().is_separable)
        if cost > MAXIMUM_ENUMERATION:
            return f"2^{size} sets of {size} elements in {n_samples} samples are too many"
        return None

    @property
    def _forgets_shared_error(self) -> bool:
        """Whether the scores of the shared errors are known to be 0."""
        known = self.priors.is_known("shared_error")
        return known and not np.any(self.priors.known("shared_error"))

    def _modes(self) -> list[frames.Mode]:
        return frames.find_modes(self._columns())

    def _columns(self, posterior: xr.Dataset | None = None) -> GaussianColumns:
        """Give the Gaussian columns at known, posterior-mean or prior-centre parameters."""
        shape = self.logs.altered.value.shape
        offset, shared = self._offset_given_protolith()
        tolerance = self._centre("tolerance", posterior, 0.03)
        spread = np.broadcast_to(self._centre("protolith_spread", posterior, 0.1), shape[:1])
        scale = np.broadcast_to(self._centre("mobility_scale", posterior, 0.7), shape[:1])
        if not self._has_indicator:
            scale = np.full(shape[0], 0.7)
        probability = self._centre("immobile_probability", posterior, 0.4)
        immobile = cell_variance(self.logs.altered.error, spread[:, None], tolerance)
        mean, covariance = self._mass_change_prior()
        return GaussianColumns(
            log_ratio=self.logs.log_ratio - offset[:, None],
            immobile_variance=np.broadcast_to(immobile, shape),
            mobile_variance=np.broadcast_to(immobile + scale[:, None] ** 2, shape),
            shared_variance=shared,
            immobile_probability=np.broadcast_to(probability, shape[:1]),
            prior_mean=mean,
            prior_covariance=covariance,
            shift_variance=np.broadcast_to(
                self._centre("mobility_shift_scale", posterior, 0.7) ** 2, shape[:1]
            )
            if self._has_indicator
            else 0.0,
        )

    def _centre(self, name: str, posterior: xr.Dataset | None, otherwise: float) -> np.ndarray:
        if name not in self.priors:
            return np.asarray(otherwise)
        if self.priors.is_known(name):
            return self.priors.known(name)
        if posterior is not None:
            return posterior[name].mean(("chain", "draw")).to_numpy()
        return np.asarray(otherwise)

    def _mass_change_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Give mean and covariance of mass change; a wide stand-in where it is hierarchical."""
        n = self.logs.n_samples
        prior = self.priors.get("mass_change")
        if isinstance(prior, Prior) and _is_plain_normal(prior):
            mu = np.broadcast_to(np.asarray(prior.parameters.get("mu", 0.0), float), n)
            sigma = np.broadcast_to(np.asarray(prior.parameters.get("sigma", 1.0), float), n)
            return mu, np.diag(sigma**2)
        return np.zeros(n), np.eye(n)

    def _offset_given_protolith(self) -> tuple[np.ndarray, np.ndarray]:
        """Give mean and variance of the protolith's offset given its own analyses, (element)."""
        n_elements = len(self.logs.reference)
        prior = self.priors["protolith_offset"]
        if not isinstance(prior, Prior):
            return np.broadcast_to(np.asarray(prior, float), n_elements), np.zeros(n_elements)
        mu = np.asarray(prior.parameters.get("mu", 0.0)) if _is_plain_normal(prior) else 0.0
        sigma = np.asarray(prior.parameters.get("sigma", 1.0)) if _is_plain_normal(prior) else 1.0
        precision = np.broadcast_to(1 / np.asarray(sigma, float) ** 2, n_elements).copy()
        score = precision * np.asarray(mu, float)
        if self.logs.protolith_is_uncertain(self.priors):
            spread = np.broadcast_to(self._centre("protolith_spread", None, 0.1), n_elements)
            cells = self.logs.protolith
            weight = cells.measured / cell_variance(cells.error, spread[:, None], 0.0)
            precision += weight.sum(axis=1)
            dilution = np.broadcast_to(
                self._centre("protolith_dilution", None, 0.0), self.logs.n_protolith
            )
            centred = cells.value - self.logs.reference[:, None] - dilution
            score += (weight * centred).sum(axis=1)
        return score / precision, 1 / precision

    def _parameter_draws(self, posterior: xr.Dataset) -> ParameterDraws:
        n_elements = len(self.logs.reference)
        stacked = posterior.stack(__draw__=("chain", "draw")).transpose("__draw__", ...)
        n_draws = stacked.sizes["__draw__"]

        def draws_of(name: str, per_element: bool) -> np.ndarray:
            if name in stacked:
                values = stacked[name].to_numpy()
                if per_element and values.ndim == 1:
                    values = values[:, None]
            else:
                values = self.priors.known(name)[None]
                if per_element and values.ndim == 1:
                    values = values[:, None]
            shape = (n_draws, n_elements) if per_element else (n_draws,)
            return np.broadcast_to(values, shape)

        scale = probability = None
        if self._has_indicator:
            scale = draws_of("mobility_scale", True)
            probability = draws_of("immobile_probability", True)
        elif self.mobility == "horseshoe":
            scale = regularised_scale(
                draws_of("global_scale", False)[:, None],
                draws_of("local_scale", True),
                draws_of("slab_scale", False)[:, None],
            )
        elif self.mobility == "student_t":
            scale = draws_of("mobility_scale", False)[:, None] / np.sqrt(
                draws_of("mobility_precision", True)
            )
        return ParameterDraws(
            mass_change=stacked["mass_change"].to_numpy(),
            offset=draws_of("protolith_offset", True),
            spread=draws_of("protolith_spread", True),
            tolerance=draws_of("tolerance", False),
            shift_scale=draws_of("mobility_shift_scale", True)
            if self._has_indicator
            else np.zeros((n_draws, n_elements)),
            mobile_scale=scale,
            immobile_probability=probability,
            shared_error=self._shared_scores(stacked),
        )

    def _shared_scores(self, stacked: xr.Dataset) -> np.ndarray:
        """Give draws of the scores of shared errors, (draw, shared_shape)."""
        shape = (stacked.sizes["__draw__"], len(self.logs.shared))
        if "shared_error" in stacked:
            return stacked["shared_error"].to_numpy()
        if not self.logs.has_shared_error:
            return np.zeros(shape)
        return np.broadcast_to(self.priors.known("shared_error"), shape)


def _parse_mobility(text: str) -> tuple[str, float]:
    match = re.fullmatch(r"group_bridge\(\s*([0-9.]+)\s*\)", text)
    name = "group_bridge" if match else text
    if name not in LIKELIHOODS:
        raise FitError(f"no prior on mobility is named '{text}': {nearest(name, LIKELIHOODS)}")
    exponent = float(match.group(1)) if match else 0.5
    if not 0 < exponent <= 2:
        raise FitError(f"group_bridge(q) needs 0 < q <= 2; got {exponent:g}")
    return name, exponent


def _is_plain_normal(prior: Prior) -> bool:
    """Tell whether a prior is a Normal whose mean and sd are known numbers."""
    return (
        prior.distribution == "Normal"
        and prior.transform is None
        and not any(isinstance(value, Prior) for value in prior.parameters.values())
        and "tau" not in prior.parameters
    )
