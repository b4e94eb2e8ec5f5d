"""Train a small tf.keras policy by policy gradient, with and without an entropy bonus; for worker processes only.

A run is measured exactly after every chunk of updates, from the table of the policy's chances.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from core.entropy import entropy_of_logits
from core.entropy.worlds import UPDATES, World, outlook, world
from core.result import CURVE_COLUMNS, RunInfo, RunResult, Status
from core.training import host, versions

DISCOUNT = 0.97
VALUE_STEP = 0.1  # of the running mean return of each state, from which advantages are taken


class Agent:
    """A policy with one logit an action and state, and a traced chunk of its training; reusable for any seed and bonus."""

    def __init__(self, where: World, episodes: int):
        self.where, self.episodes = where, episodes
        states, actions = where.reward.shape
        inputs = keras.Input((states,))
        self.model = keras.Model(
            inputs, keras.layers.Dense(actions, use_bias=False, kernel_initializer="zeros")(inputs)
        )
        self.optimizer = keras.optimizers.SGD(0.1)
        self.optimizer.build(self.model.trainable_variables)
        self.values = tf.Variable(tf.zeros(states))
        self.chunk = tf.function(self._chunk, jit_compile=False)

    def reset(self, learning_rate: float) -> None:
        """Return to the uniform policy."""
        for weight in self.model.trainable_variables:
            weight.assign(tf.zeros_like(weight))
        self.values.assign(tf.zeros_like(self.values))
        self.optimizer.learning_rate.assign(learning_rate)

    def policy(self) -> np.ndarray:
        """Return the chance of each action in each state, shape (S, A)."""
        logits = self.model(tf.eye(len(self.where.reward))).numpy().astype("float64")
        logits -= logits.max(-1, keepdims=True)
        return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)

    def _chunk(self, seed: tf.Tensor, first: tf.Tensor, bonus: tf.Tensor) -> None:
        for update in tf.range(UPDATES):
            self._update(tf.stack([seed, first + update]), bonus)

    def _update(self, seed: tf.Tensor, bonus: tf.Tensor) -> None:
        where, count = self.where, self.episodes
        next_state, ends = tf.constant(where.next_state), tf.constant(where.ends)
        reward = tf.constant(where.reward, tf.float32)
        actions = where.reward.shape[1]
        table = self.model(tf.eye(len(where.reward)))
        draws = tf.random.stateless_uniform((where.horizon, count, actions + 1), tf.cast(seed, tf.int32), 1e-7, 1.0)
        state = tf.fill((count,), where.start)
        alive = tf.ones(count)
        steps = []
        for step in range(where.horizon):
            noise = -tf.math.log(-tf.math.log(draws[step, :, :actions]))
            action = tf.argmax(tf.gather(table, state) + noise, axis=-1, output_type=tf.int32)
            pair = tf.stack([state, action], axis=-1)
            gain = tf.gather_nd(reward, pair)
            if where.is_chance:
                gain = tf.cast(draws[step, :, actions] < gain, tf.float32)
            steps.append((state, action, gain * alive, alive))
            alive = alive * tf.cast(~tf.gather_nd(ends, pair), tf.float32)
            state = tf.gather_nd(next_state, pair)
        returns: list[tf.Tensor] = []
        following = tf.zeros(count)
        for _state, _action, gain, _alive in reversed(steps):
            following = gain + DISCOUNT * following
            returns.insert(0, following)
        states, chosen, _gains, alives = (tf.concat(part, 0) for part in zip(*steps, strict=True))
        future = tf.concat(returns, 0)
        advantage = future - tf.gather(self.values, states)
        with tf.GradientTape() as tape:
            logits = self.model(tf.one_hot(states, len(where.reward)))
            log_p = -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=chosen, logits=logits)
            gained = advantage * log_p + bonus * entropy_of_logits(logits, keras.ops)
            loss = -tf.reduce_sum(alives * gained) / float(count)
        weights = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        seen = tf.math.unsorted_segment_sum(alives, states, len(where.reward))
        error = tf.math.unsorted_segment_sum(alives * advantage, states, len(where.reward))
        self.values.assign_add(VALUE_STEP * tf.math.divide_no_nan(error, seen))


_agents: dict[str, Agent] = {}


def train(spec: Any, report: Callable, should_stop: Callable[[], bool]) -> RunResult:
    """Train one agent and measure it after every chunk of updates.

    Args:
        spec: `task` names the world, `beta` the bonus for each nat of the policy's entropy; `learning_rate`,
            `batch_size` (episodes an update), `epochs` (chunks), `seed`.
        report: Called with each chunk's number and the values of `CURVE_COLUMNS`.
        should_stop: Asked after every chunk.

    Returns:
        `curves` in which every loss is the regret (best return − expected return), every score the expected return,
        and `penalty` β times the entropy; `agent`: `chunk`, `expected_return`, `entropy`, `surest_action` (the
        highest chance of an action in the first state); `visits`: expected visits of each `state` in one episode of
        the final policy.
    """
    where = world(spec.task)
    key = f"{spec.task} {spec.batch_size}"
    agent = _agents.setdefault(key, Agent(where, spec.batch_size))
    agent.reset(spec.learning_rate)
    started = time.perf_counter()
    rows, states = [], []
    status: Status = "complete"
    for chunk in range(spec.epochs + 1):
        if chunk:
            agent.chunk(tf.constant(spec.seed), tf.constant((chunk - 1) * UPDATES), tf.constant(spec.beta, tf.float32))
        policy = agent.policy()
        if not np.isfinite(policy).all():
            status = "diverged"
            rows.append([math.nan] * len(CURVE_COLUMNS))
            report(chunk, np.array(rows[-1]))
            break
        now = outlook(where, policy)
        regret = where.best - now.expected_return
        rows.append([regret, now.expected_return] * 3 + [spec.beta * now.entropy])
        states.append((chunk, now.expected_return, now.entropy, policy[where.start].max()))
        report(chunk, np.array(rows[-1]))
        if chunk < spec.epochs and should_stop():
            status = "stopped"
            break
    curves = pd.DataFrame(np.array(rows), columns=list(CURVE_COLUMNS)).astype("float32")
    curves.insert(0, "epoch", np.arange(len(curves), dtype="int32"))
    info = RunInfo(
        digest=spec.digest,
        spec=spec.canonical(),
        status=status,
        epochs=len(curves) - 1,
        final_epoch=len(curves) - 1,
        best_epoch=int(np.nanargmin(curves["validation_loss"])),
        parameters=agent.model.count_params(),
        prior_loss=where.best,
        seconds=round(time.perf_counter() - started, 3),
        versions=versions(),
        host=host(),
        recorded=dt.datetime.now(dt.UTC).replace(microsecond=0),
    )
    columns = ["chunk", "expected_return", "entropy", "surest_action"]
    frames = {
        "curves": curves,
        "agent": pd.DataFrame(states, columns=columns).astype({"chunk": "int32"}),
        "visits": pd.DataFrame({"state": np.arange(len(policy), dtype="int32"), "visits": now.visits}),
    }
    return RunResult(info, frames)
