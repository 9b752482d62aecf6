"""One compiled sampler for all models of a family: whitened one by one, sampled by one program."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer import HMC, NUTS

from petro_models.inference.chains import advance
from petro_models.inference.devices import devices_of_batch, seconds_of, small_work
from petro_models.inference.lifting import Data, Lifted
from petro_models.inference.nuts import Point
from petro_models.inference.summit import Summit, find_summit
from petro_models.inference.whitened import TRAJECTORY

type Kernel = Literal["hmc", "nuts"]
KERNELS: dict[str, type[HMC]] = {"hmc": HMC, "nuts": NUTS}
LARGEST_BATCH = {True: 64, False: 1024}
"""Items that one call samples on a CPU, and on a GPU, where a step takes as long for few as for
many."""
SHARES = 4
"""Batches are a multiple of this, so that devices share them evenly."""


@dataclass(frozen=True)
class Settings:
    """How every item is sampled.

    Attributes
    ----------
    draws, tune, chains
        Kept draws and adaptation steps of each chain, and chains of each item.
    kernel
        ``hmc`` with trajectories of a set length, or ``nuts``.
    target_accept
        Acceptance that the step size aims at.
    seed
        Of the whole run; every item derives its own from it.
    """

    draws: int
    tune: int
    chains: int
    kernel: Kernel
    target_accept: float
    seed: int


@dataclass(frozen=True)
class Sampled:
    """The draws of one item.

    Attributes
    ----------
    values
        Free variables by name, (chain, draw, ...).
    statistics
        The kernel's own by their names in NumPyro, (chain, draw).
    """

    values: dict[str, np.ndarray]
    statistics: dict[str, np.ndarray]


def item_seed(seed: int, item: int) -> int:
    """Derive the seed of one item: it depends on nothing but the two numbers."""
    return int(np.random.SeedSequence([seed, item]).generate_state(1)[0])


class Climber:
    """Finds the summits of a family's members with one compiled gradient.

    The climb is a dialogue of many small steps: see `devices.small_work`.

    Parameters
    ----------
    lifted
        The family's functions.
    """

    def __init__(self, lifted: Lifted) -> None:
        self.lifted = lifted
        self._compute = jax.jit(jax.value_and_grad(lifted.negative))
        self._prior = jax.jit(jax.grad(lambda flat, data: -lifted.log_prior(flat, data)))
        self._constrain = jax.jit(lifted.constrain)
        self._unconstrain = jax.jit(lifted.unconstrain)

    def climb(self, member: int, initial: Point, start: Point) -> Summit:
        """Climb to a member's highest point.

        Parameters
        ----------
        member
            Row of ``lifted.stacked``.
        initial
            The model's own starting point, by value variable.
        start
            Better values by variable name in natural units, as far as they are known.

        Raises
        ------
        FitError
            If the density or its curvature is not finite.
        """
        data = tuple(values[member] for values in self.lifted.stacked)
        with small_work():
            return find_summit(
                lambda flat: _plain(self._compute(flat, data)),
                lambda flat: np.asarray(self._prior(flat, data)),
                self._origin(initial, start, data),
            )

    def seconds_a_gradient(self, member: int, place: np.ndarray) -> float:
        """Measure one gradient of a member on the CPU, at a flat point."""
        data = tuple(values[member] for values in self.lifted.stacked)
        with small_work():
            return seconds_of(lambda: _plain(self._compute(place, data)))

    def _origin(self, initial: Point, start: Point, data: Data) -> np.ndarray:
        point = {name: np.asarray(value, float) for name, value in initial.items()}
        flat = ravel_pytree(point)[0]
        known = {name: np.asarray(value, float) for name, value in start.items()}
        if self.lifted.transformed:
            missing = [name for name in self.lifted.transformed if name not in known]
            here = self._constrain(flat, data) if missing else {}
            natural = [known.get(name, here.get(name)) for name in self.lifted.transformed]
            moved = self._unconstrain(natural, data)
            known |= {name: np.asarray(value) for name, value in moved.items()}
        point |= {name: value for name, value in known.items() if name in point}
        return np.asarray(ravel_pytree(point)[0])


def sample_members(
    lifted: Lifted,
    members: Sequence[int],
    items: Sequence[int],
    summits: Sequence[Summit],
    settings: Settings,
    batch_size: int | None,
    device: jax.Device,
) -> Iterator[Sampled]:
    """Sample members of a family batch by batch, in the order given.

    Parameters
    ----------
    lifted
        The family's functions.
    members
        Which members, as rows of ``lifted.stacked``.
    items
        Their numbers in the whole run, from which their seeds derive.
    summits
        Where each was climbed to.
    settings
        How to sample.
    batch_size
        Members that one call samples; by default equal batches of at most `LARGEST_BATCH`.
    device
        Which kind samples.
    """
    is_cpu = device.platform == "cpu"
    size = batch_size or _batch_size(len(members), LARGEST_BATCH[is_cpu])
    over = _one_by_one if is_cpu else jax.vmap
    program = _shared_out(over(_sampler(lifted, settings, over)), size, devices_of_batch(device))
    key = jax.random.PRNGKey(settings.seed)
    for begin in range(0, len(members), size):
        chosen = range(begin, min(begin + size, len(members)))
        padded = [*chosen] + [begin] * (size - len(chosen))
        values, statistics = program(
            jnp.stack([jax.random.fold_in(key, items[k]) for k in padded]),
            np.stack([summits[k].optimum for k in padded]),
            np.stack([summits[k].scale for k in padded]),
            tuple(stack[[members[k] for k in padded]] for stack in lifted.stacked),
        )
        values = {name: np.asarray(value) for name, value in values.items()}
        statistics = {name: np.asarray(value) for name, value in statistics.items()}
        for row in range(len(chosen)):
            yield Sampled(
                {name: value[row] for name, value in values.items()},
                {name: value[row] for name, value in statistics.items()},
            )


def _shared_out(function: Any, size: int, devices: list[jax.Device]) -> Any:
    """Compile a function of batches so that every device takes an equal share of the items.

    The devices of a CPU are its cores: side by side on one, items would leave the others idle.
    """
    while size % len(devices):
        devices = devices[:-1]
    mesh = jax.sharding.Mesh(np.array(devices), ("item",))
    item = jax.sharding.PartitionSpec("item")
    shared = jax.shard_map(function, mesh=mesh, in_specs=item, out_specs=item, check_vma=False)
    return jax.jit(shared)


def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function of stacks, as `jax.vmap` does, but for the order: one after the other.

    Side by side on one core, all wait for the longest trajectory among them and gain nothing: 16
    garnets took 1.5 times as long, 128 suites 1.3 times.
    """
    return lambda *stacks: jax.lax.map(lambda one: function(*one), stacks)


