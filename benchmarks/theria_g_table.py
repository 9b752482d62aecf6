"""Make the garnet table of THERIA_G's example rock, less the garnet that was measured.

    python benchmarks/theria_g_table.py FILE      (needs burnman and autograd; about an hour)

The levels of ``removed`` are the bulk less the garnet that had grown, reckoned from the profile and
the number of grains alone (Evans 2004, J. metamorphic Geol. 22, 547-557): neither pressure nor
temperature of the imposed path is read. THERIA_G counts grains in a volume that holds pores and
water; the rims are free of Mn, so that all Mn is in garnet, and this sets the garnet's volume.
"""

import argparse
import os
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from gibbs_minimiser import ELEMENTS, Rock

FOLDER = Path(os.environ["PETRO_MODELS_DATA"]) / "garnet_profiles" / "THERIA_G_synthetic"
BULK = {
    "Si": 60.7665, "Al": 19.86, "Fe": 4.9931, "Mn": 0.0636, "Mg": 3.9745, "Ca": 2.3637,
    "Na": 3.4037, "K": 4.5749,
}  # fmt: skip
"""Mol of cations, from THERIN; iron is ferrous, water in excess."""
LEAST_MN = 1e-3
REMOVED = np.array([0, 0.001, 0.003, 0.006, 0.010, 0.016, 0.028, 0.055])
PRESSURE_KBAR = np.linspace(4.0, 11.2, 17)
TEMPERATURE_C = np.linspace(468.0, 612.0, 17)
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
    bulk = np.array([BULK.get(name, 0.0) for name in (*ELEMENTS, "O")])
    left = np.stack([bulk - [np.interp(v, volume, column) for column in taken.T] for v in REMOVED])
    mn = ELEMENTS.index("Mn")
    left[:, mn] = np.maximum(left[:, mn], LEAST_MN)
    return left, float(volume[-1])


def main() -> None:
    """Compute and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    file = parser.parse_args().file
    rock = Rock(np.array([BULK.get(name, 0.0) for name in (*ELEMENTS, "O")]))
    rock.set_state(6.0, 520.0)
    bulks, final = removed_bulks(1e6 * rock.garnet()[2])
    values = np.full((REMOVED.size, PRESSURE_KBAR.size, TEMPERATURE_C.size, 5), np.nan)
    missing, known = 0, None
    for (i, pressure), (j, temperature) in product(
        enumerate(PRESSURE_KBAR), enumerate(TEMPERATURE_C)
    ):
        rock.set_state(pressure, temperature)
        for level, bulk in enumerate(bulks):
            rock.bulk = bulk
            for start in (known, None):
                try:
                    fractions, mode, _, known = rock.garnet(start)
                    values[level, i, j] = [*fractions, mode]
                    break
                except (RuntimeError, np.linalg.LinAlgError):
                    known = None
            else:
                missing += 1
        print(f"{pressure:g} kbar, {temperature:g} C", flush=True)
    write(values, final, missing, file)


def write(values: np.ndarray, final: float, missing: int, file: str) -> None:
    """Write the table with what it is made of; a node without a result is the mean of two."""
    dims = ("removed", "pressure_kbar", "temperature_C")
    for level, i, j in np.argwhere(np.isnan(values[..., 4])):
        values[level, i, j] = values[level, i, [j - 1, min(j + 1, TEMPERATURE_C.size - 1)]].mean(0)
    names = ("X_alm", "X_prp", "X_grs", "X_sps", "garnet_mode")
    table = xr.Dataset(
        {
            name: (dims, values[..., k].astype("float32"), {"units": "1"})
            for k, name in enumerate(names)
        },
        {
            "removed": ("removed", REMOVED, {"units": "1"}),
            "pressure_kbar": ("pressure_kbar", PRESSURE_KBAR, {"units": "kbar"}),
            "temperature_C": ("temperature_C", TEMPERATURE_C, {"units": "degree_Celsius"}),
        },
        {
            "title": "equilibrium garnet of THERIA_G's example, less the garnet that was measured",
            "engine": "benchmarks/gibbs_minimiser.py over BurnMan 2.1.0",
            "database": "White et al. (2014) on Holland & Powell (2011)",
            "bulk_name": "THERIN: " + " ".join(f"{k} {v:g}" for k, v in BULK.items()) + " mol",
            "removed_final": final,
            "nodes_without_result": missing,
        },
    )
    table.to_netcdf(file, encoding={name: {"zlib": True} for name in names})


if __name__ == "__main__":
    main()
