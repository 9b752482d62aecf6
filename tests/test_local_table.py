"""Tables for local bulks: recovered mixtures, errors of the bulk, and what no mixture explains."""

import numpy as np
import pytest
import xarray as xr

import petro_models as petro
from petro_models.errors import DataError
from petro_models.thermodynamics.bundled import bundled_table
from petro_models.thermodynamics.tables import COMPONENTS, validate_table

IRON_RICH = {"SiO2": 60.0, "Al2O3": 18.0, "FeO": 9.0, "MgO": 3.0, "CaO": 1.0}
LIME_RICH = {"SiO2": 59.0, "Al2O3": 17.0, "FeO": 7.0, "MgO": 3.5, "CaO": 3.0}


@pytest.fixture(scope="module")
def tables() -> dict[str, tuple[xr.Dataset, dict[str, float]]]:
    """The same grid with and without garnet taken out stands for two bulks."""
    table = bundled_table("white2014")
    return {
        "iron-rich": (table.isel(removed=0, drop=True), IRON_RICH),
        "lime-rich": (table.isel(removed=4, drop=True), LIME_RICH),
    }


def mixture(share: float) -> dict[str, float]:
    """Both bulks, each brought to 100."""
    ends = [{k: 100 * v / sum(b.values()) for k, v in b.items()} for b in (IRON_RICH, LIME_RICH)]
    return {oxide: (1 - share) * ends[0][oxide] + share * ends[1][oxide] for oxide in IRON_RICH}


def local(
    content: dict[str, float], relative: float, shared: dict[str, float] | None = None
) -> xr.Dataset:
    """A local bulk as `local_bulk` gives it; Na2O is in no table's bulk."""
    values = {**content, "Na2O": 2.0}
    shapes = np.array([[(shared or {}).get(oxide, 0.0) for oxide in values]])
    return xr.Dataset(
        {
            "bulk": ("oxide", list(values.values())),
            "bulk_independent_sd": ("oxide", [relative * value for value in values.values()]),
            "bulk_shared_error": (("shared_shape", "oxide"), shapes),
        },
        {"oxide": list(values)},
    )


def test_a_mixture_of_bulks_has_the_mixture_of_the_tables(tables: dict) -> None:
    found = petro.table_for_bulk(local(mixture(0.3), 0.002), tables)
    # The sum of the weights is held by a penalty; the rest is exact.
    assert found.weights.to_numpy() == pytest.approx([0.7, 0.3], abs=1e-4)
    assert float(np.abs(found.mismatch).max()) < 1e-3
    for name in COMPONENTS:
        first, second = (table[f"X_{name}"] for table, _ in tables.values())
        both = np.isfinite(first) & np.isfinite(second)
        expected = (0.7 * first + 0.3 * second).where(both)
        assert float(np.abs(found.table[f"X_{name}"] - expected).max()) < 1e-4
    validate_table(found.table)


def test_the_error_of_the_bulk_goes_on_to_the_model_error(tables: dict) -> None:
    sharp, blurred = (petro.table_for_bulk(local(mixture(0.5), sd), tables) for sd in (0.002, 0.04))
    assert float(blurred.weights_sd[0]) > 3 * float(sharp.weights_sd[0])
    assert (blurred.model_error > 3 * sharp.model_error).all()
    # To first order the weight's sd, times what the tables differ by.
    ends = [np.stack([t[f"X_{n}"].to_numpy() for n in COMPONENTS]) for t, _ in tables.values()]
    differ = np.sqrt(np.nanmean((ends[0] - ends[1]) ** 2, axis=(1, 2)))
    assert sharp.model_error.to_numpy() == pytest.approx(
        differ * float(sharp.weights_sd[0]), rel=0.02
    )


def test_an_error_that_oxides_share_counts_as_one(tables: dict) -> None:
    # Too much of everything is not seen after closure; the same sizes with opposite signs are.
    content = mixture(0.5)
    together = {oxide: 0.05 * value for oxide, value in content.items()}
    opposed = {"FeO": 0.05 * content["FeO"], "CaO": -0.05 * content["CaO"]}
    base, same, other = (
        float(petro.table_for_bulk(local(content, 0.002, shared), tables).weights_sd[0])
        for shared in (None, together, opposed)
    )
    assert same == pytest.approx(base, rel=0.05)
    assert other > 1.2 * base


def test_what_no_mixture_explains_is_said_and_widens_the_error(tables: dict) -> None:
    inside = petro.table_for_bulk(local(mixture(0.5), 0.01), tables)
    strange = petro.table_for_bulk(local(mixture(0.5) | {"MgO": 6.0}, 0.01), tables)
    assert float(np.abs(strange.mismatch.sel(oxide="MgO"))) > 10
    assert (strange.model_error > 2 * inside.model_error).all()
    beyond = petro.table_for_bulk(local(mixture(1.5), 0.01), tables)
    assert beyond.weights.to_numpy() == pytest.approx([0.0, 1.0], abs=1e-4)
    assert float(np.abs(beyond.mismatch).max()) > 3


def test_tables_that_cannot_be_mixed_are_refused(tables: dict) -> None:
    bulk = local(mixture(0.5), 0.01)
    first = dict(list(tables.items())[:1])
    with pytest.raises(DataError, match="at least two"):
        petro.table_for_bulk(bulk, first)
    shifted = tables["lime-rich"][0].assign_coords(
        temperature_C=tables["lime-rich"][0]["temperature_C"] + 1
    )
    with pytest.raises(DataError, match="'hot' has other values of temperature_C than 'iron-rich'"):
        petro.table_for_bulk(bulk, first | {"hot": (shifted, LIME_RICH)})
    with pytest.raises(DataError, match="fewer than two oxides"):
        petro.table_for_bulk(bulk, first | {"other": (tables["lime-rich"][0], {"ZrO2": 1.0})})
