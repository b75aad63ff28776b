"""Replay: the ring's seam, ends of episodes, invalid rows, n-step sums, priorities, round trips."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.agents.base import Batches, Steps
from toolkit.agents.buffers.prioritized import PrioritizedBuffer, SumTree
from toolkit.agents.buffers.uniform import FinalTable, UniformBuffer
from toolkit.agents.configs import PrioritizedConfig, UniformConfig
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.setup import require_room

OBSERVATIONS = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
ACTIONS = gymnasium.spaces.Discrete(1000)
REPLAY = [entry.name for entry in registry.entries("buffer") if entry.name != "rollout"]


def make(name: str = "uniform", capacity: int = 8, n_envs: int = 1, seed: int = 0, **options: Any) -> Any:
    return registry.make("buffer", name, capacity=capacity, n_envs=n_envs, observation_space=OBSERVATIONS,
                         action_space=ACTIONS, generator=np.random.default_rng(seed), **options)


class World:
    """Numbered observations: every transition can be told from its number alone."""

    def __init__(self, n_envs: int, seed: int = 0, end: float = 0.2, skip: float = 0.0) -> None:
        self.rng, self.n_envs, self.end, self.skip = np.random.default_rng(seed), n_envs, end, skip
        self.now = 1000.0 * np.arange(n_envs)
        self.log: list[list[tuple[float, int, float, float, bool, bool, bool]]] = [[] for _ in range(n_envs)]

    def steps(self, rows: int) -> Steps:
        shape = (rows, self.n_envs)
        observations = np.zeros((rows + 1, self.n_envs, 1), np.float32)
        actions, rewards = self.rng.integers(1000, size=shape), self.rng.standard_normal(shape).astype(np.float32).astype(float)
        terminated = self.rng.random(shape) < self.end / 2
        truncated = (self.rng.random(shape) < self.end / 2) & ~terminated
        valid = self.rng.random(shape) >= self.skip
        finals = []
        for row in range(rows):
            observations[row, :, 0] = self.now
            for copy in range(self.n_envs):
                following = self.now[copy] + 1
                self.log[copy].append((self.now[copy], int(actions[row, copy]), rewards[row, copy], following,
                                       bool(terminated[row, copy]), bool(truncated[row, copy]), bool(valid[row, copy])))
                if terminated[row, copy] or truncated[row, copy]:
                    finals.append((row, copy, following))
                    following += 100  # the next episode begins elsewhere
                self.now[copy] = following
        observations[rows, :, 0] = self.now
        table = np.array(finals).reshape(-1, 3)
        return Steps(observations, actions, rewards, terminated, truncated, valid, table[:, 0].astype(int),
                     table[:, 1].astype(int), table[:, 2:].astype(np.float32))


def rows_of(batches: Batches) -> set[tuple[float, int, float, float, bool]]:
    return {(float(o), int(a), round(float(r), 4), float(n), bool(t)) for o, a, r, n, t in zip(
        batches.observations.reshape(-1), batches.actions.reshape(-1), batches.rewards.reshape(-1),
        batches.next_observations.reshape(-1), batches.terminated.reshape(-1), strict=True)}


@settings(max_examples=40)
@given(st.integers(1, 3), st.integers(1, 9), st.lists(st.integers(1, 12), min_size=1, max_size=8), st.sampled_from([0.0, 0.3]))
def test_the_ring_holds_exactly_the_newest_valid_transitions(n_envs: int, rows: int, adds: list[int], skip: float) -> None:
    buffer, world = make(capacity=rows * n_envs, n_envs=n_envs), World(n_envs, skip=skip)
    for count in adds:
        buffer.add(world.steps(count))
    expected = {(o, a, round(r, 4), n, t) for log in world.log for o, a, r, n, t, _, v in log[-rows:] if v}
    assert len(buffer) == len(expected)
    if expected:
        assert rows_of(next(buffer.batches(1, 600))) == expected


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(2, 5), st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_n_step_sums_equal_a_walk_along_the_log(n_envs: int, n_step: int, adds: list[int]) -> None:
    rows, gamma = 10, 0.5
    buffer, world = make("n-step", rows * n_envs, n_envs, n_step=n_step, gamma=gamma), World(n_envs, skip=0.1)
    for count in adds:
        buffer.add(world.steps(count))
    expected = set()
    for log in world.log:
        kept = log[-rows:]
        for start, (observation, action, *_, valid) in enumerate(kept):
            if not valid:
                continue
            total, power, last = 0.0, 1.0, kept[start]
            for step in kept[start:start + n_step]:
                if not step[6]:
                    break
                total, power, last = total + power * step[2], power * gamma, step
                if step[4] or step[5]:
                    break
            expected.add((observation, action, round(total, 3), last[3], last[4], round(power, 5)))
    if len(buffer):
        got = next(buffer.batches(1, 600))
        assert got.discounts is not None
        assert {(float(o), int(a), round(float(r), 3), float(n), bool(t), round(float(d), 5)) for o, a, r, n, t, d in zip(
            got.observations.reshape(-1), got.actions.reshape(-1), got.rewards.reshape(-1), got.next_observations.reshape(-1),
            got.terminated.reshape(-1), got.discounts.reshape(-1), strict=True)} == expected


def test_the_seam_of_the_ring_by_hand() -> None:
    """Room for 3: after 5 steps the steps 2, 3, 4 are left, and step 4's next observation lies behind the seam."""
    buffer, world = make(capacity=3), World(1, end=0.0)
    for rows in (2, 2, 1):
        buffer.add(world.steps(rows))
    found = buffer.gather(np.arange(3)[None])
    assert found.observations.reshape(-1).tolist() == [2, 3, 4]
    assert found.next_observations.reshape(-1).tolist() == [3, 4, 5]
    assert found.rewards.reshape(-1).tolist() == [np.float32(item[2]) for item in world.log[0][2:]]


