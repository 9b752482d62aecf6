"""What is kept of a batch of fits: a status and a summary an item, its draws if asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from petro_models.inference.checks import EFFECTIVE_DRAWS, R_HAT_LIMIT
from petro_models.inference.convergence import Convergence, convergence
from petro_models.inference.draws import Draws

type Status = Literal["ok", "multimodal", "divergent", "not_converged", "no_data", "failed"]
QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}
STATISTICS = ("mean", "sd", *QUANTILES)
UNKNOWN = Convergence(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    Attributes
    ----------
    status, message
        A code, and what to know about it; empty if all is well.
    method
        How the item was sampled; empty if it was not.
    summary
        Mean, sd and quantiles of every free variable, dims (statistic, ...); None if there are no
        draws.
    convergence
        Of the worst quantity.
    divergences, n_steps
        Divergent draws, and leapfrog steps a draw.
    kept
        Groups of the item's own fit by name, if its draws are kept.
    """

    status: Status
    message: str
    method: str = ""
    summary: xr.Dataset | None = None
    convergence: Convergence = UNKNOWN
    divergences: int = 0
    n_steps: float = np.nan
    kept: Mapping[str, xr.Dataset] | None = None


def judge(
    result: Draws, method: str, caution: str | None, attributes: dict[str, Any] | None
) -> Outcome:
    """Sum up the draws of one item and give it a status.

    Parameters
    ----------
    result
        The draws.
    method
        How they were made; draws of ``exact`` are independent and are not judged by convergence.
    caution
        What the sampler cannot have seen, if anything.
    attributes
        Of the fit, if the draws are to be kept.
    """
    columns = [
        values.to_numpy().reshape(*values.shape[:2], -1)
        for values in result.posterior.data_vars.values()
    ]
    flat = np.concatenate(columns, axis=2)
    if not np.isfinite(flat).all():
        return Outcome("failed", "draws are not finite: check data and priors", method)
    found = convergence(flat) if flat.shape[1] >= 4 else UNKNOWN
    statistics = result.sample_stats
    divergences = int(statistics["diverging"].sum()) if "diverging" in statistics else 0
    status, message = _verdict(found, divergences, flat.shape[0] * flat.shape[1], method, caution)
    kept = None
    if attributes is not None:
        kept = {
            "": xr.Dataset(attrs=attributes),
            "posterior": result.posterior,
            "sample_stats": statistics,
        }
    return Outcome(
        status=status,
        message=message,
        method=method,
        summary=_summary(result.posterior),
        convergence=found,
        divergences=divergences,
        n_steps=float(statistics["n_steps"].mean()) if "n_steps" in statistics else np.nan,
        kept=kept,
    )


def _verdict(
    found: Convergence, divergences: int, draws: int, method: str, caution: str | None
) -> tuple[Status, str]:
    if caution:
        return "multimodal", f'{caution}: fit it alone, method="smc" or "exact"'
    if divergences:
        return "divergent", f"{divergences} of {draws} draws: raise target_accept"
    if method == "exact":
        return "ok", ""
    if found.r_hat < R_HAT_LIMIT and min(found.bulk, found.tail) >= EFFECTIVE_DRAWS:
        return "ok", ""
    return "not_converged", (
        f"R-hat {found.r_hat:.3f} (limit {R_HAT_LIMIT}), effective draws {found.bulk:.0f} bulk, "
        f"{found.tail:.0f} tail (limit {EFFECTIVE_DRAWS}): more draws, or a longer tune"
    )


def _summary(posterior: xr.Dataset) -> xr.Dataset:
    arrays = {}
    for name, draws in posterior.data_vars.items():
        values = draws.to_numpy()
        quantiles = np.quantile(values, list(QUANTILES.values()), axis=(0, 1))
        moments = np.stack([values.mean(axis=(0, 1)), values.std(axis=(0, 1))])
        arrays[name] = (("statistic", *draws.dims[2:]), np.concatenate([moments, quantiles]))
    labels = {d: c.values for d, c in posterior.coords.items() if d not in ("chain", "draw")}
    return xr.Dataset(arrays, labels | {"statistic": list(STATISTICS)})


def collate(outcomes: Sequence[Outcome], attributes: Mapping[str, Any]) -> xr.DataTree:
    """Put the outcomes of all items into one tree.

    Parameters
    ----------
    outcomes
        One an item.
    attributes
        Of the root.
    """
    layouts: dict[tuple[Any, ...], list[int]] = {}
    for item, outcome in enumerate(outcomes):
        if outcome.summary is not None:
            layouts.setdefault(_layout(outcome.summary), []).append(item)
    place = np.full(len(outcomes), -1)
    groups: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs=dict(attributes))}
    for number, members in enumerate(layouts.values()):
        place[members] = number
        groups[f"layout_{number}"] = _stack([outcomes[i].summary for i in members], members)
    columns: dict[str, list[Any]] = {
        "status": [o.status for o in outcomes],
        "message": [o.message for o in outcomes],
        "method": [o.method for o in outcomes],
        "r_hat": [o.convergence.r_hat for o in outcomes],
        "ess_bulk": [o.convergence.bulk for o in outcomes],
        "ess_tail": [o.convergence.tail for o in outcomes],
        "divergences": [o.divergences for o in outcomes],
        "n_steps": [o.n_steps for o in outcomes],
    }
    groups["status"] = xr.Dataset(
        {name: ("item", np.asarray(values)) for name, values in columns.items()}
        | {"layout": ("item", place)},
        {"item": np.arange(len(outcomes))},
    )
    for item, outcome in enumerate(outcomes):
        for name, group in (outcome.kept or {}).items():
            groups[f"items/{item}/{name}".rstrip("/")] = group
    return xr.DataTree.from_dict(groups)


def _layout(summary: xr.Dataset) -> tuple[Any, ...]:
    return tuple((name, values.dims, values.shape) for name, values in summary.data_vars.items())


def _stack(summaries: Sequence[xr.Dataset | None], members: Sequence[int]) -> xr.Dataset:
    """Stack summaries of one layout; labels that differ between items are kept item by item."""
    held = [summary for summary in summaries if summary is not None]
    first = held[0]
    coords: dict[str, Any] = {"item": list(members), "statistic": list(STATISTICS)}
    for dim in first.coords:
        labels = np.stack([np.asarray(summary[dim].values) for summary in held])
        if dim == "statistic":
            continue
        if (labels == labels[0]).all():
            coords[str(dim)] = labels[0]
        else:
            coords[f"{dim}_label"] = (("item", str(dim)), labels)
    arrays = {
        name: (("item", *values.dims), np.stack([summary[name].to_numpy() for summary in held]))
        for name, values in first.data_vars.items()
    }
    return xr.Dataset(arrays, coords)
