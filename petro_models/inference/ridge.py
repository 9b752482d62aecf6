"""Coordinates along a curved ridge of a log density.

Whitening makes a posterior round whose variables depend on each other linearly. Where all others
bend with one variable, their highest points for known values of that variable are joined by a
spline, and what is sampled is the distance from it: a shear, whose Jacobian is constant.
"""

from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline

from petro_models.inference.summit import Summit, ValueAndGradient, climb

FIRST_STEP = 0.7
"""In standard deviations at the summit; later steps grow by `GROWTH`."""
GROWTH = 1.15
MOST_STEPS = 12
LOWEST = 10.0
"""The ridge is followed until the log density has fallen by so much."""


@dataclass(frozen=True)
class Ridge:
    """The ridge, and the widths along it and across.

    Attributes
    ----------
    index
        Of the variable that the ridge is followed along.
    centre, width
        Mean and standard deviation of that variable under the density of the ridge.
    knots, coefficients
        Its values at the knots, (knot); of the cubics of the others, (4, knot - 1, size - 1).
    slopes
        Of the others beyond the first and the last knot, (2, size - 1).
    scale
        Root of the covariance of the others where that variable is known, (size - 1, size - 1).
    """

    index: int
    centre: float
    width: float
    knots: np.ndarray
    coefficients: np.ndarray
    slopes: np.ndarray
    scale: np.ndarray

    @classmethod
    def follow(cls, descent: ValueAndGradient, summit: Summit, candidates: np.ndarray) -> Self:
        """Follow the ridge from the summit, along the candidate that is known least.

        Parameters
        ----------
        descent
            Minus the log density and its gradient at a flat point (size,).
        summit
            Its highest point.
        candidates
            Indices of variables.
        """
        covariance = summit.scale @ summit.scale.T
        index = int(candidates[np.diag(covariance)[candidates].argmax()])
        width = float(np.sqrt(covariance[index, index]))
        free = np.arange(summit.optimum.size) != index
        precision = np.linalg.inv(covariance)
        conditional = np.linalg.inv(precision[np.ix_(free, free)])
        scale = np.linalg.cholesky(conditional)
        slope = -conditional @ precision[free, index]

        def walk(step: float) -> list[tuple[np.ndarray, float]]:
            found, point, along = [], summit.optimum, slope
            for _ in range(MOST_STEPS):
                guess = point.copy()
                guess[index] += step
                guess[free] += step * along
                reached, height = _highest(descent, guess, free, scale)
                found.append((reached, height))
                along = (reached - point)[free] / step
                point, step = reached, step * GROWTH
                if height < summit.log_density - LOWEST:
                    break
            return found

        top = [(summit.optimum, summit.log_density)]
        path = walk(-FIRST_STEP * width)[::-1] + top + walk(FIRST_STEP * width)
        points, heights = (np.array(part) for part in zip(*path, strict=True))
        knots = points[:, index]
        spline = CubicSpline(knots, points[:, free])
        weight = np.exp(heights - heights.max()) * np.gradient(knots)
        centre = float(np.average(knots, weights=weight))
        spread = float(np.sqrt(np.average((knots - centre) ** 2, weights=weight)))
        slopes = spline(knots[[0, -1]], 1)
        return cls(index, centre, spread, knots, np.asarray(spline.c), slopes, scale)

    def place(self, z: jax.Array) -> jax.Array:
        """Give the variables (size,) at standardised coordinates: along the ridge, then across."""
        knots, coefficients = jnp.asarray(self.knots), jnp.asarray(self.coefficients)
        along = self.centre + self.width * z[0]
        within = jnp.clip(along, knots[0], knots[-1])
        piece = jnp.clip(jnp.searchsorted(knots, within) - 1, 0, knots.size - 2)
        step = within - knots[piece]
        cubic = coefficients[:, piece]
        others = ((cubic[0] * step + cubic[1]) * step + cubic[2]) * step + cubic[3]
        beyond = jnp.where(along < knots[0], self.slopes[0], self.slopes[1])
        others = others + (along - within) * beyond + jnp.asarray(self.scale) @ z[1:]
        return jnp.concatenate([others[: self.index], along[None], others[self.index :]])


def _highest(
    descent: ValueAndGradient, guess: np.ndarray, free: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, float]:
    """Climb in the free variables alone; give the point and its log density."""

    def others(position: np.ndarray) -> tuple[float, np.ndarray]:
        point = guess.copy()
        point[free] = position
        value, gradient = descent(point)
        return value, gradient[free]

    step, _, lowest = climb(others, guess[free], scale)
    reached = guess.copy()
    reached[free] += scale @ step
    return reached, -lowest
