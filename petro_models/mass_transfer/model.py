"""The declared model of mass transfer: priors, forward model, likelihood."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from petro_models.mass_transfer import forward, mobility
from petro_models.mass_transfer.logs import LogTable
from petro_models.priors import Priors


def mass_transfer_model(
    logs: LogTable, priors: Priors, mobility_prior: str, exponent: float, trend: bool
) -> pm.Model:
    """Declare the joint model of a protolith and its altered rocks.

    Parameters
    ----------
    logs
        Log concentrations with their errors, floors and flags.
    priors
        The priors in force.
    mobility_prior
        Which prior on mobility: a key of `LIKELIHOODS`.
    exponent
        q of the group bridge (unused by the others).
    trend
        Whether mass change is a smooth function of distance plus scatter.

    Returns
    -------
    pm.Model
        Free variables as named in `priors`; observed ``protolith_log_concentration`` (where the
        protolith has errors or several analyses) and ``altered_log_concentration``.
    """
    with pm.Model(coords=logs.coords) as model:
        mass_change = _trend(logs, priors) if trend else priors.create("mass_change")
        offset = priors.create("protolith_offset")
        spread = pt.broadcast_to(priors.create("protolith_spread"), logs.reference.shape)
        tolerance = priors.create("tolerance")

        protolith = logs.reference + offset
        expected = forward.altered_log_concentration(protolith[:, None], mass_change)
        fresh = protolith[:, None]
        if logs.has_shared_error:
            score = pt.as_tensor(priors.create("shared_error")) * np.ones(len(logs.shared))
            expected += pt.tensordot(score, logs.shared, axes=1)
            fresh += pt.tensordot(score, logs.protolith_shared, axes=1)
        variance = forward.cell_variance(logs.altered.error, spread[:, None], tolerance)

        if logs.protolith_is_uncertain(priors):
            dilution = pt.broadcast_to(priors.create("protolith_dilution"), logs.n_protolith)
            mobility.scale_mixture(
                "protolith_log_concentration",
                forward.altered_log_concentration(fresh, -dilution),
                pt.sqrt(forward.cell_variance(logs.protolith.error, spread[:, None], 0.0)),
                logs.protolith.floor,
                logs.protolith.measured,
                observed=logs.protolith.value,
                dims=("element", "protolith"),
            )
        columns = Columns(logs, expected, variance)
        LIKELIHOODS[mobility_prior](columns, priors, exponent)
    return model


@dataclass(frozen=True)
class Columns:
    """The altered rocks' columns of analyses, and what is expected of an immobile element.

    Attributes
    ----------
    logs
        The data.
    expected, variance
        Mean and variance of ln C of an immobile element, (element, sample).
    """

    logs: LogTable
    expected: TensorVariable
    variance: TensorVariable

    @property
    def data(self) -> dict[str, Any]:
        """What every likelihood observes, and under which name."""
        return {
            "name": "altered_log_concentration",
            "measured": self.logs.altered.measured,
            "observed": self.logs.altered.value,
            "dims": ("element", "sample"),
        }


def _trend(logs: LogTable, priors: Priors) -> TensorVariable:
    """Declare mass change as a Matern-5/2 process along distance plus independent scatter."""
    length, scale = priors.create("trend_length"), priors.create("trend_scale")
    scatter, mean = priors.create("mass_change_scatter"), priors.create("mass_change_mean")
    correlation = forward.matern52_correlation(logs.separation, length, pt.exp)
    covariance = scale**2 * correlation * logs.same_profile + scatter**2 * np.eye(logs.n_samples)
    return pm.MvNormal(
        "mass_change", mu=mean * pt.ones(logs.n_samples), cov=covariance, dims="sample"
    )


def _spike_and_slab(columns: Columns, priors: Priors, exponent: float) -> None:
    shape = columns.logs.reference.shape
    mobile_scale = pt.broadcast_to(priors.create("mobility_scale"), shape)
    mobility.spike_and_slab(
        expected=columns.expected,
        spike_sd=pt.sqrt(columns.variance),
        slab_sd=pt.sqrt(columns.variance + mobile_scale[:, None] ** 2),
        shift_sd=pt.broadcast_to(priors.create("mobility_shift_scale"), shape),
        immobile_probability=pt.broadcast_to(priors.create("immobile_probability"), shape),
        floor=columns.logs.altered.floor,
        **columns.data,
    )


def _horseshoe(columns: Columns, priors: Priors, exponent: float) -> None:
    scale = forward.regularised_scale(
        priors.create("global_scale"), priors.create("local_scale"), priors.create("slab_scale")
    )
    _scale_mixture(columns, scale)


def _student_t(columns: Columns, priors: Priors, exponent: float) -> None:
    precision = priors.create("mobility_precision")
    _scale_mixture(columns, priors.create("mobility_scale") / pt.sqrt(precision))


def _scale_mixture(columns: Columns, scale: TensorVariable) -> None:
    scale = pt.broadcast_to(scale, columns.logs.reference.shape)
    mobility.scale_mixture(
        expected=columns.expected,
        sd=pt.sqrt(columns.variance + scale[:, None] ** 2),
        floor=columns.logs.altered.floor,
        **columns.data,
    )


def _group_bridge(columns: Columns, priors: Priors, exponent: float) -> None:
    mobility.bridge(
        expected=columns.expected,
        smoothing=pt.sqrt(columns.variance.mean(axis=-1)),
        scale=pt.as_tensor(priors.create("mobility_scale")),
        exponent=exponent,
        **columns.data,
    )


LIKELIHOODS: dict[str, Callable[[Columns, Priors, float], None]] = {
    "spike_and_slab": _spike_and_slab,
    "coherent_spike_and_slab": _spike_and_slab,
    "horseshoe": _horseshoe,
    "student_t": _student_t,
    "group_bridge": _group_bridge,
}
