"""Keras losses of the entropy page, and the nets that need more than a loss; for worker processes only.

Every loss takes logits and returns one value a row, so that reduction and sample weights work.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from core.entropy import binary_entropy_of_logit, checked_beta, entropy_of_logits, penalty


def _labels(y_true, y_pred):
    if y_pred.shape.rank != 2 or y_pred.shape[-1] < 2:
        raise ValueError(f"Invalid logits. Expected rows of at least two classes; received shape {y_pred.shape}.")
    labels = tf.cast(y_true, tf.int32)
    return tf.squeeze(labels, -1) if labels.shape.rank == 2 else labels


def _sparse_cross_entropy(y_true, logits):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=_labels(y_true, logits), logits=logits)


def _penalized_cross_entropy(labels, logits, weight, floor):
    """Compute CE − w·H, or CE + w·max(0, floor − H), with its gradient p − y + w·p·(ln p + H) written out.

    The same as `penalty` of `entropy_of_logits` within the precision of floats; a third of its steps,
    which is what a small net's step takes notice of. Nothing is divided and no logarithm taken of a probability.

    Args:
        labels: Integers, shape (B,).
        logits: Shape (B, K).
        weight: Scalar tensor w.
        floor: Γ in nats; 0 for none.

    Returns:
        Shape (B,).
    """

    @tf.custom_gradient
    def value(z, w):
        cross_entropy, pull = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=z, labels=labels)
        log_p = tf.nn.log_softmax(z)
        p = tf.exp(log_p)
        terms = p * log_p
        negative = tf.reduce_sum(terms, axis=-1, keepdims=True)  # −H
        added = tf.nn.relu(floor + negative) if floor else negative

        def gradient(upstream):
            own = terms - negative * p
            if floor:
                own *= tf.cast(added > 0, z.dtype)
            return tf.expand_dims(upstream, -1) * (pull + w * own), None

        return cross_entropy + w * tf.squeeze(added, -1), gradient

    return value(logits, weight)


class ConfidencePenalty(keras.losses.Loss):
    """Compute CE − β·H(p) from integer labels, shape (B,), and logits, shape (B, K).

    Args:
        beta: Weight β of the entropy, from 0 to 1000.
        floor: Γ in nats, ≥ 0; above 0 the hinge form CE + β·max(0, Γ − H).
        rewards: Whether entropy is rewarded. False turns the sign, CE + β·H, which sharpens the answers.
        scale: A scalar variable that multiplies β, for annealing.

    Raises:
        ValueError: For a β or a Γ out of range.

    Source: Pereyra et al. (2017), sections 3 and 3.1.
    """

    def __init__(self, beta=1.0, floor=0.0, *, rewards=True, scale=None, name="confidence_penalty", **keywords):
        super().__init__(name=name, **keywords)
        self.beta = checked_beta(beta)
        if not 0 <= floor < float("inf"):
            raise ValueError(f"Invalid `floor`. Expected a float >= 0; received floor={floor!r}.")
        self.floor, self.rewards, self.scale = float(floor), rewards, scale

    def call(self, y_true, y_pred):
        """Return one value a row."""
        weight = tf.constant(self.beta if self.rewards else -self.beta, y_pred.dtype)
        if self.scale is not None:
            weight = weight * tf.cast(keras.ops.convert_to_tensor(self.scale), y_pred.dtype)
        return _penalized_cross_entropy(_labels(y_true, y_pred), y_pred, weight, self.floor)

    def get_config(self):
        """Return what builds an equal loss; a variable `scale` is not part of it."""
        return {**super().get_config(), "beta": self.beta, "floor": self.floor, "rewards": self.rewards}


class BinaryConfidencePenalty(keras.losses.Loss):
    """Compute CE − β·H(p) from labels 0 or 1 and one logit a row, both of shape (B, 1) or (B,)."""

    def __init__(self, beta=1.0, floor=0.0, name="binary_confidence_penalty", **keywords):
        super().__init__(name=name, **keywords)
        self.beta, self.floor = checked_beta(beta), float(floor)

    def call(self, y_true, y_pred):
        """Return one value a row."""
        labels = tf.cast(y_true, y_pred.dtype)
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=y_pred)
        value = cross_entropy + penalty(binary_entropy_of_logit(y_pred, keras.ops), self.beta, self.floor, keras.ops)
        return keras.ops.mean(value, axis=-1) if len(value.shape) > 1 else value

    def get_config(self):
        """Return what builds an equal loss."""
        return {**super().get_config(), "beta": self.beta, "floor": self.floor}


class LabelSmoothing(keras.losses.Loss):
    """Compute the cross-entropy to (1 − ε)·label + ε/K, from integer labels and logits.

    Source: Szegedy et al. (2016), Rethinking the Inception architecture, section 7.
    """

    def __init__(self, epsilon=0.1, name="label_smoothing", **keywords):
        super().__init__(name=name, **keywords)
        self.epsilon = float(epsilon)

    def call(self, y_true, y_pred):
        """Return one value a row."""
        log_p = tf.nn.log_softmax(y_pred)
        own = _sparse_cross_entropy(y_true, y_pred)
        return (1.0 - self.epsilon) * own - self.epsilon * tf.reduce_mean(log_p, axis=-1)

    def get_config(self):
        """Return what builds an equal loss."""
        return {**super().get_config(), "epsilon": self.epsilon}


class Focal(keras.losses.Loss):
    """Compute −(1 − p)^γ·ln p of the label's probability p, from integer labels and logits.

    Source: Lin et al. (2017), Focal loss for dense object detection, equation 4; γ = 0 is the cross-entropy.
    """

    def __init__(self, gamma=2.0, name="focal", **keywords):
        super().__init__(name=name, **keywords)
        self.gamma = float(gamma)

    def call(self, y_true, y_pred):
        """Return one value a row."""
        own = _sparse_cross_entropy(y_true, y_pred)
        rest = tf.maximum(-tf.math.expm1(-own), 1e-7)  # 1 − p; the power has no gradient at 0 where γ < 1
        return rest**self.gamma * own

    def get_config(self):
        """Return what builds an equal loss."""
        return {**super().get_config(), "gamma": self.gamma}


class WeightedCrossEntropy(keras.losses.Loss):
    """Compute the cross-entropy times a weight for each row's class, shape (K,)."""

    def __init__(self, weights, name="weighted_cross_entropy", **keywords):
        super().__init__(name=name, **keywords)
        self.weights = [float(weight) for weight in weights]

    def call(self, y_true, y_pred):
        """Return one value a row."""
        weights = tf.gather(tf.constant(self.weights, y_pred.dtype), _labels(y_true, y_pred))
        return _sparse_cross_entropy(y_true, y_pred) * weights

    def get_config(self):
        """Return what builds an equal loss."""
        return {**super().get_config(), "weights": self.weights}