def test_more_than_the_capacity_at_once_leaves_the_newest() -> None:
    buffer, world = make(capacity=4, n_envs=2), World(2, end=0.9)
    buffer.add(world.steps(11))
    assert len(buffer) == 4
    assert rows_of(next(buffer.batches(1, 300))) == {
        (o, a, round(r, 4), n, t) for log in world.log for o, a, r, n, t, _, _ in log[-2:]}


@pytest.mark.parametrize("name", REPLAY)
@pytest.mark.parametrize("restored", [False, True])
def test_an_episode_that_broke_off_is_not_joined_with_the_next(name: str, restored: bool) -> None:
    """Copy 0 was truncated in the last row and would be reset in the next; copy 1 broke off; copy 2 goes on."""
    buffer, world = make(name, 30, 3, **({"n_step": 1} if name == "n-step" else {})), World(3, end=0.0)
    before = world.steps(3)
    before.truncated[2, 0] = True
    buffer.add(before)
    if restored:
        twin = make(name, 30, 3, seed=9, **({"n_step": 1} if name == "n-step" else {}))
        twin.load_state_dict(buffer.state_dict())
        buffer = twin
    world.now[:2] = 500, 5000
    after = world.steps(2)
    after.broken_copies, after.broken_observations = np.array([0, 1]), np.array([[3], [1003]], np.float32)
    buffer.add(after)
    found = buffer.gather(np.arange(15).reshape(5, 3))  # rows and copies
    assert found.observations[..., 0].tolist() == [[0, 1000, 2000], [1, 1001, 2001], [2, 1002, 2002], [500, 5000, 2003],
                                                   [501, 5001, 2004]]
    assert found.next_observations[2:, :, 0].tolist() == [[3, 1003, 2003], [501, 5001, 2004], [502, 5002, 2005]]
    assert not found.terminated.any()


def test_n_step_sums_end_where_an_episode_broke_off() -> None:
    buffer, world = make("n-step", 20, 1, n_step=3, gamma=0.5), World(1, end=0.0)
    before = world.steps(2)
    buffer.add(before)
    world.now[:] = 70
    after = world.steps(3)
    after.broken_copies, after.broken_observations = np.array([0]), np.array([[2]], np.float32)
    buffer.add(after)
    (first, second), rest = before.rewards[:, 0], after.rewards[:, 0]
    found = buffer.gather(np.arange(3)[None])
    np.testing.assert_allclose(found.rewards[0], [first + second / 2, second, rest @ [1, 0.5, 0.25]], rtol=1e-6)
    assert found.next_observations[0, :, 0].tolist() == [2, 2, 73] and found.discounts[0].tolist() == [0.25, 0.5, 0.125]


