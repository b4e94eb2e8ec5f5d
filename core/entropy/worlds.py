"""Small worlds for an agent to explore, and exact measures of a policy in them; NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

UPDATES = 40  # of a policy in one chunk, after which it is measured
SIDE = 7
NEAR, FAR = (0, 2), (6, 6)  # row and column of the small and of the large reward
START = (0, 0)
NEAR_REWARD, FAR_REWARD = 0.3, 1.0


@dataclass(frozen=True)
class World:
    """A world of S states and A actions; each action leads to one next state.

    `reward` is the chance of a reward of 1 where `is_chance`, else the reward itself; `ends` marks actions that
    end an episode, which has at most `horizon` steps. All arrays have shape (S, A).
    """

    name: str
    next_state: np.ndarray
    reward: np.ndarray
    ends: np.ndarray
    start: int
    horizon: int
    is_chance: bool

    @property
    def best(self) -> float:
        """Return the highest expected return of an episode."""
        return float(self.reward.max())


@dataclass(frozen=True)
class Outlook:
    """What a policy does on average in one episode: its return, entropy a step in nats, and visits, shape (S,)."""

    expected_return: float
    entropy: float
    visits: np.ndarray


@cache
def world(name: str) -> World:
    """Return the world called `bandit` or `grid`.

    `bandit`: ten arms that pay 1 with chance 0.9, 0.72, 0.63, …, 0. `grid`: 7×7 fields, four moves, walls around;
    a small reward two steps from the start in one corner, a large one in the opposite corner; both end the episode.
    """
    if name == "bandit":
        chances = np.array([[0.9, *(0.72 - 0.09 * k for k in range(9))]])
        return World(name, np.zeros((1, 10), "int32"), chances, np.ones((1, 10), bool), 0, 1, True)
    states = SIDE * SIDE
    next_state = np.zeros((states, 4), "int32")
    for state in range(states):
        row, column = divmod(state, SIDE)
        for action, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
            target = (min(max(row + down, 0), SIDE - 1), min(max(column + right, 0), SIDE - 1))
            next_state[state, action] = target[0] * SIDE + target[1]
    value = np.zeros(states)
    value[NEAR[0] * SIDE + NEAR[1]], value[FAR[0] * SIDE + FAR[1]] = NEAR_REWARD, FAR_REWARD
    reward = value[next_state]
    return World(name, next_state, reward, reward > 0, START[0] * SIDE + START[1], 24, False)


def outlook(where: World, policy: np.ndarray) -> Outlook:
    """Follow the distribution over states through an episode; exact, nothing is drawn.

    Args:
        where: The world.
        policy: Chance of each action in each state, shape (S, A), rows summing to 1.
    """
    present: np.ndarray = np.zeros(len(policy))
    present[where.start] = 1.0
    positive = np.where(policy > 0, policy, 1.0)
    entropy = -(policy * np.log(positive)).sum(-1)
    visits, total, spread = present.copy(), 0.0, 0.0
    steps = 0.0
    for _step in range(where.horizon):
        steps += present.sum()
        spread += float(present @ entropy)
        flow = present[:, None] * policy
        total += float((flow * where.reward).sum())
        present = np.bincount(where.next_state.ravel(), (flow * ~where.ends).ravel(), len(policy))
        visits += np.bincount(where.next_state.ravel(), flow.ravel(), len(policy))
    return Outlook(total, spread / steps, visits)
