"""Phases of which a few pixels lie far from the rest: cores of garnets, and what is none."""

from pathlib import Path

import numpy as np
import pytest
from small_phase_maps import seeded_problem

import petro_models as petro
from petro_models.phase_maps.anchoring import with_anchors
from petro_models.phase_maps.anchors import find_anchors
from petro_models.phase_maps.cells import make_cells
from petro_models.phase_maps.observations import flat_counts
from petro_models.phase_maps.pixels import PixelEngine

GARNET, QUARTZ = np.array([400.0, 300.0, 60.0, 30.0]), np.array([900.0, 20.0, 30.0, 20.0])
TOWARDS_CORE = np.array([0.0, -120.0, 0.0, 160.0])
SENSITIVITY = np.full(4, 20.0)


def draw_garnet(number, core, generator):
    """Draw counts of a garnet that exchanges two elements, and of its core, which has another."""
    mean = GARNET + generator.normal(size=(number, 1)) * np.array([0.0, 25.0, -20.0, 0.0])
    inwards = generator.uniform(size=(int(core * number), 1))
    mean[: len(inwards)] += inwards**2 * TOWARDS_CORE
    return generator.poisson(mean.clip(0))


def anchors_of(counts, axes=2):
    cells = make_cells(["garnet", "quartz"])
    first = np.stack([GARNET, QUARTZ])
    return find_anchors(counts, first, cells, np.zeros(4), SENSITIVITY, [axes, 0])


def test_a_core_unlike_the_rest_gives_its_phase_heavy_tails_and_axes_towards_it(generator):
    quartz = generator.poisson(QUARTZ, size=(2000, 4))
    anchors = anchors_of(np.concatenate([draw_garnet(4000, 0.03, generator), quartz]))
    assert anchors.heavy_tailed.tolist() == [True, False]
    assert anchors.class_weight[-1] < 1e-3
    _, missed, *_ = np.linalg.lstsq(anchors.axis_loading.T, TOWARDS_CORE)
    # The axes of a phase are known to a rotation: together they point to the core.
    assert missed[0] < 0.05 * TOWARDS_CORE @ TOWARDS_CORE


def test_without_a_core_or_with_axes_ruled_out_no_phase_has_heavy_tails(generator):
    quartz = generator.poisson(QUARTZ, size=(2000, 4))
    even = np.concatenate([draw_garnet(4000, 0.0, generator), quartz])
    assert not anchors_of(even).heavy_tailed.any()
    cored = np.concatenate([draw_garnet(4000, 0.03, generator), quartz])
    none = anchors_of(cored, axes=0)
    assert not none.heavy_tailed.any()
    # Nothing explains then what is more than a few standard deviations off.
    assert none.class_weight[-1] > 0.3 * 0.03 * 4 / 6


def test_mixtures_that_a_wider_phase_would_take_are_no_tails(generator):
    share = np.concatenate([np.zeros(3500), generator.uniform(0, 1, 500), np.ones(2000)])[:, None]
    garnet = GARNET + generator.normal(size=(6000, 1)) * np.array([0.0, 25.0, -20.0, 0.0])
    counts = generator.poisson(((1 - share) * garnet + share * QUARTZ).clip(0))
    assert not anchors_of(counts).heavy_tailed.any()


@pytest.mark.parametrize(("path", "seed"), [("clockwise", 0), ("heating", 503), ("pulse", 13)])
def test_manganese_rich_cores_of_a_thin_section_are_garnet(path, seed):
    section = petro.simulate_thin_section(120, path, seed=seed)
    observed = petro.PhaseMaps(section.maps, section.spots, pixels=500).observations
    assert [observed.cells.phases[k] for k in observed.cells.heavy_tailed] == ["Garnet"]
    garnet = observed.cells.phases.index("Garnet")
    manganese = section.truth["composition"].sel(oxide="MnO").to_numpy().ravel()
    inside = section.truth["phase_fraction"].sel(phase="Garnet").to_numpy().ravel() > 0.999
    core = inside & (manganese > np.quantile(manganese[inside], 0.98))
    answers = PixelEngine.at_anchors(observed).compute(flat_counts(section.maps)[core])
    # They hold 3 to 14 wt%, on average 1.4 to 3 times the median of the garnets.
    assert answers.unknown.mean() < 0.02
    assert (answers.fraction[:, garnet] > 0.95).mean() > 0.97
    of_manganese = observed.coords["oxide"].index("MnO")
    found = answers.composition[:, of_manganese]
    # Estimates of single pixels lean to the phase's mean: found 4.6, 7.2, 9.0 for 5.1, 7.9, 9.2.
    assert found.mean() == pytest.approx(manganese[core].mean(), rel=0.2)


def test_data_stored_before_phases_could_have_heavy_tails_have_none():
    problem, _ = seeded_problem(3, ("Garnet",))
    before = problem.data.drop_vars("anchor_heavy_tailed")
    read = with_anchors(before, dict(problem.options))
    assert not read["anchor_heavy_tailed"].any()
    assert read.drop_vars("anchor_heavy_tailed").identical(before)


def test_contamination_on_the_alpine_map_is_not_taken_for_tails(real_data: Path):
    maps, spots, seeds = petro.datasets.alps()
    phases = {"Chloritoid": None, "Chlorite": None, "Phengite": None, "Quartz": "SiO2"}
    problem = petro.PhaseMaps(maps, spots, seeds=seeds, phases=phases)
    assert not problem.data["anchor_heavy_tailed"].any()
    # Quartz is SiO2: what varies there is none of its composition.
    assert not [str(name) for name in problem.data["axis_name"].values if "Quartz" in str(name)]
