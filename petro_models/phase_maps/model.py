"""The declared model of a phase map: priors, forward model, likelihood."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from petro_models.phase_maps.likelihood import counts_mixture, spot_mixture
from petro_models.phase_maps.observations import Observations
from petro_models.phase_maps.pixel_density import MapParameters, SpotParameters
from petro_models.priors import Priors

FORMULA_TOLERANCE = 0.01
"""Relative deviation of a phase from its formula; 0.1 wt% on top."""
TRANSFER_FLOOR = 0.01
"""Least error of what an axis moves (wt%): analyses resolve no less, and a trace that the axis of
the counts does not carry could else move by as much as it varies, with either sign."""


def phase_maps_model(observations: Observations, priors: Priors) -> pm.Model:
    """Declare the joint model of a map's pixels and the spots on it.

    Parameters
    ----------
    observations
        Chosen pixels, spots with their surroundings, and what the priors are relative to.
    priors
        The priors in force.

    Returns
    -------
    pm.Model
        Free variables as named in `priors`, and `phase_composition` and `axis_composition`;
        observed ``counts`` and, with spots, ``spot_composition``.
    """
    anchors, formula = observations.anchors, observations.known_composition
    with pm.Model(coords=observations.coords) as model:
        intensity = anchors.intensity * pt.exp(priors.create("phase_intensity"))
        dispersion = anchors.dispersion * priors.create("dispersion")
        axis_counts = pt.as_tensor(anchors.axis_loading)
        if observations.has_axes:
            axis_counts = axis_counts * pt.as_tensor(priors.create("axis_scale"))[..., None]
        seen = MapParameters(intensity, dispersion, axis_counts, priors.create("class_weight"))
        counts_mixture("counts", seen, observations, dims=("pixel", "element"))

        which = observations.element_of_oxide
        sensitivity = observations.sensitivity * pt.exp(priors.create("sensitivity"))
        background = observations.background * priors.create("background")
        calibrated = (intensity[:, which] - background) / sensitivity
        matrix = priors.create("matrix_scatter") * calibrated
        base = priors.create("background_scatter") * background / sensitivity
        composition = pm.Normal(
            "phase_composition",
            mu=calibrated,
            sigma=pt.sqrt(matrix**2 + base**2),
            dims=("phase", "oxide"),
        )
        _formulae(composition, formula)
        if observations.has_spots:
            spots = SpotParameters(
                composition=composition,
                scatter=observations.scatter * priors.create("spot_scatter"),
                scatter_seen=priors.create("scatter_seen"),
                axis_composition=_axis_composition(
                    axis_counts[:, which] / sensitivity, observations, priors
                ),
                shift=priors.create("registration_shift"),
                jitter=priors.create("registration_jitter"),
                drift=priors.create("registration_drift"),
                memory=priors.create("registration_memory"),
                targeting=priors.create("spot_targeting"),
                outlier=priors.create("spot_outlier"),
                label_error=priors.create("label_error"),
                sensitivity=sensitivity,
                background=background,
            )
            spot_mixture("spot_composition", seen, spots, observations, dims=("spot", "oxide"))
    return model


def _formulae(composition: pt.TensorVariable, formula: np.ndarray) -> None:
    """Let phases of known formula be observed as such."""
    row, column = np.nonzero(np.isfinite(formula))
    if row.size:
        value = formula[row, column]
        pm.Normal(
            "formula_composition",
            mu=composition[row, column],
            sigma=FORMULA_TOLERANCE * value + 0.1,
            observed=value,
        )


def _axis_composition(
    calibrated: pt.TensorVariable, observations: Observations, priors: Priors
) -> pt.TensorVariable:
    """Declare how wt% moves along each axis: as the counts do, up to a transfer error."""
    if not observations.has_axes:
        return pt.zeros((0, len(observations.element_of_oxide)))
    error = priors.create("transfer_scatter")
    return pm.Normal(
        "axis_composition",
        mu=calibrated,
        sigma=pt.sqrt((error * calibrated) ** 2 + TRANSFER_FLOOR**2),
        dims=("axis_name", "oxide"),
    )
