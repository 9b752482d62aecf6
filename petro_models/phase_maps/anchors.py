"""Anchors: what each phase looks like on the map, before the model is fitted.

Spots, seeds or compositions say roughly what each phase emits; expectation-maximisation over the
same cells as the model's then finds intensities, scatter and axes of solid solution. The model's
priors are stated relative to these anchors, so that a rare class cannot drift to another meaning.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from petro_models.phase_maps.cells import Cells, with_heavy_tails
from petro_models.phase_maps.density import (
    Frame,
    counting_cells,
    evened_frame,
    log_density,
)
from petro_models.phase_maps.forward import Array, counting_variance, evened_counts, log_evening

PIXELS = 16_000
ITERATIONS = 40
LARGEST_SCATTER, LARGEST_RELATIVE = 2.5, 0.05
"""Standard deviation inside a phase, wt%, at most, or relative if that is more: with yet more a
phase takes in its mixtures."""
LARGEST_MOVE, LARGEST_RELATIVE_MOVE = 3.0, 0.15
"""A phase's mean moves at most so far from what it was introduced as, wt%, or relative if that is
more: spots of small grains see their neighbours too. Short of its mean, the rest is an axis."""
FEWEST_PIXELS = 30
"""A phase's mean and scatter are taken from so many pixels or more."""
OTHERWISE, NEAREST_PIXELS = 0.25, 100
"""Share of the elements in which a first guess may be wrong altogether, and from how many pixels
most like it in the others a better one is taken."""
SMALLEST_DISPERSION = 0.004
AXIS_GAIN = 0.5
"""An axis is kept if its variance is at least this share of the counting noise."""
ONE_ELEMENT = 0.95
"""No axis where one element has so much of it: solid solution exchanges elements. Specks, small
grains and charging do not; they are dispersion."""
WIDENED = 0.4
"""Scatter in every element, wt%, added where heavy tails are sought: they may leave the axes."""
FEWEST_GAINED = 1e-3
"""A phase has heavy tails if they gain it so many pixels, over those that it has, of those that
nothing explained, ..."""
MOST_TAKEN = 0.9
"""... and take at most so many, over those gained, from mixtures: else the tails are mixtures. In
simulated zoned garnets it is 0.3 to 0.6, in the solid solutions of the Alpine map 1.1 or more."""


@dataclass(frozen=True)
class Anchors:
    """First values of everything the map alone says; k phases, e elements, a axes.

    Attributes
    ----------
    intensity
        Mean counts of the pure phases (k, e).
    dispersion
        Relative excess scatter that no axis explains (k, e).
    axis_phase
        Index of the phase of each axis (a,).
    axis_loading
        Change of counts for one standard deviation along each axis (a, e).
    heavy_tailed
        Whether some pixels of a phase scatter wider than the others (k,).
    class_weight
        Share of each class of `Cells.classes`.
    unknown_mean, unknown_sd
        The broad density of pixels that no phase explains (e,).
    """

    intensity: np.ndarray
    dispersion: np.ndarray
    axis_phase: np.ndarray
    axis_loading: np.ndarray
    heavy_tailed: np.ndarray
    class_weight: np.ndarray
    unknown_mean: np.ndarray
    unknown_sd: np.ndarray

    def covariance(self) -> np.ndarray:
        """Give each phase's covariance of counts beyond counting noise (k, e, e)."""
        size = self.intensity.shape[1]
        total = (self.dispersion * self.intensity)[:, :, None] ** 2 * np.eye(size)
        for k, loading in zip(self.axis_phase, self.axis_loading, strict=True):
            total[k] += np.outer(loading, loading)
        return total


