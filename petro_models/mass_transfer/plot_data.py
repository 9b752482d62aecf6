"""What the figures of a mass-transfer fit show, as plain arrays: computed here, drawn in plots."""

import re
from dataclasses import dataclass

import numpy as np
import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.mass_transfer.logs import LogTable, log_table
from petro_models.report import style

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
NORMAL_95 = 1.6448536269514722
MEMBER = 0.5
"""An element belongs to a frame from this probability of being immobile in it."""


@dataclass(frozen=True)
class Frame:
    """One frame as figures need it.

    Attributes
    ----------
    index
        Position in the fit, the most probable first.
    elements
        Its immobile elements in words.
    weight
        Posterior probability.
    colour
        Of everything that belongs to this frame, in every figure.
    immobile
        P(immobile) in this frame, (element).
    """

    index: int
    elements: str
    weight: float
    colour: str
    immobile: np.ndarray

    @property
    def name(self) -> str:
        """Give ``frame 1`` for the leading frame."""
        return f"frame {self.index + 1}"

    @property
    def caption(self) -> str:
        """Name the frame with its weight and elements, as legends do."""
        return f"{self.name} (weight {self.weight:.2f}): {pretty(self.elements)} immobile"


def frames_of(fit: xr.DataTree) -> list[Frame]:
    """List the frames of a fit, the most probable first."""
    derived = fit["derived"].to_dataset()
    return [
        Frame(
            index,
            str(derived["frame_label"].values[index]),
            float(derived["frame_weight"].values[index]),
            style.category(index),
            derived["frame_immobile_probability"].isel(frame=index).to_numpy(),
        )
        for index in range(derived.sizes["frame"])
    ]


def membership(frames: list[Frame], element: int | np.integer) -> Frame | None:
    """Find the frame that an element belongs to, the most probable first."""
    return next((frame for frame in frames if frame.immobile[element] >= MEMBER), None)


def chosen_sample(fit: xr.DataTree, sample: str | None) -> int:
    """Give the position of a sample; by default the one whose mass changed most.

    Raises
    ------
    DataError
        If there is no such sample.
    """
    labels = labels_of(fit, "sample")
    if sample is None:
        median = fit["derived"]["frame_mass_change"].isel(frame=0).sel(statistic="q50")
        return int(np.abs(median.to_numpy()).argmax())
    if str(sample) not in labels:
        raise DataError(f"no sample is named '{sample}': {nearest(str(sample), labels)}")
    return labels.index(str(sample))


def labels_of(fit: xr.DataTree, dim: str) -> list[str]:
    """Give the labels of a dim of the answers."""
    return [str(label) for label in fit["derived"].to_dataset()[dim].values.tolist()]


def quantiles(fit: xr.DataTree, name: str, frame: int) -> np.ndarray:
    """Give the 5, 50 and 95 percent points of a per-frame answer, leading axis the quantile."""
    values = fit["derived"][name].isel(frame=frame).sel(statistic=["q05", "q50", "q95"])
    return values.transpose("statistic", ...).to_numpy()


def volume_quantiles(fit: xr.DataTree, frame: int) -> np.ndarray:
    """Give the 5, 50 and 95 percent points of V/V0 among the draws of a frame, (3, sample)."""
    own = fit["derived"]["frame_of_draw"].to_numpy() == frame
    values = fit["derived"]["volume_ratio"].transpose("chain", "draw", "sample").to_numpy()[own]
    return np.quantile(values, [0.05, 0.5, 0.95], axis=0)


def frame_draws(fit: xr.DataTree, name: str, frame: int, sample: int) -> np.ndarray:
    """Give the draws of ``mass_ratio`` or ``volume_ratio`` that belong to a frame."""
    own = fit["derived"]["frame_of_draw"].to_numpy() == frame
    values = fit["derived"][name].transpose("chain", "draw", "sample").to_numpy()
    return values[own][:, sample]


