"""Coordinates in which a uniform prior is standard normal."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.transforms import Transform
from pytensor.tensor import TensorVariable


class Probit(Transform):
    """Map a uniform variable onto the real line by the standard normal's quantiles.

    PyMC's own choice is the logit. Where data leave a variable open down to a bound, its logit has
    an exponential tail, whose far end samplers reach seldom; its probit has a normal one.
    """

    name = "probit"

    def forward(self, value: Any, *inputs: Any) -> TensorVariable:
        """Give the coordinate of a value between the bounds."""
        lower, upper = inputs[-2:]
        return np.sqrt(2) * pt.erfinv(2 * (value - lower) / (upper - lower) - 1)

    def backward(self, value: Any, *inputs: Any) -> TensorVariable:
        """Give the value at a coordinate."""
        lower, upper = inputs[-2:]
        return lower + (upper - lower) * 0.5 * pt.erfc(-value / np.sqrt(2))

    def log_jac_det(self, value: Any, *inputs: Any) -> TensorVariable:
        """Give the log of what a unit of the coordinate is worth."""
        lower, upper = inputs[-2:]
        return pt.log(upper - lower) - 0.5 * value**2 - 0.5 * np.log(2 * np.pi)
