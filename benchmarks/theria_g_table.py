"""Make the garnet table of THERIA_G's example rock, less the garnet that was measured.

    python benchmarks/theria_g_table.py FILE [--data white-2014] [--without zo] [--nodes 13]

The data are those that the example was computed with (Holland & Powell 1998; ten minutes), or those
of White et al. (2014), which need burnman, autograd and sympy. The example seems to have been
computed without zoisite beside clinozoisite: where its first garnet grew (478 C, 4.82 kbar) garnet
just becomes stable without, its fractions within 0.005; with zoisite it is 0.6 kJ/mol short of it
and has 0.016 less grossular.

The levels of ``removed`` are the bulk less the garnet that had grown, reckoned from the profile and
the number of grains alone (Evans 2004, J. metamorphic Geol. 22, 547-557): neither pressure nor
temperature of the imposed path is read. THERIA_G counts grains in a volume that holds pores and
water; the rims are free of Mn, so that all Mn is in garnet, and this sets the garnet's volume.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from gibbs_minimiser import ELEMENTS, Data, Rock

FOLDER = Path(os.environ["PETRO_MODELS_DATA"]) / "garnet_profiles" / "THERIA_G_synthetic"
BULK = {
    "Si": 60.7665, "Al": 19.86, "Fe": 4.9931, "Mn": 0.0636, "Mg": 3.9745, "Ca": 2.3637,
    "Na": 3.4037, "K": 4.5749,
}  # fmt: skip
"""Mol of cations, from THERIN; iron is ferrous, water in excess."""
LEAST_MN = 2e-3
"""Mol; below, Mn is left out."""
REMOVED = np.array([0, 0.001, 0.003, 0.006, 0.009, 0.0125, 0.019, 0.028, 0.04, 0.05, 0.062, 0.08])
PRESSURE_KBAR = 4.0, 11.2
TEMPERATURE_C = 468.0, 612.0
MOLAR_VOLUME_CM3 = np.array([115.11, 113.18, 125.35, 117.92])
"""Almandine, pyrope, grossular, spessartine (Holland & Powell 2011), cm3/mol."""


def removed_bulks(solid_volume_cm3: float) -> tuple[np.ndarray, float]:
    """Give the bulk at each level of ``removed``, and the garnet volume in the end."""
    shells = pd.read_csv(FOLDER / "growth_profiles.csv")
    rims = shells.groupby("generation")["r_outer_um"].max().to_numpy()
    first = shells[shells["generation"] == 1].sort_values("r_outer_um")
    size_classes = (FOLDER / "theriag_CSD.txt").read_text().splitlines()[1:11]
    number_per_cm3 = np.array([float(line.split()[0]) for line in size_classes])
    edge = np.concatenate([[0.0], first["r_outer_um"].to_numpy()])
    radius_cm = np.clip(edge[:, None] - (rims.max() - rims), 0, None) * 1e-4
    volume = (4 / 3 * np.pi * radius_cm**3 * number_per_cm3).sum(axis=1)
    fractions = first[["X_alm", "X_prp", "X_grs", "X_sps"]].to_numpy()
    mol = np.diff(volume) * solid_volume_cm3 / (fractions @ MOLAR_VOLUME_CM3)
    share_of_mn = 3 * (mol * fractions[:, 3]).sum() / BULK["Mn"]
    mol, volume = mol / share_of_mn, volume / share_of_mn
    taken = np.zeros((mol.size + 1, 10))
    for column, element in enumerate(("Fe", "Mg", "Ca", "Mn")):
        taken[1:, ELEMENTS.index(element)] = np.cumsum(3 * fractions[:, column] * mol)
    taken[1:, ELEMENTS.index("Si")], taken[1:, ELEMENTS.index("Al")] = (
        np.cumsum(3 * mol),
        np.cumsum(2 * mol),
    )
    left = np.stack(
        [bulk() - [np.interp(v, volume, column) for column in taken.T] for v in REMOVED]
    )
    mn = ELEMENTS.index("Mn")
    left[:, mn] = np.where(left[:, mn] < LEAST_MN, 0.0, left[:, mn])
    return left, float(volume[-1])


def bulk() -> np.ndarray:
    """Give the ten components of the rock before any garnet grew."""
    return np.array([BULK.get(name, 0.0) for name in (*ELEMENTS, "O")])


def data_named(name: str, without: tuple[str, ...]) -> tuple[Data, str]:
    """Give a thermodynamic data set and what it is called."""
    if name == "white-2014":
        import white_2014

        return white_2014.White2014(without), white_2014.NAME
    import holland_powell_1998

    return holland_powell_1998.HollandPowell1998(without), holland_powell_1998.NAME


def main() -> None:
    """Compute and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument(
        "--data", choices=("holland-powell-1998", "white-2014"), default="holland-powell-1998"
    )
    parser.add_argument("--without", nargs="*", default=[], help="pure phases to leave out")
    parser.add_argument("--nodes", type=int, default=13, help="along pressure and temperature")
    options = parser.parse_args()
    data, name = data_named(options.data, tuple(options.without))
    whole = Rock(data, bulk())
    whole.set_state(6.0, 520.0)
    bulks, final = removed_bulks(whole.equilibrium().volume_cm3)
    pressures = np.linspace(*PRESSURE_KBAR, options.nodes)
    temperatures = np.linspace(*TEMPERATURE_C, options.nodes)
    values = np.stack([along(Rock(data, left), pressures, temperatures) for left in bulks])
    missing = int(np.isnan(values[..., 4]).sum())
    dims = ("removed", "pressure_kbar", "temperature_C")
    names = ("X_alm", "X_prp", "X_grs", "X_sps", "garnet_mode")
    table = xr.Dataset(
        {
            name: (dims, values[..., k].astype("float32"), {"units": "1"})
            for k, name in enumerate(names)
        },
        {
            "removed": ("removed", REMOVED, {"units": "1"}),
            "pressure_kbar": ("pressure_kbar", pressures, {"units": "kbar"}),
            "temperature_C": ("temperature_C", temperatures, {"units": "degree_Celsius"}),
        },
        {
            "title": "equilibrium garnet of THERIA_G's example, less the garnet that was measured",
            "engine": "benchmarks/gibbs_minimiser.py",
            "database": name + "".join(f", without {phase}" for phase in options.without),
            "bulk_name": "THERIN: " + " ".join(f"{k} {v:g}" for k, v in BULK.items()) + " mol",
            "removed_final": final,
            "nodes_without_result": missing,
        },
    )
    table.to_netcdf(options.file, encoding={name: {"zlib": True} for name in names})


def along(rock: Rock, pressures: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
    """Give the four fractions of garnet and its mode at every node (pressure, temperature, 5).

    Where garnet is not stable the composition is of that nearest to being so, and the mode 0; NaN
    where the minimum was not found.
    """
    values = np.full((pressures.size, temperatures.size, 5), np.nan)
    known = None
    for i, pressure in enumerate(pressures):
        for j in range(temperatures.size)[:: 1 if i % 2 == 0 else -1]:
            rock.set_state(pressure, temperatures[j])
            for start in (known, None):
                try:
                    found = rock.equilibrium(start)
                except (RuntimeError, np.linalg.LinAlgError):
                    known = None
                    continue
                known = found.phases
                values[i, j] = [*found.garnet, found.mode]
                break
    print(
        f"Mn {rock.bulk[ELEMENTS.index('Mn')]:.4f} mol: {int((values[..., 4] > 0).sum())} nodes "
        f"with garnet, {int(np.isnan(values[..., 4]).sum())} without a result",
        flush=True,
    )
    return values


if __name__ == "__main__":
    main()
