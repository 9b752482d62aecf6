"""Histories against rocks whose answer is known from elsewhere: the figures of six claims.

    PETRO_MODELS_DATA=FOLDER python benchmarks/real_histories.py [--only NUMBER ...]

1 a synthetic path of 40 points; 2 four grains with ages, and one without; 3 strong fractionation;
4 ten garnets grown by THERIA_G, another engine and thermodynamic data set; 5 LinaForma's published
point; 6 a real traverse whose bulk is not known. Written to benchmarks/results/real_histories.json;
a part that is run alone replaces its own figures.
"""

import argparse
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from alps_cross_validation import interval_score

from petro_models import Prior
from petro_models.histories.data import garnet_profiles
from petro_models.histories.forward import grown_share
from petro_models.histories.isopleths import isopleth_intersection, isopleth_posterior
from petro_models.histories.problem import Histories
from petro_models.histories.simulate import simulate_history
from petro_models.histories.summary import clock_ratio
from petro_models.inference.checks import Checks
from petro_models.io.equilibrium_tables import read_equilibrium_table, read_linaforma
from petro_models.io.garnet_profiles import read_garnet_profiles, read_zone_ages
from petro_models.problem import check
from petro_models.thermodynamics.bundled import bundled_table
from petro_models.thermodynamics.tables import COMPONENTS, EquilibriumTable

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "real_histories.json"
DATA = Path(os.environ.get("PETRO_MODELS_DATA", "data"))
OWN_TABLES = {
    "own bulk": HERE / "tables" / "garnet_theria_g.nc",
    "own bulk and data": HERE / "tables" / "garnet_theria_g_1998.nc",
    "own bulk and data, with zoisite": HERE / "tables" / "garnet_theria_g_1998_zoisite.nc",
}
"""Made by theria_g_table.py from THERIA_G's bulk: with another data set, and with its own."""
SEEDS = (0, 1, 2)
FRACTIONS = [f"X_{name}" for name in COMPONENTS]
NEAR_C, NEAR_KBAR = 25.0, 1.0
"""How near to THERIA_G's path claim 4 wants temperature and pressure."""


def figures(fit: xr.DataTree, pressure: Any, temperature: Any) -> dict[str, Any]:
    """Score pressure and temperature at the analyses, and how the sampler did."""
    checks = check(fit)
    found: dict[str, Any] = {}
    for letter, name, truth in (
        ("P", "pressure_kbar", np.asarray(pressure)),
        ("T", "temperature_C", np.asarray(temperature)),
    ):
        low, middle, high = (
            fit["derived"][name].sel(statistic=key).to_numpy() for key in ("q05", "q50", "q95")
        )
        error = middle - truth
        found |= {
            f"{letter} rmse": round(float(np.sqrt((error**2).mean())), 3),
            f"{letter} bias": round(float(error.mean()), 3),
            f"{letter} worst": round(float(np.abs(error).max()), 2),
            f"{letter} covered": round(float(((low <= truth) & (truth <= high)).mean()), 3),
            f"{letter} mean width of the band": round(float((high - low).mean()), 3),
            f"{letter} interval score": round(interval_score(low, high, truth), 3),
        }
    return found | sampler(fit, checks)


def sampler(fit: xr.DataTree, checks: Checks) -> dict[str, Any]:
    """Say how the sampler did, and every check that did not pass."""
    stats = fit["sample_stats"]
    return {
        "draws": int(stats["diverging"].size),
        "divergences": int(stats["diverging"].sum()),
        "leapfrogs a draw": round(float(stats["n_steps"].mean()), 1),
        "not passed": {item.name: item.verdict for item in checks if item.verdict != "PASS"},
    }


@contextmanager
def timed(record: dict[str, Any]) -> Iterator[None]:
    """Note the seconds that something took."""
    begin = time.perf_counter()
    yield
    record["seconds, fit with checks"] = round(time.perf_counter() - begin, 1)


def synthetic_path() -> dict[str, Any]:
    """Claim 1: 40 points, then 10 of them."""
    table = bundled_table("white2014")
    found: dict[str, Any] = {}
    for seed in SEEDS:
        profiles, _, truth = simulate_history(
            table, "clockwise", n_grains=1, n_positions=40, n_ages=0, seed=3 + seed
        )
        for name, kept in (("40 points", slice(None)), ("10 points", slice(None, None, 4))):
            own = truth.isel(position=kept)
            record: dict[str, Any] = {}
            with timed(record):
                fit = Histories(profiles.isel(position=kept), table).fit(seed=seed)
            found[f"{name}, rock {seed}"] = record | figures(
                fit, own["pressure_kbar"], own["temperature_C"]
            )
    return found