def find_anchors(
    counts: np.ndarray,
    intensity: np.ndarray,
    cells: Cells,
    dead_share: np.ndarray,
    sensitivity: np.ndarray,
    axes_at_most: Sequence[int],
    pointed_at: Sequence[int] = (),
    seed: int = 0,
) -> Anchors:
    """Refine rough intensities of the phases by expectation-maximisation.

    A phase pointed at in the map that no pixel is like, as the place is beside a speck, is sought
    among pixels like it in most elements. A zoned phase has heavy tails if pixels that nothing
    explains then lie in them, and few that are mixtures: so cores of garnets are garnet.

    Parameters
    ----------
    counts
        Of pixels (pixel, e); a random part of them is used.
    intensity
        Rough mean counts of each pure phase (k, e).
    cells
        What a pixel may be.
    dead_share
        Dead time over dwell time (e,).
    sensitivity
        Rough counts per wt% (e,): bounds what a phase may vary.
    axes_at_most
        How many axes of solid solution each phase may have (k,).
    pointed_at
        Indices of the phases whose rough counts are those of a place on the map.
    seed
        Of the choice of pixels.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(counts), min(PIXELS, len(counts)), replace=False)
    values = counts[chosen].astype(float)
    mean, sd = values.mean(axis=0), values.std(axis=0)
    size = intensity.shape[1]
    first = np.maximum(intensity, 0.5)
    room = room_to_move(first, sensitivity)
    anchors = Anchors(
        intensity=first,
        dispersion=np.full(first.shape, 0.08),
        axis_phase=np.zeros(0, dtype=int),
        axis_loading=np.zeros((0, size)),
        heavy_tailed=np.zeros(len(first), dtype=bool),
        class_weight=_initial_weights(cells),
        unknown_mean=mean,
        unknown_sd=2 * sd + np.sqrt(mean) + 1,
    )

    def refined(
        anchors: Anchors, covariance: np.ndarray, cells: Cells, *, evened: bool
    ) -> tuple[Anchors, np.ndarray]:
        for _ in range(ITERATIONS):
            responsibility = _responsibilities(
                anchors, covariance, cells, dead_share, values, evened=evened
            )
            anchors, covariance = _update(
                anchors,
                covariance,
                cells,
                dead_share,
                values,
                responsibility,
                (first - room, first + room),
                sensitivity,
            )
        return anchors, covariance

    # Tails are sought among counts as they are: evened, large ones lie nearer to the mean, and too
    # few are left that nothing explains.
    anchors, covariance = refined(anchors, anchors.covariance(), cells, evened=False)
    before = _responsibilities(anchors, covariance, cells, dead_share, values, evened=False)
    seen = _seen_instead(anchors, before, cells, values, room, pointed_at)
    if np.isfinite(seen).any():
        first = np.where(np.isfinite(seen), seen, first)
        found = np.where(np.isfinite(seen), seen, anchors.intensity)
        anchors = replace(anchors, intensity=found)
        anchors, covariance = refined(anchors, covariance, cells, evened=False)
        before = _responsibilities(anchors, covariance, cells, dead_share, values, evened=False)
    zoned = np.flatnonzero(axes_at_most).tolist()
    wide = covariance + np.diag((WIDENED * sensitivity) ** 2)
    tails = _heavy_tails(anchors, before, wide, cells, dead_share, values, zoned)
    if tails.any():
        # Far pixels count in full, so that an axis points to them.
        covariance = np.where(tails[:, None, None], wide, covariance)
        cells = with_heavy_tails(cells, np.flatnonzero(tails).tolist())
        anchors = replace(anchors, heavy_tailed=tails)
    anchors, covariance = refined(anchors, covariance, cells, evened=True)
    return _with_axes(anchors, covariance, dead_share, axes_at_most)


def room_to_move(first: np.ndarray, sensitivity: np.ndarray) -> np.ndarray:
    """Give how far each phase's mean counts may move from a first guess of them (k, e)."""
    room = np.maximum(LARGEST_MOVE * sensitivity, LARGEST_RELATIVE_MOVE * first)
    return room + 3 * np.sqrt(first) + 2


