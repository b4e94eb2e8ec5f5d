"""The layers that train fast are Keras' own in weights, outputs, states and gradients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytestmark = pytest.mark.slow

BATCH, STEPS, WIDTH, UNITS = 4, 32, 6, 12
CELLS = ("lstm", "gru", "rnn")


@pytest.fixture(autouse=True)
def _clear() -> Iterator[None]:
    yield
    import keras

    keras.backend.clear_session()


def pair(cell: str, **options):
    """Build our layer and Keras' default one with the same weights, none of them zero."""
    import keras

    from core.text.recurrent import CELLS as OURS

    kinds = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
    shared = {"return_sequences": True, "return_state": True, "seed": 3} | options
    layers = OURS[cell](UNITS, unroll=True, **shared), kinds[cell](UNITS, **shared)
    for layer in layers:
        layer.build((None, STEPS, WIDTH))
    rng = np.random.default_rng(1)
    layers[0].set_weights([rng.normal(0, 0.4, w.shape).astype("float32") for w in layers[0].get_weights()])
    layers[1].set_weights(layers[0].get_weights())
    return layers


def everything(layer, x, state, training: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return outputs and last state, and the gradients of a sum over all of them by inputs, state and weights."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch([x, *state])
        outputs = layer(x, initial_state=list(state), training=training)
        total = sum(tf.reduce_sum(tf.sin((place + 1) * part)) for place, part in enumerate(outputs))
    gradients = tape.gradient(total, [x, *state, *layer.trainable_variables])
    return [np.asarray(part) for part in outputs], [np.asarray(tf.convert_to_tensor(part)) for part in gradients]


@pytest.mark.parametrize(("training", "recurrent_dropout"), [(False, 0.0), (True, 0.0), (False, 0.5), (True, 0.5)])
@pytest.mark.parametrize("cell", CELLS)
def test_outputs_states_and_gradients_are_those_of_the_default_layer(cell, training, recurrent_dropout):
    """With recurrent dropout too: layers of one seed draw the same masks."""
    import tensorflow as tf

    rng = np.random.default_rng(2)
    x = tf.constant(rng.normal(size=(BATCH, STEPS, WIDTH)), tf.float32)
    state = [tf.constant(rng.normal(size=(BATCH, UNITS)), tf.float32) for _ in range(2 if cell == "lstm" else 1)]
    ours, plain = (everything(layer, x, state, training) for layer in pair(cell, recurrent_dropout=recurrent_dropout))
    for one, other in zip(ours[0], plain[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    for one, other in zip(ours[1], plain[1], strict=True):
        assert np.abs(other).max() > 0.01
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_dropout_acts_in_training_only(cell):
    import tensorflow as tf

    x = tf.random.stateless_normal((BATCH, STEPS, WIDTH), (1, 2))
    ours, plain = pair(cell, recurrent_dropout=0.5)
    np.testing.assert_allclose(ours(x, training=False)[0], plain(x, training=False)[0], atol=1e-5)
    dropped = ours(x, training=True)[0]
    np.testing.assert_allclose(dropped, plain(x, training=True)[0], atol=1e-5)
    assert np.abs(dropped - ours(x, training=False)[0]).max() > 0.01


def test_a_step_differentiates_like_its_own_formula():
    """In double precision, where finite differences would blur: TensorFlow's gradient of the plain loop is ours."""
    import tensorflow as tf

    from core.text import recurrence

    rng = np.random.default_rng(4)
    for step, gates, parts in (
        (recurrence._LstmStep, 4, 2), (recurrence._GruStep, 3, 1), (recurrence._SimpleStep, 1, 1),
    ):  # fmt: skip
        own = tf.constant(rng.normal(size=(5, BATCH, gates * UNITS)))
        kernel, bias = (tf.constant(rng.normal(size=size)) for size in ((UNITS, gates * UNITS), (gates * UNITS,)))
        state = [tf.constant(rng.normal(size=(BATCH, UNITS))) for _ in range(parts)]

        def plainly(own, kernel, bias, state, step=step):
            outputs = []
            for now in tf.unstack(own):
                state, _kept = step.forward(now, state[0] @ kernel + bias, state)
                outputs.append(state[0])
            return tf.stack(outputs), state

        found = []
        for run in (
            plainly,
            lambda own, kernel, bias, state, step=step: recurrence.recur(step, own, kernel, bias, state),
        ):
            with tf.GradientTape() as tape:
                tape.watch([own, kernel, bias, *state])
                outputs, after = run(own, kernel, bias, state)
                total = tf.reduce_sum(outputs**2) + sum(tf.reduce_sum(tf.sin(part)) for part in after)
            found.append(tape.gradient(total, [own, kernel, bias, *state]))
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10)
