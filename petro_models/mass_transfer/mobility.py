"""The likelihood of one element's column of analyses under each named prior on mobility.

Every distribution here is over the vector of log concentrations of one element in all altered
samples, with mobility integrated out: given the mass changes, the elements are independent.
A value at its `floor` (ln of the detection limit) counts as "somewhere below"; cells whose
`measured` flag is 0 carry no information.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from petro_models.mass_transfer import group_bridge

LOG_TWO_PI = float(np.log(2 * np.pi))
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
NODES, LOG_WEIGHTS = _NODES, np.log(_WEIGHTS / _WEIGHTS.sum())
"""Gauss-Hermite rule for an average over a standard normal."""


@dataclass(frozen=True)
class HiddenCells:
    """Where cells have a detection limit: few, so they are gathered rather than masked."""

    element: np.ndarray
    sample: np.ndarray

    @classmethod
    def of(cls, floor: np.ndarray) -> "HiddenCells":
        """Find the cells with a finite floor."""
        element, sample = np.nonzero(np.isfinite(floor))
        return cls(element, sample)

    def split(
        self, value: TensorVariable, floor: TensorVariable, measured: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        """Give 1 for each measured cell above its limit, and which of the gathered lie below."""
        below = pt.le(value[self.element, self.sample], floor[self.element, self.sample])
        counted = measured[self.element, self.sample]
        above = measured[self.element, self.sample].set(pt.switch(below, 0.0, counted))
        return above, pt.switch(below, counted, 0.0)


def _column_log_density(
    value: TensorVariable,
    expected: TensorVariable,
    sd: TensorVariable,
    floor: TensorVariable,
    measured: TensorVariable,
    hidden: HiddenCells,
) -> TensorVariable:
    """Give the normal log density of each column; below its limit, a cell's log probability."""
    z = (value - expected) / sd
    above, below = hidden.split(value, floor, measured)
    density = (above * (-0.5 * (z**2 + LOG_TWO_PI) - pt.log(sd))).sum(axis=-1)
    if not hidden.element.size:
        return density
    inside = z[hidden.element, hidden.sample]
    return density[hidden.element].inc(below * _log_probability_below(below * inside))


def _log_probability_below(z: TensorVariable) -> TensorVariable:
    """Give ln Phi(z) with finite gradients for any z: each branch sees only what it can take."""
    low, high = pt.minimum(z, -1.0), pt.maximum(z, -1.0)
    tail = pt.log(pt.erfcx(-low / np.sqrt(2.0)) / 2.0) - low**2 / 2.0
    return pt.switch(pt.lt(z, -1.0), tail, pt.log1p(-pt.erfc(high / np.sqrt(2.0)) / 2.0))


def _spike_and_slab_logp(
    value: TensorVariable,
    expected: TensorVariable,
    spike_sd: TensorVariable,
    slab_sd: TensorVariable,
    shift_sd: TensorVariable,
    immobile_probability: TensorVariable,
    floor: TensorVariable,
    measured: TensorVariable,
    hidden: HiddenCells,
) -> TensorVariable:
    spike = _column_log_density(value, expected, spike_sd, floor, measured, hidden)
    slab = _shifted_column_log_density(value, expected, slab_sd, shift_sd, floor, measured, hidden)
    return pt.logaddexp(
        pt.log(immobile_probability) + spike, pt.log1p(-immobile_probability) + slab
    )


