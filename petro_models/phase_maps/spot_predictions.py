"""What an analysis anywhere on a fitted map would give: for held-out spots, and for planning."""

from dataclasses import replace

import numpy as np
import xarray as xr

from petro_models.errors import DataError
from petro_models.phase_maps.derived import draw_analyses, parameter_draws
from petro_models.phase_maps.observations import Observations
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.phase_maps.spot_surroundings import cut_places


def predict_analyses(
    problem: PhaseMaps, posterior: xr.Dataset, spots: xr.Dataset, seed: int = 0
) -> xr.Dataset:
    """Predict analyses at nominal positions from the map alone; class and values are not used.

    Parameters
    ----------
    problem
        The problem that was fitted, to other spots or to these.
    posterior
        Its draws of the free variables.
    spots
        With `column` and `row` (spot), and with `order` where they were measured between the
        fitted ones, which then tell how far the stage was displaced; what else they hold is not
        read.
    seed
        Of the draws.

    Returns
    -------
    xr.Dataset
        `predicted` (median), `predicted_low`, `predicted_high` (90 %, equal-tailed) and `drawn`
        (prediction, spot, oxide), wt%.

    Raises
    ------
    DataError
        If the problem has no spots: nothing then tells how analyses scatter about the map.
    """
    if not problem.observations.has_spots:
        raise DataError(
            "analyses cannot be predicted from a fit without spots: nothing tells how they scatter "
            "about the map; fit it with some"
        )
    draws = parameter_draws(posterior, problem.observations, problem.priors)
    generator = np.random.default_rng(seed)
    drawn = draw_analyses(draws, _around(problem, spots), generator)[:, -spots.sizes["spot"] :]
    low, middle, high = np.quantile(drawn, [0.05, 0.5, 0.95], axis=0)
    dims, attrs = ("spot", "oxide"), {"units": "wt%"}
    return xr.Dataset(
        {
            "predicted": (dims, middle, attrs),
            "predicted_low": (dims, low, attrs),
            "predicted_high": (dims, high, attrs),
            "drawn": (("prediction", *dims), drawn, attrs),
        },
        {"spot": spots["spot"].to_numpy(), "oxide": problem.data["oxide"].to_numpy()},
    )


def _around(problem: PhaseMaps, spots: xr.Dataset) -> Observations:
    """Give the problem's observations with other spots after its own, not analysed."""
    observed, data = problem.observations, problem.data
    own = np.stack([data["spot_column"].to_numpy(), data["spot_row"].to_numpy()], axis=1)
    others = np.stack([spots["column"].to_numpy(), spots["row"].to_numpy()], axis=1)
    names = [str(name) for name in (*data["spot"].to_numpy(), *spots["spot"].to_numpy())]
    count = len(others)
    unseen = np.full((count, observed.spot_composition.shape[1]), np.nan)
    order = spots["order"].to_numpy() if "order" in spots else np.full(count, np.nan)
    return replace(
        observed,
        spot_composition=np.concatenate([observed.spot_composition, unseen]),
        spot_error=np.concatenate([observed.spot_error, unseen]),
        spot_label=np.append(observed.spot_label, np.full(count, -1)),
        spot_order=np.append(observed.spot_order, order),
        **cut_places(
            data,
            np.concatenate([own, others]),
            observed.first_shift,
            names,
            observed.cells,
            observed.anchors,
        ),
    )