def class_probabilities(
    anchors: Anchors, cells: Cells, dead_share: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Give the probability of every class of every pixel (pixel, class) under the anchors."""
    responsibility = _responsibilities(
        anchors, anchors.covariance(), cells, dead_share, counts.astype(float), evened=True
    )
    return _by_class(cells, responsibility)


def unknown_log_density(values: Array, mean: Array, sd: Array) -> Array:
    """Give the log density (n,) of the broad normal that stands for unknown matter."""
    z = (values - mean) / sd
    return (-0.5 * z**2 - jnp.log(sd) - 0.9189385332046727).sum(axis=-1)


def _initial_weights(cells: Cells) -> np.ndarray:
    count = len(cells.phases)
    rest = len(cells.classes) - count
    return np.concatenate([np.full(count, 0.8 / count), np.full(rest, 0.2 / rest)])


@partial(jax.jit, static_argnames="evened")
def _cell_posterior(
    intensity: jnp.ndarray,
    covariance: jnp.ndarray,
    fraction: jnp.ndarray,
    spread: jnp.ndarray,
    stretch: jnp.ndarray,
    log_weight: jnp.ndarray,
    unknown: tuple[jnp.ndarray, jnp.ndarray, jnp.ndarray],
    dead_share: jnp.ndarray,
    values: jnp.ndarray,
    *,
    evened: bool,
) -> jnp.ndarray:
    true = intensity / (1 - intensity * dead_share)
    moments = counting_cells(true, covariance, fraction, spread, dead_share, stretch, evened=evened)
    if evened:
        frame = evened_frame(unknown[0], unknown[1])
        inside = log_density(*moments, evened_counts(values), frame)
        inside = inside + log_evening(values)[:, None]
    else:
        inside = log_density(*moments, values, Frame(unknown[0], unknown[1]))
    inside = inside + log_weight
    outside = unknown_log_density(values, unknown[0], unknown[1]) + unknown[2]
    both = jnp.concatenate([inside, outside[:, None]], axis=1)
    return jnp.exp(both - logsumexp(both, axis=1, keepdims=True))


def _responsibilities(
    anchors: Anchors,
    covariance: np.ndarray,
    cells: Cells,
    dead_share: np.ndarray,
    values: np.ndarray,
    *,
    evened: bool,
) -> np.ndarray:
    """Give the probability of every cell, the unknown one last, (pixel, cell + 1).

    Evened counts are normal in a cell, or else counts themselves.
    """
    log_weight = np.log(anchors.class_weight)
    blocks = [
        _cell_posterior(
            anchors.intensity,
            covariance,
            cells.fraction,
            cells.spread,
            cells.stretch,
            log_weight[cells.class_of_cell] + np.log(cells.share),
            (anchors.unknown_mean, anchors.unknown_sd, log_weight[-1]),
            dead_share,
            block,
            evened=evened,
        )
        for block in np.array_split(values, max(1, len(values) // 16_000))
    ]
    return np.concatenate([np.asarray(block) for block in blocks])


def _seen_instead(
    anchors: Anchors,
    responsibility: np.ndarray,
    cells: Cells,
    values: np.ndarray,
    room: np.ndarray,
    pointed_at: Sequence[int],
) -> np.ndarray:
    """Give counts of phases that hold no pixel, from unexplained ones like them, else NaN (k, e).

    A place may lie beside a speck: in an element or two no pixel of its phase is like it then.
    Compositions and several spots have no specks: what is unlike them is another phase.
    """
    unexplained = values[responsibility[:, -1] > 0.5]
    held = (responsibility[:, :-1] @ cells.pure_phase).sum(axis=0)
    seen = np.full(anchors.intensity.shape, np.nan)
    for k in (k for k in pointed_at if held[k] < 1):
        known = anchors.intensity[k]
        unlike = (np.abs(unexplained - known) > room[k]).mean(axis=1)
        near = unexplained[unlike <= OTHERWISE]
        if len(near) >= FEWEST_PIXELS:
            distance = ((np.sqrt(near) - np.sqrt(known)) ** 2).sum(axis=1)
            seen[k] = np.median(near[np.argsort(distance)[:NEAREST_PIXELS]], axis=0)
    return seen


def _heavy_tails(
    anchors: Anchors,
    before: np.ndarray,
    wide: np.ndarray,
    cells: Cells,
    dead_share: np.ndarray,
    values: np.ndarray,
    zoned: Sequence[int],
) -> np.ndarray:
    """Tell of which phases some pixels, that nothing explains, only lie far from the mean (k,)."""
    found = np.zeros(len(cells.phases), dtype=bool)
    unexplained = before[:, -1] > 0.5
    if not zoned or not unexplained.any():
        return found
    tailed = with_heavy_tails(cells, zoned)
    after = _responsibilities(anchors, wide, tailed, dead_share, values, evened=False)
    for row, k in enumerate(zoned, start=len(cells.phases)):
        pure, wider = before[:, k], after[:, k] + after[:, row]
        gained = wider[unexplained].sum()
        taken = wider[~unexplained & (pure < 0.5)].sum()
        found[k] = gained > FEWEST_GAINED * pure.sum() and taken < MOST_TAKEN * gained
    return found


def _by_class(cells: Cells, responsibility: np.ndarray) -> np.ndarray:
    owner = np.eye(len(cells.classes))[[*cells.class_of_cell, len(cells.classes) - 1]]
    return responsibility @ owner


def _update(
    anchors: Anchors,
    covariance: np.ndarray,
    cells: Cells,
    dead_share: np.ndarray,
    values: np.ndarray,
    responsibility: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    sensitivity: np.ndarray,
) -> tuple[Anchors, np.ndarray]:
    """Take means and scatter of every phase from the pixels that are purely it."""
    weight = _by_class(cells, responsibility).mean(axis=0)
    floor = 1e-5
    weight = np.maximum(weight, floor) / np.maximum(weight, floor).sum()
    intensity, covariance = anchors.intensity.copy(), covariance.copy()
    for k in range(len(cells.phases)):
        share = responsibility[:, :-1] @ cells.pure_phase[:, k]
        total = share.sum()
        if total < FEWEST_PIXELS:
            continue
        mean = share @ values / total
        # Anchored: no phase moves far from what it was introduced as.
        intensity[k] = np.clip(mean, bounds[0][k], bounds[1][k])
        residual = values - intensity[k]
        scatter = (residual * share[:, None]).T @ residual / total
        noise = np.asarray(counting_variance(intensity[k], dead_share))
        most = np.maximum(LARGEST_SCATTER * sensitivity, LARGEST_RELATIVE * intensity[k])
        covariance[k] = _excess(scatter, noise, intensity[k], most)
    return (
        replace(anchors, intensity=np.maximum(intensity, 0.3), class_weight=weight),
        covariance,
    )


def _excess(
    scatter: np.ndarray, noise: np.ndarray, intensity: np.ndarray, most: np.ndarray
) -> np.ndarray:
    """Take counting noise from a covariance, keep it positive and within bounds."""
    root = np.sqrt(noise)
    values, vectors = np.linalg.eigh(scatter / np.outer(root, root) - np.eye(root.size))
    values = np.clip(values, 0, None)
    excess = (vectors * values) @ vectors.T * np.outer(root, root)
    sd = np.sqrt(np.maximum(np.diag(excess), 1e-12))
    shrink = np.minimum(1, most / sd)
    excess = excess * np.outer(shrink, shrink)
    return excess + np.diag((SMALLEST_DISPERSION * intensity) ** 2)


def _with_axes(
    anchors: Anchors, covariance: np.ndarray, dead_share: np.ndarray, axes_at_most: Sequence[int]
) -> Anchors:
    """Split each phase's scatter into axes of solid solution and dispersion."""
    phases, loadings = [], []
    dispersion = np.empty_like(anchors.intensity)
    for k, excess in enumerate(covariance):
        root = np.sqrt(np.asarray(counting_variance(anchors.intensity[k], dead_share)))
        values, vectors = np.linalg.eigh(excess / np.outer(root, root))
        rest = excess.copy()
        for index in np.argsort(values)[::-1][: axes_at_most[k]]:
            if values[index] < AXIS_GAIN:
                break
            if (vectors[:, index] ** 2).max() > ONE_ELEMENT:
                continue
            loading = np.sqrt(values[index]) * vectors[:, index] * root
            loading = loading * np.sign(loading[np.argmax(np.abs(loading) / root)])
            phases.append(k)
            loadings.append(loading)
            rest -= np.outer(loading, loading)
        left = np.sqrt(np.maximum(np.diag(rest), 0.0))
        dispersion[k] = np.maximum(left / anchors.intensity[k], SMALLEST_DISPERSION)
    size = anchors.intensity.shape[1]
    return replace(
        anchors,
        dispersion=dispersion,
        axis_phase=np.array(phases, dtype=int),
        axis_loading=np.array(loadings).reshape(-1, size),
    )