def test_a_capacity_below_one_row_still_holds_a_row() -> None:
    buffer = make(capacity=2, n_envs=5)
    buffer.add(World(5).steps(3))
    assert len(buffer) == 5


def test_the_side_table_stays_small_through_many_wraps() -> None:
    buffer, world = make(capacity=6), World(1, end=2.0)  # every step ends an episode
    for _ in range(200):
        buffer.add(world.steps(5))
    assert len(buffer._finals) == len(buffer) == 6
    assert len(buffer._finals._rows) == 16, "it does not grow with what was forgotten"
    assert rows_of(next(buffer.batches(1, 300))) == {(o, a, round(r, 4), n, t) for o, a, r, n, t, _, _ in world.log[0][-6:]}


@pytest.mark.parametrize("skip", [0.5, 0.97])
def test_rows_that_are_not_valid_are_never_drawn(skip: float) -> None:
    buffer, world = make(capacity=200, n_envs=2), World(2, skip=skip)
    buffer.add(world.steps(90))
    valid = {item[0] for log in world.log for item in log if item[6]}
    assert 0 < len(valid) == len(buffer) < 180
    assert {float(o) for o in next(buffer.batches(3, 2000)).observations.reshape(-1)} == valid


def test_every_transition_is_drawn_as_often() -> None:
    buffer = make(capacity=10)
    buffer.add(World(1).steps(17))
    drawn = next(buffer.batches(4, 5000))
    assert drawn.indices is not None
    np.testing.assert_allclose(np.bincount(drawn.indices.reshape(-1), minlength=10) / 20_000, 0.1, atol=0.01)


@settings(max_examples=25)
@given(st.sampled_from(REPLAY), st.integers(1, 3), st.integers(1, 9),
       st.lists(st.integers(1, 12), min_size=1, max_size=6), st.lists(st.integers(1, 5), max_size=3))
def test_a_restored_buffer_is_the_same_wherever_its_ring_begins(
        name: str, n_envs: int, rows: int, adds: list[int], more: list[int]) -> None:
    buffer, world = make(name, rows * n_envs, n_envs), World(n_envs)
    for count in adds:
        buffer.add(world.steps(count))
    twin = make(name, rows * n_envs, n_envs, seed=99)
    twin.add(World(n_envs, seed=3).steps(5))  # what it held before is forgotten
    twin.load_state_dict(buffer.state_dict())
    for count in (0, *more):
        if count:
            steps = world.steps(count)
            buffer.add(steps)
            twin.add(steps)
        one, other = next(buffer.batches(2, 7)), next(twin.batches(2, 7))
        for field in ("observations", "actions", "rewards", "next_observations", "terminated", "discounts", "weights", "indices"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)


@pytest.mark.parametrize("name", REPLAY)
def test_a_restored_buffer_draws_the_same(name: str) -> None:
    buffer, world = make(name, 20, 2), World(2, skip=0.1)
    for count in (7, 9, 3):
        buffer.add(world.steps(count))
        drawn = next(buffer.batches(2, 5))
        buffer.prioritize(drawn, np.abs(drawn.rewards))
    twin = make(name, 20, 2, seed=99)
    twin.load_state_dict(buffer.state_dict())
    more = world.steps(5)
    for one in (buffer, twin):
        one.add(more)
    for _ in range(3):
        a, b = next(buffer.batches(2, 6)), next(twin.batches(2, 6))
        np.testing.assert_array_equal(a.observations, b.observations)
        np.testing.assert_array_equal(a.next_observations, b.next_observations)
        if a.weights is not None:
            np.testing.assert_array_equal(a.weights, b.weights)


def test_only_the_filled_part_is_saved() -> None:
    buffer = make(capacity=1000)
    buffer.add(World(1).steps(3))
    assert buffer.state_dict()["observations"].shape == (4, 1, 1)


def test_a_phase_comes_in_pieces_that_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = make(capacity=100)
    buffer.add(World(1).steps(50))
    assert [batches.count for batches in buffer.batches(5, 4)] == [5]
    monkeypatch.setattr("toolkit.agents.buffers.uniform.PIECE_BYTES", 2 * 4 * 4 * 2)  # two minibatches of 4, of 4 bytes, twice
    assert [batches.observations.shape for batches in buffer.batches(5, 4)] == [(2, 4, 1), (2, 4, 1), (1, 4, 1)]
    with pytest.raises(ValueError, match="no valid transition"):
        next(make().batches(1, 1))