def suite(name: str) -> tuple[xr.Dataset, xr.Dataset | None, pd.DataFrame]:
    """Read one of the garnet suites."""
    folder = DATA / "garnet_suites" / name
    profiles = read_garnet_profiles(folder / "profiles.csv")
    ages = read_zone_ages(folder / "ages.csv", profiles) if name == "clockwise" else None
    return profiles, ages, pd.read_csv(folder / "truth.csv")


def grains_and_ages() -> dict[str, Any]:
    """Claim 2: four grains with three dated zones; one grain without any."""
    table = bundled_table("white2014")
    profiles, ages, truth = suite("clockwise")
    elapsed = (truth["t_Myr"] - truth["t_Myr"].min()).to_numpy()
    found: dict[str, Any] = {}
    widths = []
    for seed in SEEDS:
        record: dict[str, Any] = {}
        with timed(record):
            fit = Histories(profiles, table, ages, own_bulk=True).fit(seed=seed)
        low, middle, high = (
            float(fit["derived"]["duration_Myr"].sel(statistic=key))
            for key in ("q05", "q50", "q95")
        )
        shares = fit["derived"]["time_Myr"]
        inside = (shares.sel(statistic="q05") <= elapsed) & (elapsed <= shares.sel(statistic="q95"))
        record |= {
            "seconds, sampling": round(float(fit.attrs["sampling_seconds"]), 1),
            "duration": [round(low, 2), round(middle, 2), round(high, 2)],
            "true duration": round(float(elapsed.max()), 2),
            "95/5 ratio of the duration": round(high / low, 2),
            "time covered": round(float(inside.mean()), 3),
        }
        found[f"clockwise, seed {seed}"] = record | figures(fit, truth["P_kbar"], truth["T_C"])
        widths.append(band_of_grain(fit, profiles, 0))
    alone = {}
    for number, grain in enumerate(profiles["grain"].to_numpy()):
        own = profiles.isel(
            position=np.flatnonzero(profiles["grain_index"].to_numpy() == number), grain=[number]
        )
        own["grain_index"] = own["grain_index"] * 0
        fit = Histories(own, table, own_bulk=True).fit(draws=500, tune=500, seed=0)
        alone[str(grain)] = band_of_grain(fit, own, 0)
    found["T and P width of the band, joint (grain 1)"] = np.mean(widths, axis=0).round(3).tolist()
    found["T and P width of the band, each grain alone"] = alone
    lone, _, _ = suite("single_grain")
    fit = Histories(lone, table, own_bulk=True).fit(seed=0)
    log_duration = np.log(fit["posterior"]["duration_Myr"].to_numpy())
    found["single_grain, posterior / prior sd of the log duration"] = round(clock_ratio(fit), 3)
    found["single_grain, mean of the log duration (prior 2.3)"] = round(
        float(log_duration.mean()), 3
    )
    return found


def band_of_grain(fit: xr.DataTree, profiles: xr.Dataset, number: int) -> list[float]:
    """Give the mean width of the bands of temperature and pressure along one grain."""
    own = np.flatnonzero(profiles["grain_index"].to_numpy() == number)
    derived = fit["derived"].to_dataset().isel(position=own)
    return [
        round(
            float((derived[name].sel(statistic="q95") - derived[name].sel(statistic="q05")).mean()),
            3,
        )
        for name in ("temperature_C", "pressure_kbar")
    ]


def fractionation() -> dict[str, Any]:
    """Claim 3: a strongly fractionated grain with its own table and with a fixed bulk."""
    profiles, _, truth = suite("near_equilibrium")
    own = read_equilibrium_table(
        DATA / "garnet_tables" / "white2014_fractionation_near_equilibrium.nc"
    )
    tables = {"own table": own, "fixed bulk": own.isel(removed=0, drop=True)}
    found = {}
    for name, table in tables.items():
        record: dict[str, Any] = {}
        with timed(record):
            problem = Histories(profiles, table, growth_law="equilibrium_volume", own_bulk=True)
            fit = problem.fit(seed=0)
        found[name] = record | figures(fit, truth["P_kbar"], truth["T_C"])
    return found


