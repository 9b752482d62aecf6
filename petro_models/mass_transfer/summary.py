"""What a mass-transfer fit says in words: headline, verdicts on frames, predictive statistics."""

import numpy as np
import xarray as xr

from petro_models.inference.checks import Check
from petro_models.mass_transfer.logs import LogTable

DOMINANT = 0.95
FEWEST_ELEMENTS = 3
TIGHTEST_SHARE = 0.3


def headline(derived: xr.Dataset) -> list[str]:
    """Say mass change, frames and the surest movers in sentences."""
    sentences = [_frame_sentence(derived, index) for index in derived["frame"].values]
    if len(sentences) > 1:
        count = {2: "Two", 3: "Three", 4: "Four"}.get(len(sentences), str(len(sentences)))
        sentences.insert(
            0,
            f"{count} frames compete: blocks of elements that each could be the immobile one. "
            "Read the mass change frame by frame; the average over frames describes neither.",
        )
    return [*sentences, _mover_sentence(derived)]


def percent(share: float) -> str:
    """Write a gain or loss as ``+12 %`` or ``−7 %``."""
    return f"{100 * share:+.0f} %".replace("-", "−")


def interval(low: float, high: float, digits: int = 2) -> str:
    """Write an interval as ``0.98 to 1.05``."""
    return f"{low:.{digits}f} to {high:.{digits}f}"


def _frame_sentence(derived: xr.Dataset, index: int) -> str:
    frame = derived.isel(frame=int(index))
    ratio = frame["frame_mass_ratio"]
    weight = float(frame["frame_weight"])
    name = str(frame["frame_label"].item())
    opening = f"With probability {weight:.2f} the immobile frame is {name}"
    samples = ratio.coords["sample"].values
    if len(samples) == 1:
        centre = float(ratio.sel(statistic="q50").item())
        band = interval(
            float(ratio.sel(statistic="q05").item()), float(ratio.sel(statistic="q95").item())
        )
        change = f"{percent(centre - 1)} of the protolith's mass"
        return f"{opening}: M/M0 of {samples[0]} = {centre:.3f} (90 % {band}), {change}."
    median = ratio.sel(statistic="q50")
    order = np.argsort(median.to_numpy())
    lowest, highest = samples[order[0]], samples[order[-1]]
    return (
        f"{opening}: M/M0 runs from {float(median.min()):.2f} (sample {lowest}) to "
        f"{float(median.max()):.2f} (sample {highest}), median {float(median.median()):.2f} over "
        f"{len(samples)} samples."
    )


def _mover_sentence(derived: xr.Dataset) -> str:
    """Name the elements whose gain or loss is beyond doubt in the leading frame."""
    gain = derived["frame_gain_loss"].isel(frame=0)
    low, high = gain.sel(statistic="q05"), gain.sel(statistic="q95")
    centre = gain.sel(statistic="q50").median("sample")
    share_up, share_down = (low > 0).mean("sample"), (high < 0).mean("sample")
    immobile = derived["frame_immobile_probability"].isel(frame=0)
    parts = []
    for word, share, sign in (("gained", share_up, 1), ("lost", share_down, -1)):
        names = [
            str(element)
            for element in derived["element"].values
            if float(share.sel(element=element)) > 0.5
            and float(immobile.sel(element=element)) < 0.5
        ]
        names.sort(key=lambda element: -sign * float(centre.sel(element=element)))
        if names:
            described = ", ".join(
                f"{name} ({percent(float(centre.sel(element=name)))})" for name in names[:8]
            )
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            parts.append(f"{word} {described}{more}")
    which = (
        "In the leading frame the rock"
        if derived.sizes["sample"] == 1
        else ("In the leading frame most samples")
    )
    return (
        f"{which} {'; '.join(parts)}."
        if parts
        else f"{which} neither gained nor lost an element beyond doubt."
    )


def frame_checks(derived: xr.Dataset, logs: LogTable) -> list[Check]:
    """Check whether one frame stands, what it rests on, and what the data left unsaid."""
    found = [_support(derived)]
    if derived.sizes["draw"] > 1:
        found.insert(0, _competition(derived))
    if not logs.protolith_has_information:
        found.append(
            Check(
                "protolith",
                "REVIEW",
                "a single analysis without stated errors is taken as exact; the tolerance stands "
                "for its error",
                "give several protolith analyses, or errors=..., or a Prior on protolith_offset",
            )
        )
    return found


