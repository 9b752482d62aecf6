"""The likelihood of one element's column of analyses under each named prior on mobility.

Every distribution here is over the vector of log concentrations of one element in all altered
samples, with mobility integrated out: given the mass changes, the elements are independent.
A value at its `floor` (ln of the detection limit) counts as "somewhere below"; cells whose
`measured` flag is 0 carry no information.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.dist_math import normal_lcdf
from pytensor.tensor import TensorVariable

from petro_models.mass_transfer import group_bridge

LOG_TWO_PI = float(np.log(2 * np.pi))


def _cell_log_density(
    value: TensorVariable, expected: TensorVariable, sd: TensorVariable, floor: TensorVariable
) -> TensorVariable:
    """Give the normal log density of each cell, or its log probability of lying below the floor."""
    density = -0.5 * (((value - expected) / sd) ** 2 + LOG_TWO_PI) - pt.log(sd)
    return pt.switch(pt.le(value, floor), normal_lcdf(expected, sd, value), density)


def _column_log_density(
    value: TensorVariable,
    expected: TensorVariable,
    sd: TensorVariable,
    floor: TensorVariable,
    measured: TensorVariable,
) -> TensorVariable:
    return (measured * _cell_log_density(value, expected, sd, floor)).sum(axis=-1)


def _spike_and_slab_logp(
    value: TensorVariable,
    expected: TensorVariable,
    spike_sd: TensorVariable,
    slab_sd: TensorVariable,
    immobile_probability: TensorVariable,
    floor: TensorVariable,
    measured: TensorVariable,
) -> TensorVariable:
    spike = _column_log_density(value, expected, spike_sd, floor, measured)
    slab = _column_log_density(value, expected, slab_sd, floor, measured)
    return pt.logaddexp(
        pt.log(immobile_probability) + spike, pt.log1p(-immobile_probability) + slab
    )


def _spike_and_slab_draw(
    expected: TensorVariable,
    spike_sd: TensorVariable,
    slab_sd: TensorVariable,
    immobile_probability: TensorVariable,
    floor: TensorVariable,
    measured: TensorVariable,
    size: TensorVariable,
) -> TensorVariable:
    immobile = pm.Bernoulli.dist(immobile_probability, size=size)
    sd = pt.switch(pt.eq(immobile[..., None], 1), spike_sd, slab_sd)
    return pt.maximum(pm.Normal.dist(expected, sd), floor)


def spike_and_slab(
    name: str,
    expected: TensorVariable,
    spike_sd: TensorVariable,
    slab_sd: TensorVariable,
    immobile_probability: TensorVariable,
    floor: np.ndarray,
    measured: np.ndarray,
    **kwargs: object,
) -> TensorVariable:
    """Declare columns that are immobile in all samples (spike) or free in each (slab).

    The indicator of each element is summed out: never sampled.

    Parameters
    ----------
    name
        Name of the observed variable.
    expected
        ln C expected of an immobile element, dims (element, sample).
    spike_sd, slab_sd
        Standard deviations of ln C of an immobile and of a mobile element, (element, sample).
    immobile_probability
        Prior probability of being immobile in all samples, (element).
    floor
        ln of the detection limit, -inf where a cell has none, (element, sample).
    measured
        1 where a cell was measured (or is below detection), 0 where missing, (element, sample).
    """
    return pm.CustomDist(
        name,
        expected,
        spike_sd,
        slab_sd,
        immobile_probability,
        floor,
        measured,
        dist=_spike_and_slab_draw,
        logp=_spike_and_slab_logp,
        signature="(n),(n),(n),(),(n),(n)->(n)",
        class_name="SpikeAndSlab",
        **kwargs,
    )


def _scale_mixture_draw(
    expected: TensorVariable,
    sd: TensorVariable,
    floor: TensorVariable,
    measured: TensorVariable,
    size: TensorVariable,
) -> TensorVariable:
    return pt.maximum(pm.Normal.dist(expected, sd), floor)


def scale_mixture(
    name: str,
    expected: TensorVariable,
    sd: TensorVariable,
    floor: np.ndarray,
    measured: np.ndarray,
    **kwargs: object,
) -> TensorVariable:
    """Declare columns whose mobility is normal given the element's own scale (already in `sd`).

    The common likelihood of the horseshoe and the Student-t priors; arguments as in
    `spike_and_slab`.
    """
    return pm.CustomDist(
        name,
        expected,
        sd,
        floor,
        measured,
        dist=_scale_mixture_draw,
        logp=_column_log_density,
        signature="(n),(n),(n),(n)->(n)",
        class_name="ScaleMixture",
        **kwargs,
    )


def bridge(
    name: str,
    expected: TensorVariable,
    smoothing: TensorVariable,
    sparsity_rate: TensorVariable,
    measured: np.ndarray,
    exponent: float,
    **kwargs: object,
) -> TensorVariable:
    """Declare columns under the group bridge: the sparse isocon penalty read as a prior.

    ``p(x_j) ~ exp(-rate (mean_i x_ij^2 + smoothing_j^2)^(q / 2))``, means over the measured cells.
    Our reconstruction of the penalty of Kuwatani et al. (2020), Chem. Geol. 532, 119345; not
    compared with that paper's text.

    Parameters
    ----------
    smoothing
        Root mean square of the errors and the tolerance of each column, (element): rounds the cusp
        of the penalty at zero, below which no mobility can be told from noise.
    sparsity_rate
        The penalty's weight, scalar.
    exponent
        q, 0 < q <= 1 for a sparse frame.
    """
    logp: Callable[..., TensorVariable] = partial(group_bridge.log_density, exponent=exponent)
    return pm.CustomDist(
        name,
        expected,
        smoothing,
        sparsity_rate,
        measured,
        logp=logp,
        random=partial(group_bridge.draw, exponent=exponent),
        signature="(n),(),(),(n)->(n)",
        class_name="GroupBridge",
        **kwargs,
    )