def _shifted_column_log_density(
    value: TensorVariable,
    expected: TensorVariable,
    sd: TensorVariable,
    shift_sd: TensorVariable,
    floor: TensorVariable,
    measured: TensorVariable,
    hidden: HiddenCells,
) -> TensorVariable:
    """Integrate out a shift a ~ N(0, shift_sd^2) that all cells of a column share.

    In closed form over the cells above detection (a rank-one update); the cells below it are then
    averaged over what those say of a, by Gauss-Hermite quadrature.
    """
    z = (value - expected) / sd
    above, below = hidden.split(value, floor, measured)
    density = (above * (-0.5 * (z**2 + LOG_TWO_PI) - pt.log(sd))).sum(axis=-1)
    inflation = 1.0 + shift_sd**2 * (above / sd**2).sum(axis=-1)
    variance = shift_sd**2 / inflation
    score = (above * z / sd).sum(axis=-1)
    known = density - 0.5 * pt.log(inflation) + 0.5 * variance * score**2
    if not hidden.element.size:
        return known
    # One row a column that has limits, one column a node of the rule.
    columns, row = np.unique(hidden.element, return_inverse=True)
    spread = (shift_sd / pt.sqrt(inflation))[columns]
    shift = (variance * score)[columns][:, None] + spread[:, None] * NODES
    inside = z[hidden.element, hidden.sample]
    scale = sd[hidden.element, hidden.sample]
    moved = below[:, None] * (inside[:, None] - shift[row] / scale[:, None])
    log_chance = below[:, None] * _log_probability_below(moved)
    by_column = pt.zeros((columns.size, NODES.size))[row].inc(log_chance)
    return known[columns].inc(pt.logsumexp(LOG_WEIGHTS + by_column, axis=-1))


def _spike_and_slab_draw(
    expected: TensorVariable,
    spike_sd: TensorVariable,
    slab_sd: TensorVariable,
    shift_sd: TensorVariable,
    immobile_probability: TensorVariable,
    floor: TensorVariable,
    measured: TensorVariable,
    size: TensorVariable,
) -> TensorVariable:
    immobile = pt.eq(pm.Bernoulli.dist(immobile_probability, size=size), 1)
    shift = pm.Normal.dist(pt.zeros_like(expected[..., 0]), shift_sd)
    mean = expected + pt.switch(immobile, 0.0, shift)[..., None]
    sd = pt.switch(immobile[..., None], spike_sd, slab_sd)
    return pt.maximum(pm.Normal.dist(mean, sd), floor)


def spike_and_slab(
    name: str,
    expected: TensorVariable,
    spike_sd: TensorVariable,
    slab_sd: TensorVariable,
    shift_sd: TensorVariable,
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
    shift_sd
        Standard deviation of the mean mobility (over the samples) of a mobile element, (element);
        integrated out.
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
        shift_sd,
        immobile_probability,
        floor,
        measured,
        dist=_spike_and_slab_draw,
        logp=partial(_spike_and_slab_logp, hidden=HiddenCells.of(floor)),
        signature="(n),(n),(n),(),(),(n),(n)->(n)",
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
        logp=partial(_column_log_density, hidden=HiddenCells.of(floor)),
        signature="(n),(n),(n),(n)->(n)",
        class_name="ScaleMixture",
        **kwargs,
    )


def bridge(
    name: str,
    expected: TensorVariable,
    smoothing: TensorVariable,
    scale: TensorVariable,
    measured: np.ndarray,
    exponent: float,
    **kwargs: object,
) -> TensorVariable:
    """Declare columns under the group bridge: the sparse isocon penalty read as a prior.

    ``p(x_j) ~ exp(-kappa (mean_i x_ij^2 + smoothing_j^2)^(q / 2))``, means over measured cells.
    Our reconstruction of the penalty of Kuwatani et al. (2020), Chem. Geol. 532, 119345; not
    compared with that paper's text.

    Parameters
    ----------
    smoothing
        Root mean square of the errors and the tolerance of each column, (element): rounds the cusp
        of the penalty at zero, below which no mobility can be told from noise.
    scale
        Typical root mean square of the mobilities of an element, scalar.
    exponent
        q, 0 < q <= 1 for a sparse frame.
    """
    logp: Callable[..., TensorVariable] = partial(group_bridge.log_density, exponent=exponent)
    return pm.CustomDist(
        name,
        expected,
        smoothing,
        scale,
        measured,
        logp=logp,
        random=partial(group_bridge.draw, exponent=exponent),
        signature="(n),(),(),(n)->(n)",
        class_name="GroupBridge",
        **kwargs,
    )
