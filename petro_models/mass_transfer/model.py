"""The declared model of mass transfer: priors, forward model, likelihood."""

from collections.abc import Callable

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
        variance = forward.cell_variance(logs.altered.error, spread[:, None], tolerance)

        if logs.protolith_is_uncertain(priors):
            dilution = pt.broadcast_to(priors.create("protolith_dilution"), logs.n_protolith)
            mobility.scale_mixture(
                "protolith_log_concentration",
                forward.altered_log_concentration(protolith[:, None], -dilution),
                pt.sqrt(forward.cell_variance(logs.protolith.error, spread[:, None], 0.0)),
                logs.protolith.floor,
                logs.protolith.measured,
                observed=logs.protolith.value,
                dims=("element", "protolith"),
            )
        LIKELIHOODS[mobility_prior](logs, priors, expected, variance, exponent)
    return model


def _trend(logs: LogTable, priors: Priors) -> TensorVariable:
    """Declare mass change as a Matern-5/2 process along distance plus independent scatter."""
    length, scale = priors.create("trend_length"), priors.create("trend_scale")
    scatter, mean = priors.create("mass_change_scatter"), priors.create("mass_change_mean")
    correlation = forward.matern52_correlation(logs.separation, length, pt.exp)
    covariance = scale**2 * correlation * logs.same_profile + scatter**2 * np.eye(logs.n_samples)
    return pm.MvNormal(
        "mass_change", mu=mean * pt.ones(logs.n_samples), cov=covariance, dims="sample"
    )


def _spike_and_slab(
    logs: LogTable,
    priors: Priors,
    expected: TensorVariable,
    variance: TensorVariable,
    exponent: float,
) -> None:
    probability = pt.broadcast_to(priors.create("immobile_probability"), logs.reference.shape)
    mobile_scale = pt.broadcast_to(priors.create("mobility_scale"), logs.reference.shape)
    mobility.spike_and_slab(
        "altered_log_concentration",
        expected,
        pt.sqrt(variance),
        pt.sqrt(variance + mobile_scale[:, None] ** 2),
        pt.broadcast_to(priors.create("mobility_shift_scale"), logs.reference.shape),
        probability,
        logs.altered.floor,
        logs.altered.measured,
        observed=logs.altered.value,
        dims=("element", "sample"),
    )


def _horseshoe(
    logs: LogTable,
    priors: Priors,
    expected: TensorVariable,
    variance: TensorVariable,
    exponent: float,
) -> None:
    scale = forward.regularised_scale(
        priors.create("global_scale"), priors.create("local_scale"), priors.create("slab_scale")
    )
    _scale_mixture(logs, expected, variance + scale[:, None] ** 2)


def _student_t(
    logs: LogTable,
    priors: Priors,
    expected: TensorVariable,
    variance: TensorVariable,
    exponent: float,
) -> None:
    scale = priors.create("mobility_scale") / pt.sqrt(priors.create("mobility_precision"))
    _scale_mixture(logs, expected, variance + scale[:, None] ** 2)


def _scale_mixture(logs: LogTable, expected: TensorVariable, variance: TensorVariable) -> None:
    mobility.scale_mixture(
        "altered_log_concentration",
        expected,
        pt.sqrt(variance),
        logs.altered.floor,
        logs.altered.measured,
        observed=logs.altered.value,
        dims=("element", "sample"),
    )


def _group_bridge(
    logs: LogTable,
    priors: Priors,
    expected: TensorVariable,
    variance: TensorVariable,
    exponent: float,
) -> None:
    mobility.bridge(
        "altered_log_concentration",
        expected,
        pt.sqrt(variance.mean(axis=-1)),
        pt.as_tensor(priors.create("mobility_scale")),
        logs.altered.measured,
        exponent,
        observed=logs.altered.value,
        dims=("element", "sample"),
    )


LIKELIHOODS: dict[str, Callable[..., None]] = {
    "spike_and_slab": _spike_and_slab,
    "coherent_spike_and_slab": _spike_and_slab,
    "horseshoe": _horseshoe,
    "student_t": _student_t,
    "group_bridge": _group_bridge,
}
