"""What every fit must pass, whatever the sampler and the problem."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from petro_models.inference.draws import quiet_libraries

type Verdict = Literal["PASS", "REVIEW", "FAIL"]
ORDER: dict[str, int] = {"PASS": 0, "REVIEW": 1, "FAIL": 2}

R_HAT_LIMIT = 1.01
R_HAT_FAILURE = 1.05
EFFECTIVE_DRAWS = 400
ENERGY_LIMIT = 0.3
PREDICTIVE_REVIEW = 0.02
PREDICTIVE_FAILURE = 0.001
SENSITIVITY_LIMIT = 0.05


@dataclass(frozen=True)
class Check:
    """One verdict on a fit.

    Attributes
    ----------
    name
        What was looked at.
    verdict
        ``PASS``, ``REVIEW`` (read before use) or ``FAIL`` (do not use).
    finding
        What was found, with its number and its limit.
    advice
        What to do next; empty for a pass.
    """

    name: str
    verdict: Verdict
    finding: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f" -> {self.advice}" if self.advice else ""
        return f"{self.verdict:<6}  {self.name}: {self.finding}{advice}"


class Checks(tuple[Check, ...]):
    """The verdicts on one fit; prints as a table, and `verdict` is the worst of them."""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict."""
        return max((check.verdict for check in self), key=ORDER.__getitem__, default="PASS")

    def __repr__(self) -> str:
        return "\n".join([*map(str, self), f"{self.verdict:<6}  overall"])

    __str__ = __repr__

    def to_dataset(self) -> xr.Dataset:
        """Give the verdicts as a Dataset with the dim ``check``, as stored in a fit."""
        columns = {
            field: ("check", np.array([getattr(check, field) for check in self], dtype=object))
            for field in ("verdict", "finding", "advice")
        }
        return xr.Dataset(columns, {"check": [check.name for check in self]})

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> "Checks":
        """Read verdicts back from a fit."""
        names = dataset["check"].values
        rows = (dataset[field].values for field in ("verdict", "finding", "advice"))
        return cls(
            Check(str(name), str(verdict), str(finding), str(advice))  # type: ignore[arg-type]
            for name, verdict, finding, advice in zip(names, *rows, strict=True)
        )


def convergence(posterior: xr.Dataset) -> list[Check]:
    """Check that separate chains agree and hold enough independent draws."""
    if posterior.sizes["draw"] < 4:
        return [
            Check(
                "posterior",
                "REVIEW",
                "a single best point, not a posterior: it has no uncertainty",
                'fit(method="auto") for intervals',
            )
        ]
    with quiet_libraries():
        r_hat = _extreme(az.rhat(posterior), largest=True)
        bulk = _extreme(az.ess(posterior, method="bulk"), largest=False)
        tail = _extreme(az.ess(posterior, method="tail"), largest=False)
    checks = []
    worst, value = r_hat
    if value < R_HAT_LIMIT:
        checks.append(Check("R-hat", "PASS", f"largest {value:.3f} ({worst}), limit 1.01"))
    else:
        checks.append(
            Check(
                "R-hat",
                "REVIEW" if value < R_HAT_FAILURE else "FAIL",
                f"{value:.3f} for {worst}, limit 1.01: the chains disagree",
                "sample longer (tune, draws); if chains sit in separate modes use "
                'method="exact" or "smc"',
            )
        )
    for name, (where, size) in (("bulk ESS", bulk), ("tail ESS", tail)):
        if size >= EFFECTIVE_DRAWS:
            checks.append(Check(name, "PASS", f"smallest {size:.0f} ({where}), limit 400"))
        else:
            checks.append(
                Check(
                    name,
                    "REVIEW" if size >= EFFECTIVE_DRAWS / 4 else "FAIL",
                    f"{size:.0f} for {where}, limit 400: too few independent draws",
                    "more draws, or a longer tune",
                )
            )
    return checks


def sampler_health(sample_stats: xr.Dataset) -> list[Check]:
    """Check divergences and energy, where the sampler reports them."""
    checks = []
    if "diverging" in sample_stats:
        count = int(sample_stats["diverging"].sum())
        finding = f"{count} of {sample_stats['diverging'].size} draws"
        if count == 0:
            checks.append(Check("divergences", "PASS", finding))
        else:
            share = count / sample_stats["diverging"].size
            checks.append(
                Check(
                    "divergences",
                    "REVIEW" if share < 0.001 else "FAIL",
                    finding,
                    "raise target_accept (0.95, 0.99), or give scales priors that stay off zero",
                )
            )
    if "energy" in sample_stats:
        energy = sample_stats["energy"].to_numpy()
        fraction = (np.diff(energy, axis=1) ** 2).mean(axis=1) / energy.var(axis=1)
        lowest = float(fraction.min())
        if lowest > ENERGY_LIMIT:
            checks.append(Check("E-BFMI", "PASS", f"smallest {lowest:.2f}, limit 0.3"))
        else:
            checks.append(
                Check(
                    "E-BFMI",
                    "REVIEW",
                    f"{lowest:.2f}, limit 0.3: tails are explored slowly",
                    "sample longer, or use narrower priors on scales",
                )
            )
    return checks