def _sampler(
    lifted: Lifted, settings: Settings, over: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Any:
    """Give the function that samples one item: key, optimum, scale, data -> draws, statistics."""

    def sample(key: jax.Array, optimum: jax.Array, scale: jax.Array, data: Data) -> Any:
        kernel = _kernel(lambda z: lifted.negative(optimum + scale @ z, data), settings)
        step = advance(kernel)

        def chain(chain_key: jax.Array) -> Any:
            start_key, own_key = jax.random.split(chain_key)
            origin = jax.random.normal(start_key, optimum.shape, optimum.dtype)
            state = kernel.init(own_key, settings.tune, origin, (), {})
            state = jax.lax.fori_loop(0, settings.tune, lambda _, s: step(s, None)[0], state)
            z, statistics = jax.lax.scan(step, state, length=settings.draws)[1]
            points = optimum + z @ scale.T
            values = jax.vmap(lambda point: lifted.constrain(point, data))(points)
            return values, statistics

        return over(chain)(jax.random.split(key, settings.chains))

    return sample


def _kernel(potential: Any, settings: Settings) -> HMC:
    if settings.kernel == "nuts":
        return NUTS(potential_fn=potential, target_accept_prob=settings.target_accept)
    return HMC(
        potential_fn=potential,
        trajectory_length=TRAJECTORY,
        target_accept_prob=settings.target_accept,
    )


def _batch_size(count: int, largest: int) -> int:
    """Give the size of equal batches, so that little is filled up."""
    if count <= SHARES:
        return count
    batches = -(-count // largest)
    return -(-count // (batches * SHARES)) * SHARES


def _plain(computed: tuple[jax.Array, jax.Array]) -> tuple[float, np.ndarray]:
    value, gradient = computed
    return float(value), np.asarray(gradient, float)