def _competition(derived: xr.Dataset) -> Check:
    weights = derived["frame_weight"].to_numpy()
    names = [str(name) for name in derived["frame_label"].values]
    medians = derived["frame_mass_ratio"].sel(statistic="q50").median("sample").to_numpy()
    described = "; ".join(
        f"{weight:.2f} {name} (M/M0 {median:.2f})"
        for weight, name, median in zip(weights, names, medians, strict=True)
    )
    if weights[0] >= DOMINANT:
        return Check("competing frames", "PASS", f"one frame holds: {described}")
    return Check(
        "competing frames",
        "REVIEW",
        described,
        "report every frame; field evidence or a geochemical prior on immobile_probability "
        "may decide between them",
    )


def _support(derived: xr.Dataset) -> Check:
    members = derived["frame_immobile_probability"].isel(frame=0) >= 0.5
    count = int(members.sum())
    finding = f"the leading frame rests on {count} elements"
    if count >= FEWEST_ELEMENTS:
        return Check("size of the frame", "PASS", f"{finding}, at least {FEWEST_ELEMENTS}")
    return Check(
        "size of the frame",
        "REVIEW",
        f"{finding}, fewer than {FEWEST_ELEMENTS}",
        "a chance agreement is likely: measure more elements that could be immobile",
    )


def predictive_statistics(
    logs: LogTable, replicated: xr.Dataset
) -> dict[str, tuple[float, np.ndarray]]:
    """Compare log ratios with their replicates: how tight the tightest third, how wide the rest.

    Neither statistic needs a frame: adding a constant to every log ratio of a sample changes
    nothing.
    """
    observed = logs.log_ratio
    draws = replicated["altered_log_concentration"].stack(__draw__=("chain", "draw"))
    values = draws.transpose("__draw__", "element", "sample").to_numpy()
    ratios = np.where(np.isfinite(observed), values - logs.reference[:, None], np.nan)
    statistics = {
        "tightest third of the log ratios": _tightest,
        "range of the log ratios": _range,
    }
    found = {
        name: (float(function(observed[None])[0]), function(ratios))
        for name, function in statistics.items()
    }
    if "protolith_log_concentration" in replicated:
        protolith = replicated["protolith_log_concentration"].stack(__draw__=("chain", "draw"))
        copies = protolith.transpose("__draw__", "element", "protolith").to_numpy()
        cells = logs.protolith
        usable = (cells.measured == 1) & ~np.isfinite(cells.floor)
        if usable.sum(axis=1).min() > 1:
            found["spread of the protolith"] = (
                float(_spread(np.where(usable, cells.value, np.nan)[None])[0]),
                _spread(np.where(usable, copies, np.nan)),
            )
    return found


def _tightest(ratios: np.ndarray) -> np.ndarray:
    """Give the narrowest span holding 30 % of the elements, median over samples, per draw."""
    ordered = np.sort(ratios, axis=1)
    count = np.isfinite(ratios).sum(axis=1)
    size = max(2, int(np.ceil(TIGHTEST_SHARE * ratios.shape[1])))
    spans = ordered[:, size - 1 :] - ordered[:, : ratios.shape[1] - size + 1]
    with np.errstate(invalid="ignore"):
        spans = np.where(np.isfinite(spans), spans, np.inf)
    narrowest = np.where(count >= size, spans.min(axis=1), np.nan)
    return np.nanmedian(narrowest, axis=1)


def _range(ratios: np.ndarray) -> np.ndarray:
    """Give the range of log ratios, median over samples, per draw."""
    return np.median(np.nanmax(ratios, axis=1) - np.nanmin(ratios, axis=1), axis=1)


def _spread(values: np.ndarray) -> np.ndarray:
    """Give the median over elements of the standard deviation over analyses, per draw."""
    return np.median(np.nanstd(values, axis=2, ddof=1), axis=1)