def theria_profiles(
    stage: str, grains: Sequence[int], points: int = 12, sd: float = 0.004, without: str = ""
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Read THERIA_G's garnets with noise: analyses evenly along the radius, and their truth."""
    folder = DATA / "garnet_profiles" / "THERIA_G_synthetic"
    shells = pd.read_csv(folder / f"{stage}.csv")
    if "P_kbar_growth" in shells:
        shells = shells.assign(T_C=shells["T_C_growth"], P_kbar=shells["P_kbar_growth"])
    rims = shells.groupby("generation")["r_outer_um"].max()
    lines = (folder / "theriag_CSD.txt").read_text().splitlines()[1:11]
    density = {str(n + 1): float(line.split()[0]) for n, line in enumerate(lines)}
    rows = []
    for grain in grains:
        own = shells[shells["generation"] == grain].sort_values("r_node_um")
        radius = own["r_node_um"].to_numpy()
        wanted = np.linspace(radius[0], radius[-1], min(points, radius.size))
        rows.append(own.iloc[np.unique(np.searchsorted(radius, wanted).clip(0, radius.size - 1))])
    truth = pd.concat(rows, ignore_index=True)
    exact = truth[FRACTIONS].to_numpy()
    error = sd * np.random.default_rng(0).normal(size=exact.shape)
    noisy = exact + error - exact * error.sum(axis=1, keepdims=True)
    frame = pd.DataFrame(noisy, columns=FRACTIONS).drop(columns=without or [])
    frame["grain"], frame["r_um"] = truth["generation"].astype(str), truth["r_node_um"]
    profiles = garnet_profiles(
        frame,
        sd=sd,
        rim_radius_um={str(n): float(rims[n]) for n in grains},
        number_density={str(n): density[str(n)] for n in grains},
    )
    return profiles, truth


def theria_tables() -> dict[str, xr.Dataset]:
    """Give every table that a user could take, and those of the rock's own bulk."""
    return {
        "white2014": bundled_table("white2014"),
        "pelite_high_pressure": bundled_table("pelite_high_pressure"),
        "fpworldmedian": read_equilibrium_table(DATA / "garnet_tables" / "fpworldmedian_41x41.nc"),
    } | {name: xr.load_dataset(file) for name, file in OWN_TABLES.items()}


def misfit_along_imposed_path(table: xr.Dataset, final: float) -> dict[str, Any]:
    """Read a table along the path that THERIA_G was given: what its garnet errs by there."""
    profiles, _ = theria_profiles("growth_profiles", range(1, 11), points=2)
    _, truth = theria_profiles("growth_profiles", [1], points=60)
    read = EquilibriumTable.from_dataset(table)
    rims, density = (profiles[name].to_numpy() for name in ("rim_radius_um", "number_density"))
    radius = truth["r_node_um"].to_numpy()
    grown = grown_share(radius, rims.max() - rims, density, rims.max(), 1, np)
    at = truth["P_kbar"].to_numpy(), truth["T_C"].to_numpy(), final * grown
    error = read.read(*at) - truth[FRACTIONS].to_numpy()
    return {
        "rms": dict(
            zip(COMPONENTS, np.sqrt((error**2).mean(axis=0)).round(4).tolist(), strict=True)
        ),
        "bias": dict(zip(COMPONENTS, error.mean(axis=0).round(4).tolist(), strict=True)),
        "share of the path without garnet": round(float((read.absence(*at) > 0).mean()), 3),
    }


def theria() -> Iterator[tuple[str, Any]]:
    """Claim 4: tables, offsets, components left out; each case as it ends, for they are slow."""
    tables = theria_tables()
    misfits = {
        name: misfit_along_imposed_path(table, removed_final(table))
        for name, table in tables.items()
    }
    yield "misfit along the imposed path", misfits
    cases: dict[str, dict[str, Any]] = {
        **{name: {"table": name} for name in OWN_TABLES},
        "own bulk, without X_grs": {"table": "own bulk", "without": "X_grs"},
        "own bulk, model error 0.03": {"table": "own bulk", "model_error": 0.03},
        "own bulk, offset 25 C and 2 kbar": {"table": "own bulk", "offset": (25.0, 2.0)},
        "own bulk, not fractionated": {"table": "own bulk", "fixed": True},
        "white2014, no offset": {"table": "white2014", "offset": None},
        "white2014": {"table": "white2014"},
        "white2014, without X_grs": {"table": "white2014", "without": "X_grs"},
        "pelite_high_pressure": {"table": "pelite_high_pressure"},
    }
    for name, case in cases.items():
        record: dict[str, Any] = {}
        profiles, truth = theria_profiles(
            "growth_profiles", range(1, 11), without=case.get("without", "")
        )
        table = tables[case["table"]]
        if case.get("fixed"):
            table = table.isel(removed=0, drop=True)
        problem = Histories(
            profiles, table, growth_law="equilibrium_volume", own_bulk=case["table"] in OWN_TABLES
        )
        widen(problem, case.get("offset", (25.0, 0.5)), table, case.get("model_error"))
        # Where the table does not fit, chains are slow, and longer ones tell nothing more.
        number, chains = (1000, 4) if "data" in case["table"] else (500, 2)
        with timed(record):
            fit = problem.fit(draws=number, tune=number, chains=chains, seed=1)
        record |= figures(fit, truth["P_kbar"], truth["T_C"]) | nearness(fit, truth)
        yield name, record | {"nucleation": nucleation(fit, truth)}


def theria_diffusion() -> Iterator[tuple[str, Any]]:
    """Claim 4, its end: zoning after diffusion, read with diffusion off and on.

    Four grains of 890 to 157 um, which follow the equilibrium volume while the rock heats by 5 C
    every Myr: the clock is given, for no age is. THERIA_G leaves the activation volume out, which
    doubles the published diffusivities here: the last case knows that.
    """
    table = theria_tables()["own bulk and data"]
    grains = [4, 6, 8, 9]
    profiles, truth = theria_profiles("final_profiles_after_diffusion", grains, points=14)
    cases = {"off": (False, None), "on": (True, None), "on, diffusivities known": (True, 2.0)}
    for name, (switch, factor) in cases.items():
        record: dict[str, Any] = {}
        problem = Histories(
            profiles,
            table,
            growth_law="steady_heating",
            diffusion=switch,
            nodes=24,
            own_bulk=True,
        )
        widen(problem, (25.0, 0.5), table, None)
        problem.priors["duration_Myr"] = float(np.ptp(truth["t_Myr_growth"]))
        if switch:
            problem.priors["time_after_growth_Myr"] = float(
                (truth["t_Myr"] - truth["t_Myr_growth"]).min()
            )
        if factor is not None:
            problem.priors["diffusivity_factor"] = factor
        with timed(record):
            fit = problem.fit(draws=1000, tune=1000, chains=4, seed=1)
        record |= figures(fit, truth["P_kbar"], truth["T_C"]) | nearness(fit, truth)
        yield f"diffusion {name}", record


def removed_final(table: xr.Dataset) -> float:
    """Give the garnet volume in the end, which a table of the rock's own bulk knows."""
    return float(table.attrs.get("removed_final", 0.0))


def widen(
    problem: Histories,
    offset: tuple[float, float] | None,
    table: xr.Dataset,
    model_error: float | None,
) -> None:
    """Set the priors that a user would set for a table of other thermodynamic data."""
    if offset is not None:
        problem.priors["temperature_offset_C"] = Prior("Normal", mu=0, sigma=offset[0])
        problem.priors["pressure_offset_kbar"] = Prior("Normal", mu=0, sigma=offset[1])
    if model_error is not None:
        problem.priors["model_error"] = Prior("HalfNormal", sigma=model_error, dims="endmember")
    if "removed_final" in problem.priors and problem.arrays.table.removed[-1] > 0.05:
        problem.priors["removed_final"] = removed_final(table)


def nearness(fit: xr.DataTree, truth: pd.DataFrame) -> dict[str, Any]:
    """Give the share of positions within 25 C and 1 kbar, and the error of the table found."""
    derived = fit["derived"].sel(statistic="q50")
    heat = np.abs(derived["temperature_C"].to_numpy() - truth["T_C"].to_numpy())
    load = np.abs(derived["pressure_kbar"].to_numpy() - truth["P_kbar"].to_numpy())
    errors = fit["posterior"]["model_error"].median(("chain", "draw")).to_numpy()
    return {
        "T within 25 C": round(float((heat < NEAR_C).mean()), 3),
        "P within 1 kbar": round(float((load < NEAR_KBAR).mean()), 3),
        "model error": dict(zip(COMPONENTS, errors.round(4).tolist(), strict=True)),
    }


def nucleation(fit: xr.DataTree, truth: pd.DataFrame) -> dict[str, Any]:
    """Compare temperatures at the innermost analysis of each grain, in order of nucleation."""
    first = truth.groupby("generation", sort=True)["r_node_um"].idxmin().to_numpy()
    found = fit["derived"]["temperature_C"].sel(statistic="q50").to_numpy()[first]
    imposed = truth["T_C"].to_numpy()[first]
    return {
        "T of the innermost analyses": found.round(1).tolist(),
        "imposed": imposed.round(1).tolist(),
        "pairs of grains in the right order": order_kept(found, imposed),
    }


def order_kept(found: np.ndarray, imposed: np.ndarray) -> float:
    """Give the share of pairs that stand in the right order; grains 0.1 C apart are no pair."""
    rows, columns = np.triu_indices(found.size, 1)
    gap = imposed[columns] - imposed[rows]
    told = np.abs(gap) > 0.1
    return round(float((np.sign(found[columns] - found[rows]) == np.sign(gap))[told].mean()), 3)


def linaforma() -> dict[str, Any]:
    """Claim 5: the published point, 576 +- 9 C and 9.4 +- 0.3 kbar."""
    folder = DATA / "garnet_profiles" / "LinaForma"
    table = read_linaforma(folder / "ICSV_forward_model.csv")
    stated = pd.read_csv(folder / "InputA.csv", index_col=0)
    mean, sd = stated.loc["MEAN"].to_dict(), stated.loc["STD"].to_dict()
    answers = {
        f"posterior, model error {error:g}": isopleth_posterior(table, mean, sd, model_error=error)
        for error in (0.0, 0.05)
    }
    answers["nodes of least misfit"] = isopleth_intersection(table, mean, sd, draws=2000)
    return {
        name: {
            "T": [round(float(answer["temperature"].sel(statistic=k)), 1) for k in ("mean", "sd")],
            "P": [round(float(answer["pressure"].sel(statistic=k)), 2) for k in ("mean", "sd")],
        }
        | ({"misfit": round(float(answer["misfit"].min()), 1)} if "misfit" in answer else {})
        for name, answer in answers.items()
    }


def traverse() -> dict[str, Any]:
    """Claim 6: half of a real traverse, core to rim, with the high-pressure table."""
    file = DATA / "garnet_profiles" / "diffusiongarnet" / "1D" / "Data_Grt_1D.txt"
    raw = pd.read_csv(file, sep="\t")
    frame = pd.DataFrame({name: raw[name.replace("_", "")] for name in FRACTIONS})
    distance = raw["Distance (um)"]
    core = 0.5 * float(distance.min() + distance.max())
    frame["r_um"] = core - distance
    half = frame[frame["r_um"] >= 0].iloc[::-15]
    profiles = garnet_profiles(half, sd=0.005, rim_radius_um={"1": core - float(distance.min())})
    problem = Histories(
        profiles, bundled_table("pelite_high_pressure"), growth_law="equilibrium_volume"
    )
    record: dict[str, Any] = {"analyses": profiles.sizes["position"]}
    with timed(record):
        fit = problem.fit(draws=500, tune=500, seed=0)
    bulk = next(item for item in check(fit) if item.name == "bulk of the table")
    errors = fit["posterior"]["model_error"].median(("chain", "draw")).to_numpy()
    return record | {
        "headline": problem.headline(fit),
        "bulk of the table": [bulk.verdict, bulk.finding],
        "model error": dict(zip(COMPONENTS, errors.round(4).tolist(), strict=True)),
        **sampler(fit, check(fit)),
    }


PARTS: dict[str, Callable[[], dict[str, Any] | Iterator[tuple[str, Any]]]] = {
    "1 synthetic path": synthetic_path,
    "2 grains and ages": grains_and_ages,
    "3 fractionation": fractionation,
    "4 THERIA_G": theria,
    "4 THERIA_G, diffusion": theria_diffusion,
    "5 LinaForma": linaforma,
    "6 real traverse": traverse,
}


def main() -> None:
    """Run the parts and store what they find as it comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list("123456"))
    wanted = parser.parse_args().only
    logging.getLogger("petro_models").setLevel(logging.ERROR)
    record = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name, part in PARTS.items():
        if not {name, name[0]} & set(wanted):
            continue
        own: dict[str, Any] = {}
        answer = part()
        for key, value in answer.items() if isinstance(answer, dict) else answer:
            own[key] = value
            print(name, key, json.dumps(value), flush=True)
            record |= {
                "command": "python benchmarks/real_histories.py",
                "date": time.strftime("%Y-%m-%d"),
                "cores": os.cpu_count(),
                "versions": {n: version(n) for n in ("petro_models", "pymc", "numpyro", "jax")},
                name: own,
            }
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