def test_the_final_table_keeps_order_while_it_grows() -> None:
    table = FinalTable(OBSERVATIONS)
    serials = [table.add(np.full((3, 1), k, np.float32)) for k in range(4)]
    table.forget(6)
    serials += [table.add(np.full((20, 1), 9, np.float32))]
    assert table[serials[3]].reshape(-1).tolist() == [3, 3, 3]
    assert table[serials[4]].reshape(-1).tolist() == [9] * 20
    assert len(table) == 26


@pytest.mark.compiles
def test_the_sum_tree_draws_in_proportion() -> None:
    tree = SumTree(5)
    tree.set(np.arange(5), np.array([1.0, 0.0, 3.0, 0.0, 4.0]))
    assert tree.total == 8
    # Shares of the total: [0, 1/8) is leaf 0, [1/8, 4/8) leaf 2, [4/8, 1) leaf 4.
    indices, priorities = tree.draw(np.array([0.0, 0.124, 0.125, 0.499, 0.5, 0.999999]))
    assert indices.tolist() == [0, 0, 2, 2, 4, 4]
    assert priorities.tolist() == [1, 1, 3, 3, 4, 4]


@pytest.mark.compiles
def test_priorities_decide_what_is_drawn_and_weights_undo_it() -> None:
    config = PrioritizedConfig(alpha=1.0, beta=1.0, epsilon=1e-9)
    buffer = PrioritizedBuffer(config, capacity=4, n_envs=1, observation_space=OBSERVATIONS, action_space=ACTIONS,
                               generator=np.random.default_rng(0))
    buffer.add(World(1, end=0).steps(4))
    everything = buffer.gather(np.arange(4)[None])
    buffer.prioritize(everything, np.array([[1.0, 1.0, 2.0, 4.0]]))
    drawn = buffer.sample(1, 8000)
    counts = np.bincount(drawn.observations.reshape(-1).astype(int), minlength=4)
    np.testing.assert_allclose(counts / 8000, [1 / 8, 1 / 8, 2 / 8, 4 / 8], atol=0.01)
    # weight = 1 / (N * P), divided by the largest: 1, 1, 1/2, 1/4
    by_number = dict(zip(drawn.observations.reshape(-1).astype(int).tolist(), drawn.weights.reshape(-1).tolist(), strict=True))
    assert [round(by_number[k], 5) for k in range(4)] == [1.0, 1.0, 0.5, 0.25]


def test_uniform_buffer_takes_its_config_directly() -> None:
    buffer = UniformBuffer(UniformConfig(), capacity=2, n_envs=1, observation_space=OBSERVATIONS, action_space=ACTIONS,
                           generator=np.random.default_rng(0))
    assert len(buffer) == 0


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be removed there")
def test_a_replay_file_stays_on_no_disk_however_its_process_ends(tmp_path: Path) -> None:
    pytest.importorskip("torchrl")
    world, buffer = World(1), make("torchrl", capacity=64, directory=str(tmp_path))
    assert not any(tmp_path.iterdir())
    buffer.add(world.steps(80))
    expected = {(o, a, round(r, 4), n, t) for o, a, r, n, t, _, _ in world.log[0][-64:]}
    assert rows_of(next(buffer.batches(1, 2000))) == expected


def test_replay_that_would_outgrow_the_memory_is_refused_before_it_is_filled() -> None:
    kept = make(n_envs=2)
    assert kept.row_bytes == 2 * (4 + 8 + 4 + 3 + 8)  # observation, action, reward, three flags, place in the side table
    require_room(kept, 10 ** 6, 2)
    with pytest.raises(UsageError, match=r"takes 540,000 GB once it holds 10,000,000,000,000 transitions and a checkpoint is "
                                         r"written, and the memory of this machine is .* GB\. Allowed: --buffer-size of less "
                                         "than .*, or --buffer torchrl"):
        require_room(kept, 10 ** 13, 2)


def test_observations_on_the_disk_take_no_memory() -> None:
    pytest.importorskip("torchrl")
    assert make("torchrl", n_envs=2).row_bytes == 2 * (8 + 4 + 3 + 8)
