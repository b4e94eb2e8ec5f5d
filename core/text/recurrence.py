"""Recurrent layers whose gradient gathers what Keras' own computes step by step; imported by worker processes only.

A step of a recurrent layer is two matrix products and arithmetic on single numbers. Differentiated by
TensorFlow, each step adds its own small product to the gradients of the weights; here one product of all steps
does, after the loop, and the input's product is taken for all steps before it. Weights, outputs and gradients
are those of the Keras layers, so weights load from one into the other.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

Tensors = list[tf.Tensor]


class _LstmStep:
    """One step of `keras.layers.LSTM`; gates in its order: input, forget, candidate, output."""

    @staticmethod
    def forward(own: tf.Tensor, carried: tf.Tensor, state: Tensors) -> tuple[Tensors, Tensors]:
        """Advance the state.

        Args:
            own: What the input adds to the gates, shape (B, gates · H).
            carried: What the state adds to them, of the same shape.
            state: Output and, in an LSTM, cell, shape (B, H) each.

        Returns:
            The new state, and what `backward` needs.
        """
        gates = own + carried
        take, keep, _candidate, give = tf.split(tf.sigmoid(gates), 4, axis=1)
        units = state[0].shape[1]
        new = tf.tanh(gates[:, 2 * units : 3 * units])
        cell = keep * state[1] + take * new
        shown = tf.tanh(cell)
        return [give * shown, cell], [take, keep, new, give, shown, state[1]]

    @staticmethod
    def backward(kept: Tensors, gradients: Tensors) -> tuple[tf.Tensor, tf.Tensor, Tensors]:
        """Pass the gradients by the new state on to `own`, `carried` and the old state, but for the way by `carried`."""
        take, keep, new, give, shown, before = kept
        output, cell = gradients
        cell += _tanh_gradient(shown, output * give)
        gates = [
            _sigmoid_gradient(take, cell * new),
            _sigmoid_gradient(keep, cell * before),
            _tanh_gradient(new, cell * take),
            _sigmoid_gradient(give, output * shown),
        ]
        both = tf.concat(gates, axis=1)
        return both, both, [tf.zeros_like(output), cell * keep]


class _GruStep:
    """One step of `keras.layers.GRU` with `reset_after`; gates in its order: update, reset, candidate."""

    @staticmethod
    def forward(own: tf.Tensor, carried: tf.Tensor, state: Tensors) -> tuple[Tensors, Tensors]:
        """Advance the state, as `_LstmStep.forward` says."""
        units = state[0].shape[1]
        inner = carried[:, 2 * units :]
        gates = tf.sigmoid(own[:, : 2 * units] + carried[:, : 2 * units])
        update, reset = tf.split(gates, 2, axis=1)
        new = tf.tanh(own[:, 2 * units :] + reset * inner)
        change = state[0] - new
        return [new + update * change], [gates, update, reset, new, change, inner]

    @staticmethod
    def backward(kept: Tensors, gradients: Tensors) -> tuple[tf.Tensor, tf.Tensor, Tensors]:
        """Pass the gradients on, as `_LstmStep.backward` says."""
        gates, update, reset, new, change, inner = kept
        (output,) = gradients
        straight = output * update
        candidate = _tanh_gradient(new, output - straight)
        outer = _sigmoid_gradient(gates, tf.concat([output * change, candidate * inner], axis=1))
        own = tf.concat([outer, candidate], axis=1)
        return own, tf.concat([outer, candidate * reset], axis=1), [straight]


class _SimpleStep:
    """One step of `keras.layers.SimpleRNN`."""

    @staticmethod
    def forward(own: tf.Tensor, carried: tf.Tensor, state: Tensors) -> tuple[Tensors, Tensors]:
        """Advance the state, as `_LstmStep.forward` says."""
        output = tf.tanh(own + carried)
        return [output], [output]

    @staticmethod
    def backward(kept: Tensors, gradients: Tensors) -> tuple[tf.Tensor, tf.Tensor, Tensors]:
        """Pass the gradients on, as `_LstmStep.backward` says."""
        both = _tanh_gradient(kept[0], gradients[0])
        return both, both, [tf.zeros_like(gradients[0])]


def _tanh_gradient(value: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """Return gradient · (1 − value²) in one kernel."""
    return tf.raw_ops.TanhGrad(y=value, dy=gradient)


def _sigmoid_gradient(value: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """Return gradient · value · (1 − value) in one kernel."""
    return tf.raw_ops.SigmoidGrad(y=value, dy=gradient)


class _Product:
    """The product of the output with the recurrent kernel, and its gradients."""

    def __init__(self, kernel: tf.Tensor):
        self.kernel = kernel
        self.turned = tf.transpose(kernel)  # a product with the kernel as it lies takes half as long again

    def forward(self, output: tf.Tensor) -> tf.Tensor:
        """Return what an output, shape (B, H), adds to the gates, shape (B, G)."""
        return tf.matmul(output, self.kernel)

    def by_output(self, gradient: tf.Tensor) -> tf.Tensor:
        """Pass gradients by that, shape (B, G), on to the output."""
        return tf.matmul(gradient, self.turned)

    def by_kernel(self, outputs: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
        """Pass the gradients of all steps, shape (T, B, G), on to the kernel; `outputs` has shape (T, B, H)."""
        flat = [tf.reshape(part, [-1, part.shape[-1]]) for part in (outputs, gradients)]
        return tf.matmul(*flat, transpose_a=True)


class _MaskedProduct:
    """As `_Product`, with a mask of its own for each gate on the output: recurrent dropout, as in Keras.

    Args:
        kernel: Shape (H, gates · H).
        masks: Shape (gates, B, H), 0 or 1/(1 − rate), the same for all steps.

    Source: Gal & Ghahramani, A theoretically grounded application of dropout in recurrent neural networks,
    2016, section 4.1, untied weights.
    """

    def __init__(self, kernel: tf.Tensor, masks: tf.Tensor):
        self.masks, self.gates, self.units = masks, masks.shape[0], kernel.shape[0]
        self.kernels = tf.stack(tf.split(kernel, self.gates, axis=1))
        self.turned = tf.transpose(self.kernels, [0, 2, 1])

    def forward(self, output: tf.Tensor) -> tf.Tensor:
        """As `_Product.forward`."""
        return tf.concat(tf.unstack(tf.matmul(output * self.masks, self.kernels)), axis=1)

    def by_output(self, gradient: tf.Tensor) -> tf.Tensor:
        """As `_Product.by_output`."""
        by_gate = tf.matmul(tf.stack(tf.split(gradient, self.gates, axis=1)), self.turned)
        return tf.reduce_sum(by_gate * self.masks, axis=0)

    def by_kernel(self, outputs: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
        """As `_Product.by_kernel`."""
        parts = [
            tf.matmul(
                tf.reshape(outputs * mask, [-1, self.units]), tf.reshape(part, [-1, self.units]), transpose_a=True
            )
            for mask, part in zip(tf.unstack(self.masks), tf.split(gradients, self.gates, axis=2), strict=True)
        ]
        return tf.concat(parts, axis=1)


def recur(
    step: Any,
    own: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor | None,
    state: Tensors,
    masks: tf.Tensor | None = None,
) -> tuple[tf.Tensor, Tensors]:
    """Run a recurrence over all steps.

    Args:
        step: One of the steps above.
        own: What the inputs add to the gates, shape (T, B, G), with a known T.
        kernel: Recurrent kernel, shape (H, G).
        bias: Added to the product with it, shape (G,), if any.
        state: Before the first step, shape (B, H) each.
        masks: Of recurrent dropout, shape (gates, B, H), if any.

    Returns:
        The outputs, shape (T, B, H), and the state after the last step.
    """

    weights = [kernel] if bias is None else [kernel, bias]

    @tf.custom_gradient
    def run(own, *rest):
        kernel, *biases, state = *rest[: len(weights)], rest[len(weights) :]
        states, memory = [list(state)], []
        product = _Product(kernel) if masks is None else _MaskedProduct(kernel, masks)
        for now in tf.unstack(own):
            carried = product.forward(states[-1][0])
            for bias in biases:
                carried = tf.nn.bias_add(carried, bias)
            after, kept = step.forward(now, carried, states[-1])
            states.append(after)
            memory.append(kept)

        def backward(by_outputs, *by_state):
            gradients, by_own, by_carried = list(by_state), [], []
            for kept, by_output in zip(reversed(memory), reversed(tf.unstack(by_outputs)), strict=True):
                gradients[0] += by_output
                mine, carried, gradients = step.backward(kept, gradients)
                gradients[0] += product.by_output(carried)
                by_own.append(mine)
                by_carried.append(carried)
            all_carried = tf.stack(by_carried[::-1])
            same = all(mine is carried for mine, carried in zip(by_own, by_carried, strict=True))
            all_own = all_carried if same else tf.stack(by_own[::-1])
            by_kernel = product.by_kernel(tf.stack([before[0] for before in states[:-1]]), all_carried)
            by_biases = [tf.reduce_sum(all_carried, axis=[0, 1]) for _bias in biases]
            return all_own, by_kernel, *by_biases, *gradients

        return (tf.stack([after[0] for after in states[1:]]), *states[-1]), backward

    outputs, *after = run(own, *weights, *state)
    return outputs, after


class _Gathered:
    """Mixed into a Keras recurrent layer: its loop over the steps, by `recur`."""

    step: Any
    cell: Any
    recurrent_dropout: float

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Run the steps, as `keras.layers.RNN.inner_loop` does."""
        masks = None
        if training and self.recurrent_dropout:  # drawn by the layer itself: one a gate, or a single one
            drawn = self.cell.get_recurrent_dropout_mask(initial_state[0])
            masks = tf.stack(drawn) if isinstance(drawn, list) else drawn[None]
        kernel, recurrent, bias = (weight.value for weight in self.cell.trainable_variables)
        own_bias, bias = (bias[0], bias[1]) if bias.shape.rank == 2 else (bias, None)
        inputs = tf.transpose(sequences, [1, 0, 2])
        steps, _rows, width = inputs.shape
        flat = tf.nn.bias_add(tf.matmul(tf.reshape(inputs, [-1, width]), kernel), own_bias)
        own = tf.reshape(flat, [steps, -1, kernel.shape[1]])
        outputs, state = recur(self.step, own, recurrent, bias, list(initial_state), masks)
        return state[0], tf.transpose(outputs, [1, 0, 2]), state


class Lstm(_Gathered, keras.layers.LSTM):
    """`keras.layers.LSTM`, faster to train."""

    step = _LstmStep


class Gru(_Gathered, keras.layers.GRU):
    """`keras.layers.GRU`, faster to train."""

    step = _GruStep


class SimpleRnn(_Gathered, keras.layers.SimpleRNN):
    """`keras.layers.SimpleRNN`, faster to train."""

    step = _SimpleStep
