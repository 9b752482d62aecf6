"""Many problems at once: one compiled sampler for all that are alike, a status for every one.

What takes the time of a small fit is compiling it. Models that differ only in their numbers are
compiled once (`lifting`), whitened one by one and sampled by one program (`batch_sampler`).
Problems with a closed form need no compiling at all: their draws are exact, independent, and blind
to no mode, so that they are enumerated one after the other.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import jax
import xarray as xr

from petro_models.cluster.processes import number_of_cores
from petro_models.errors import FitError, nearest
from petro_models.inference import progress
from petro_models.inference.batch_results import Outcome, collate, judge
from petro_models.inference.batch_sampler import (
    Climber,
    Kernel,
    Sampled,
    Settings,
    item_seed,
    sample_members,
)
from petro_models.inference.chains import sampling_statistics
from petro_models.inference.devices import choose_device, small_work
from petro_models.inference.draws import Draws, posterior_dataset, quiet_libraries
from petro_models.inference.lifting import Family, trace
from petro_models.inference.nuts import Point, refuse_discrete
from petro_models.inference.summit import Summit

if TYPE_CHECKING:
    from petro_models.problem import InverseProblem

type BatchMethod = Literal["auto", "exact", "hmc", "nuts"]
STEPS_A_DRAW = 4
"""Gradients that a draw of an item is thought to take when a device is chosen."""
METHODS: tuple[str, ...] = ("auto", "exact", "hmc", "nuts")

logger = logging.getLogger("petro_models")


@dataclass(frozen=True)
class _Member:
    """One item that waits to be sampled with its family."""

    item: int
    problem: "InverseProblem"
    initial: Point
    start: Point
    caution: str | None


@dataclass
class _Group:
    """A family of models and the items that they belong to."""

    family: Family
    members: list[_Member] = field(default_factory=list)


@small_work()
def fit_many(
    problems: "Sequence[InverseProblem | None]",
    *,
    method: BatchMethod = "auto",
    draws: int = 1000,
    chains: int = 4,
    tune: int = 500,
    seed: int = 0,
    target_accept: float = 0.9,
    keep_draws: bool = False,
    batch_size: int | None = None,
    starts: Sequence[Point] | None = None,
    progressbar: bool | None = None,
) -> xr.DataTree:
    """Fit many problems, those of one structure with one compiled sampler.

    A problem that cannot be fitted gives its status and spares the others. The result of an item
    depends on its data, the seed and its number, not on the batch size or on its neighbours.

    Parameters
    ----------
    problems
        Of any kinds and structures; None stands for an item without data.
    method
        ``auto`` takes ``exact`` where a problem has a closed form, and else ``hmc``, NumPyro's HMC
        in whitened coordinates with trajectories of a set length: side by side on a GPU, NUTS
        would wait for the longest of all its trees. ``nuts`` does so, and goes further where a
        posterior is far from normal. Either samples about one optimum.
    draws, chains
        Kept draws of each chain, and chains of each item.
    tune
        Adaptation steps.
    seed
        Same seed, same results.
    target_accept
        Acceptance aimed at.
    keep_draws
        Whether all draws are kept, one small fit an item: a thousand items may fill the memory.
    batch_size
        Items that one call of the compiled program samples; by default as many as there are, up
        to 64, or 1,024 on a GPU, where all run side by side. The rest of the last batch is filled
        with repeated items, so that one program is compiled.
    starts
        Where to climb from, in natural units, one for each problem; by default its own start.
    progressbar
        Whether to show one; by default where someone watches.

    Returns
    -------
    xr.DataTree
        ``status``: dims (item), a code (``ok``; ``multimodal``, where a sampler about one optimum
        misses part of the posterior; ``divergent``; ``not_converged``; ``no_data``; ``failed``), a
        message, the method, R-hat and effective draws of the worst quantity, divergences, leapfrog
        steps a draw, and the number of the ``layout``. ``layout_0`` and so on: mean, sd, q05, q50
        and q95 of every free variable, dims (item, statistic, ...), for items whose variables have
        the same dims and sizes. With `keep_draws` also ``items/<number>`` with ``posterior`` and
        ``sample_stats``: fits that ``problems[number].derive`` takes.

    Raises
    ------
    FitError
        If the method is unknown, a number is below 1, or there are not as many starts as problems.

    Examples
    --------
    >>> problems = [petro.MassTransfer(table) for table in tables]  # doctest: +SKIP
    >>> fits = petro.fit_many(problems, seed=1)  # doctest: +SKIP
    >>> fits["layout_0"]["mass_change"].sel(statistic="q50")  # doctest: +SKIP
    """
    if method not in METHODS:
        raise FitError(f"no method for many fits is named '{method}': {nearest(method, METHODS)}")
    numbers = {"draws": draws, "chains": chains, "tune": tune, "batch_size": batch_size or 1}
    for name, number in numbers.items():
        if number < 1:
            raise FitError(f"{name} must be at least 1; got {number}")
    if starts is not None and len(starts) != len(problems):
        raise FitError(f"{len(starts)} starts were given for {len(problems)} problems")
    begin = time.perf_counter()
    kernel: Kernel = "nuts" if method == "nuts" else "hmc"
    settings = Settings(draws, tune, chains, kernel, target_accept, seed)
    run = _Run(settings, keep_draws, starts)
    show = progress.is_watched() if progressbar is None else progressbar
    with quiet_libraries(), progress.bar("fits", show) as update:
        groups = run.prepare(problems, method, lambda share, note: update(0.5 * share, note))
        for number, group in enumerate(groups):
            run.sample(group, batch_size)
            update(0.5 + 0.5 * (number + 1) / len(groups), f"{number + 1} structures sampled")
        outcomes = [run.outcomes[item] for item in range(len(problems))]
        counts = Counter(outcome.status for outcome in outcomes)
        said = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        update(1.0, said or "nothing to fit")
    attributes = {
        "seed": seed,
        "structures_compiled": len(groups),
        "device": ", ".join(sorted(run.devices)) or "cpu",
        "wall_seconds": time.perf_counter() - begin,
        "versions": json.dumps(
            {name: version(name) for name in ("petro_models", "numpyro", "jax")}
        ),
    }
    return collate(outcomes, attributes)


@dataclass
class _Run:
    """The state of one call: what became of the items so far."""

    settings: Settings
    keep_draws: bool
    starts: Sequence[Point] | None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)

    def prepare(
        self,
        problems: "Sequence[InverseProblem | None]",
        method: BatchMethod,
        update: Callable[[float, str], None],
    ) -> list[_Group]:
        """Sample what has a closed form; sort the others by structure."""
        groups: list[_Group] = []
        for item, problem in enumerate(problems):
            try:
                self._prepare(item, problem, method, groups)
            except Exception as error:  # noqa: BLE001 - no item may cost the others their fit
                self._fail(item, error)
            update((item + 1) / len(problems), f"{item + 1} of {len(problems)} prepared")
        return groups

    def _prepare(
        self,
        item: int,
        problem: "InverseProblem | None",
        method: BatchMethod,
        groups: list[_Group],
    ) -> None:
        if problem is None:
            self.outcomes[item] = Outcome("no_data", "no problem was given")
            return
        chosen, reason = (method, "") if method != "auto" else problem._choose_method()
        if chosen == "exact":
            seed = item_seed(self.settings.seed, item)
            result = problem._exact(self.settings.draws, self.settings.chains, seed)
            self._judge(item, problem, result, "exact", None)
            return
        if chosen == "smc":
            self.outcomes[item] = Outcome("multimodal", f'{reason}: fit it alone, method="smc"')
            return
        model = problem.model
        if not model.observed_RVs:
            self.outcomes[item] = Outcome("no_data", "the model observes nothing")
            return
        refuse_discrete(model)
        start = self._start(item, problem)
        caution = problem.competing_optima() if method != "auto" else None
        traced = trace(model)
        member = _Member(item, problem, traced.initial, start, caution)
        for group in groups:
            if group.family.admit(traced):
                group.members.append(member)
                return
        groups.append(_Group(Family(traced), [member]))

    def _start(self, item: int, problem: "InverseProblem") -> Point:
        if self.starts is not None:
            return self.starts[item]
        return problem.start_of_climb() or next(iter(problem._starting_points()), {})

    def sample(self, group: _Group, batch_size: int | None) -> None:
        """Whiten and sample all members of a family."""
        left = list(group.members)
        try:
            lifted = group.family.lift()
            climber = Climber(lifted)
            rows, summits, ready = [], [], []
            for row, member in enumerate(group.members):
                try:
                    summits.append(climber.climb(row, member.initial, member.start))
                except Exception as error:  # noqa: BLE001 - as above
                    self._fail(member.item, error)
                    left.remove(member)
                else:
                    rows.append(row)
                    ready.append(member)
            items = [member.item for member in ready]
            device = self._device(climber, rows, summits)
            sampled = sample_members(
                lifted, rows, items, summits, self.settings, batch_size, device
            )
            for member, drawn, summit in zip(ready, sampled, summits, strict=True):
                result = self._draws(member.problem, drawn, summit.gradient_norm)
                left.remove(member)
                self._judge(
                    member.item, member.problem, result, self.settings.kernel, member.caution
                )
        except Exception as error:  # noqa: BLE001 - as above
            for member in left:
                self._fail(member.item, error)

    def _device(
        self, climber: Climber, rows: Sequence[int], summits: Sequence[Summit]
    ) -> jax.Device:
        """Choose the device for the members that are ready."""
        if not rows:
            return choose_device(0.0)
        drawn = (self.settings.tune + self.settings.draws) * self.settings.chains * len(rows)

        def seconds_on_cpu() -> float:
            one = climber.seconds_a_gradient(rows[0], summits[0].optimum)
            return one * STEPS_A_DRAW * drawn / number_of_cores()

        device = choose_device(seconds_on_cpu)
        self.devices.add(device.platform)
        return device

    def _draws(self, problem: "InverseProblem", drawn: Sampled, gradient_norm: float) -> Draws:
        posterior = posterior_dataset(problem.model, drawn.values)
        sampler = f"{self.settings.kernel.upper()} in whitened coordinates, many at once"
        return Draws(
            posterior,
            sampling_statistics(drawn.statistics, posterior),
            f"{sampler} (numpyro {version('numpyro')})",
            {
                "tune": self.settings.tune,
                "target_accept": self.settings.target_accept,
                "gradient_norm_at_optimum": gradient_norm,
            },
        )

    def _judge(
        self,
        item: int,
        problem: "InverseProblem",
        result: Draws,
        method: str,
        caution: str | None,
    ) -> None:
        seed = item_seed(self.settings.seed, item)
        attributes = problem.describe(result, seed) if self.keep_draws else None
        self.outcomes[item] = judge(result, method, caution, attributes)

    def _fail(self, item: int, error: Exception) -> None:
        logger.debug("item %d failed", item, exc_info=error)
        self.outcomes[item] = Outcome("failed", f"{type(error).__name__}: {error}")
