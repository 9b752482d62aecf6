"""Observations in a file: what tiles of a map need to know, so that none reads the whole map."""

import json
from dataclasses import fields

import numpy as np
import xarray as xr

from petro_models.phase_maps.observations import Observations, anchors_of, cells_of

LABELS = "coords"
NUMBER = "noise_share"
FROM_DATA = ("cells", "anchors", LABELS, NUMBER)


def observations_to_dataset(observations: Observations) -> xr.Dataset:
    """Give the arrays of observations under dims of their own."""
    found = {}
    for part in fields(observations):
        if part.name not in FROM_DATA:
            values = np.asarray(getattr(observations, part.name))
            found[part.name] = ([f"{part.name}_{axis}" for axis in range(values.ndim)], values)
    labels = {name: list(map(str, values)) for name, values in observations.coords.items()}
    return xr.Dataset(
        found, attrs={LABELS: json.dumps(labels), NUMBER: float(observations.noise_share)}
    )


def observations_from(
    stored: xr.Dataset, header: xr.Dataset, options: dict[str, str]
) -> Observations:
    """Read what `observations_to_dataset` gave.

    Parameters
    ----------
    stored
        The arrays.
    header
        The problem's data; no counts are needed.
    options
        Of the problem.
    """
    return Observations(
        coords=json.loads(stored.attrs[LABELS]),
        cells=cells_of(header, options),
        anchors=anchors_of(header),
        noise_share=float(stored.attrs[NUMBER]),
        **{str(name): values.to_numpy() for name, values in stored.data_vars.items()},
    )