class Net(keras.Model):
    """A functional model whose training step, or whose answer, needs more than a loss.

    Args:
        inputs, outputs: Of the functional model; the outputs are logits.
        anneal: Steps over which `scale` rises from 0 to 1; 0 for none.
        mixup: α > 0 mixes each batch with itself in another order, with a share drawn from Beta(α, α).
        minimise: λ > 0 adds λ·H of the answers to as many points of `pool` as a batch has.
        pool: Unlabelled inputs, shape (M, F).
        calibrated: Whether logits are divided, in inference, by the temperature that fits the stopping split.
        seed: Of what is drawn in training.
    """

    def __init__(self, inputs, outputs, *, anneal=0, mixup=0.0, minimise=0.0, pool=None, calibrated=False, seed=0):
        super().__init__(inputs=inputs, outputs=outputs)
        self.anneal, self.mixup, self.minimise, self.calibrated = anneal, mixup, minimise, calibrated
        self.scale = self._weight("scale", 0.0 if anneal else 1.0) if anneal else None
        self.temperature = self._weight("temperature", 1.0) if calibrated else None
        self.pool = None
        if minimise:
            self.pool = self._weight("pool", pool)
        self.random = keras.random.SeedGenerator(seed) if mixup or minimise else None

    def _weight(self, name, value):
        return keras.Variable(value, trainable=False, dtype="float32", name=name)

    def count_params(self):
        """Count the trained weights; the pool is data, the rest a scalar."""
        return sum(int(tf.size(weight)) for weight in self.trainable_variables)

    def call(self, inputs, training=None, mask=None):
        """Return logits, divided by the temperature in inference where there is one."""
        logits = super().call(inputs, training=training)
        return logits / self.temperature if self.calibrated and not training else logits

    def train_step(self, data):
        """Do one step; without a switch it is Keras' own, on one more variable."""
        x, y = data
        if self.scale is not None:
            progress = tf.cast(self.optimizer.iterations, tf.float32) / float(self.anneal)
            self.scale.assign(tf.minimum(1.0, progress))
        with tf.GradientTape() as tape:
            loss = self._objective(x, y)
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}

    def _objective(self, x, y):
        if self.mixup:
            share = keras.random.beta((), self.mixup, self.mixup, seed=self.random)
            order = tf.argsort(keras.random.uniform((tf.shape(x)[0],), seed=self.random))
            logits = self(share * x + (1.0 - share) * tf.gather(x, order), training=True)
            return share * self.loss(y, logits) + (1.0 - share) * self.loss(tf.gather(y, order), logits)
        loss = self.loss(y, self(x, training=True))
        if self.pool is not None:
            pool = keras.ops.convert_to_tensor(self.pool)
            draw = keras.random.uniform((tf.shape(x)[0],), seed=self.random) * float(self.pool.shape[0])
            unlabelled = self(tf.gather(pool, tf.cast(draw, tf.int32)), training=True)
            loss += self.minimise * tf.reduce_mean(entropy_of_logits(unlabelled, keras.ops))
        return loss

    def after_epoch(self, x, y):
        """Fit the temperature to the stopping split `x`, `y`: 40 bisections of a convex problem."""
        if self.temperature is None:
            return
        z = super().call(x, training=False)
        own = tf.reduce_mean(tf.gather(z, y, axis=1, batch_dims=1))
        low, high = tf.constant(0.05), tf.constant(20.0)  # of 1/T
        for _round in range(40):
            middle = tf.sqrt(low * high)
            slope = tf.reduce_mean(tf.reduce_sum(tf.nn.softmax(z * middle) * z, axis=-1)) - own
            low, high = tf.where(slope < 0, middle, low), tf.where(slope < 0, high, middle)
        self.temperature.assign(1.0 / tf.sqrt(low * high))