def predictive(statistics: Mapping[str, tuple[float, np.ndarray]]) -> list[Check]:
    """Check that replicated data look like the observed, statistic by statistic.

    Parameters
    ----------
    statistics
        Name -> observed value and its replicates under the posterior predictive.
    """
    checks = []
    for name, (observed, replicated) in statistics.items():
        above = float(np.mean(replicated >= observed))
        below = float(np.mean(replicated <= observed))
        probability = min(1.0, 2 * min(above, below))
        finding = (
            f"observed {observed:.3g}, replicated {np.quantile(replicated, 0.05):.3g} to "
            f"{np.quantile(replicated, 0.95):.3g} (90 %), two-sided p = {probability:.3f}"
        )
        if probability >= PREDICTIVE_REVIEW:
            checks.append(Check(f"posterior predictive, {name}", "PASS", finding))
        else:
            checks.append(
                Check(
                    f"posterior predictive, {name}",
                    "REVIEW" if probability >= PREDICTIVE_FAILURE else "FAIL",
                    finding,
                    "the model does not produce data like these: look at the predictive figure, "
                    "then at the stated errors and the priors on scales",
                )
            )
    return checks


def prior_sensitivity(table: pd.DataFrame) -> list[Check]:
    """Check whether the answer would move with the prior (power scaling).

    Parameters
    ----------
    table
        Index: quantity; columns ``prior`` and ``likelihood`` as ArviZ's `psense_summary` gives.
    """
    moved = table[~(table["prior"] < SENSITIVITY_LIMIT)]
    if moved.empty:
        largest = float(table["prior"].max())
        return [
            Check("prior sensitivity", "PASS", f"largest {largest:.3f}, limit 0.05 (power scaling)")
        ]
    if moved["prior"].isna().any():
        return [
            Check(
                "prior sensitivity",
                "REVIEW",
                f"cannot be computed for {moved.index[moved['prior'].isna()][0]}",
                "fit under another prior and compare",
            )
        ]
    row = int(moved["prior"].to_numpy(float).argmax())
    worst, (prior, likelihood) = moved.index[row], moved[["prior", "likelihood"]].to_numpy()[row]
    conflict = likelihood >= SENSITIVITY_LIMIT
    reading = "prior and data pull apart" if conflict else "the data say little"
    return [
        Check(
            "prior sensitivity",
            "REVIEW",
            f"{prior:.3f} for {worst}, limit 0.05; "
            f"{len(moved)} of {len(table)} quantities: {reading}",
            "justify these priors, and show the answer under another one",
        )
    ]


def power_scaling(
    posterior: xr.Dataset, log_prior: xr.Dataset, log_likelihood: xr.Dataset, names: Iterable[str]
) -> pd.DataFrame:
    """Give the sensitivity of named quantities to prior and likelihood (Kallioinen et al. 2024).

    Kallioinen, Paananen, Buerkner & Vehtari (2024), Stat. Comput. 34, 57; computed by ArviZ. Only
    the priors of the named quantities are scaled: the middle layers of a hierarchy are no priors.
    """
    names = list(names)
    tree = xr.DataTree.from_dict(
        {"posterior": posterior, "log_prior": log_prior, "log_likelihood": log_likelihood}
    )
    with quiet_libraries():
        try:
            return az.psense_summary(tree, var_names=names, prior_var_names=names, round_to=6)
        except ValueError:
            # Weights that are all alike (stuck chains, too few draws) leave nothing to estimate.
            return pd.DataFrame({"prior": np.nan, "likelihood": np.nan}, index=names)


def _extreme(values: xr.Dataset, largest: bool) -> tuple[str, float]:
    """Find the largest (smallest) value of a Dataset and name the quantity it belongs to."""
    best: tuple[str, float] = ("none", -np.inf if largest else np.inf)
    for name, array in values.data_vars.items():
        numbers = array.to_numpy()
        if not numbers.size or np.isnan(numbers).all():
            continue
        index = np.unravel_index(
            np.nanargmax(numbers) if largest else np.nanargmin(numbers), numbers.shape
        )
        value = float(numbers[index])
        if (value > best[1]) if largest else (value < best[1]):
            labels = [str(array[dim].values[i]) for dim, i in zip(array.dims, index, strict=True)]
            best = (f"{name}[{', '.join(labels)}]" if labels else str(name), value)
    return best