def logs_of(fit: xr.DataTree) -> LogTable:
    """Give the mass table of a fit on logarithms."""
    return log_table(fit["constant_data"].to_dataset())


def protolith_error(logs: LogTable) -> np.ndarray:
    """Give the standard error of ln C0, (element): from scatter if there is any, or as stated."""
    cells = logs.protolith
    count = cells.measured.sum(axis=1)
    stated = np.sqrt((cells.measured * cells.error**2).sum(axis=1)) / count
    usable = (cells.measured == 1) & ~np.isfinite(cells.floor)
    deviation = np.where(usable, cells.value - logs.reference[:, None], 0.0)
    number = usable.sum(axis=1)
    scatter = np.sqrt((deviation**2).sum(axis=1) / np.maximum(number - 1, 1) / count)
    return np.maximum(stated, np.where(number > 1, scatter, 0.0))


@dataclass(frozen=True)
class Ratios:
    """C/C0 of one sample.

    Attributes
    ----------
    log_ratio
        ln(C/C0), (element); ln(limit/C0) where the altered rock is below detection.
    error
        Standard deviation of it from analysis and from the protolith's mean; 0 if none is known.
    below
        Whether the altered rock is below detection, (element).
    known
        Whether there is anything to show, (element).
    """

    log_ratio: np.ndarray
    error: np.ndarray
    below: np.ndarray
    known: np.ndarray


def ratios_of(logs: LogTable, sample: int) -> Ratios:
    """Give C/C0 of one sample with its error."""
    cells = logs.altered
    return Ratios(
        cells.value[:, sample] - logs.reference,
        np.hypot(cells.error[:, sample], protolith_error(logs)),
        np.isfinite(cells.floor[:, sample]),
        cells.measured[:, sample] == 1,
    )


def gains_by_mass(fit: xr.DataTree, frame: int) -> tuple[np.ndarray, bool]:
    """Give gains and losses in g per 100 g of protolith in one frame.

    Returns
    -------
    values
        (3, sample, element): 5, 50 and 95 percent points.
    exact
        False where the fit holds no such answer for a frame: then the ratio's quantiles are
        multiplied by the protolith's mean, which leaves its own error out.
    """
    derived = fit["derived"].to_dataset()
    if "frame_gain_loss_mass" in derived:
        return quantiles(fit, "frame_gain_loss_mass", frame), True
    if derived.sizes["frame"] == 1:
        values = derived["gain_loss_mass"].sel(statistic=["q05", "q50", "q95"])
        return values.transpose("statistic", "sample", "element").to_numpy(), True
    grams = {"wt%": 1.0, "ppm": 1e-4, "ppb": 1e-7}
    units = fit["constant_data"].to_dataset()["unit"].values.tolist()
    protolith = np.exp(logs_of(fit).reference) * np.array([grams[unit] for unit in units])
    known = "protolith_offset" not in fit["posterior"]
    return quantiles(fit, "frame_gain_loss", frame) * protolith, known


def pretty(text: str) -> str:
    """Write formulas with subscripts: ``Al2O3`` as chemists print it."""
    return re.sub(
        r"(?<=[A-Za-z])\d+", lambda digits: digits.group().translate(SUBSCRIPTS), str(text)
    )


def nice_factor(value: np.ndarray) -> np.ndarray:
    """Round to 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten: factors one can check by eye."""
    steps = np.array([1, 1.5, 2, 3, 4, 5, 6, 8, 10])
    power = 10.0 ** np.floor(np.log10(value))
    nearest_step = np.abs(np.log(value / power)[:, None] - np.log(steps)).argmin(axis=1)
    return steps[nearest_step] * power


def distance_label(table: xr.Dataset) -> str:
    """Name the axis of distance with its unit."""
    attributes = table["distance"].attrs
    name = str(attributes.get("long_name", "distance"))
    unit = attributes.get("units")
    return f"{name} ({unit})" if unit else f"{name} (unit not stated)"
