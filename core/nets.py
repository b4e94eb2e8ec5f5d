"""Build the dense net of a run; Keras is imported inside the functions, which only workers call.

The exported scripts carry the source of these functions, so they stand on Keras and NumPy alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def build_model(spec: Any, dataset: Any) -> keras.Model:
    """Build and compile the net of a run; arms of one seed start from equal weights.

    Args:
        spec: Says `width`, `depth`, `seed` and the strength of every regularizer, 0 for none.
        dataset: Says `inputs`, `outputs`, `shape` and `kind`.
    """
    import keras

    penalty = keras.regularizers.L1L2(l1=spec.l1, l2=spec.l2) if spec.l1 or spec.l2 else None
    limit = keras.constraints.MaxNorm(spec.max_norm, axis=0) if spec.max_norm else None

    def dense(units: int, layer: int, activation: str | None) -> keras.layers.Dense:
        # A seed of its own for every layer, so that a dropout layer between does not shift the next one's.
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed=1_000 * spec.seed + layer),
            kernel_regularizer=penalty,
            kernel_constraint=limit,
        )

    inputs = outputs = keras.Input((dataset.inputs,))
    if spec.augmentation:
        image = keras.layers.Reshape((*dataset.shape, 1))(inputs)
        image = keras.layers.RandomTranslation(
            spec.augmentation, spec.augmentation, fill_mode="constant", seed=1_000 * spec.seed + 700
        )(image)
        image = keras.layers.RandomRotation(spec.augmentation / 3, fill_mode="constant", seed=1_000 * spec.seed + 701)(
            image
        )
        outputs = keras.layers.Flatten()(image)
    if spec.gaussian_noise:
        outputs = keras.layers.GaussianNoise(spec.gaussian_noise, seed=1_000 * spec.seed + 800)(outputs)
    for layer in range(spec.depth):
        if spec.batch_norm:
            outputs = dense(spec.width, layer, None)(outputs)
            outputs = keras.layers.BatchNormalization(momentum=0.9)(outputs)
            outputs = keras.layers.Activation("relu")(outputs)
        else:
            outputs = dense(spec.width, layer, "relu")(outputs)
        if spec.dropout:
            outputs = keras.layers.Dropout(spec.dropout, seed=1_000 * spec.seed + 500 + layer)(outputs)
    outputs = dense(dataset.outputs, spec.depth, None)(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=build_optimizer(spec), loss=build_loss(dataset.kind, spec.label_smoothing), jit_compile=False
    )
    return model


def build_optimizer(spec: Any) -> keras.optimizers.Optimizer:
    """Build the optimizer of a run, its biases free of weight decay."""
    import keras

    decay = spec.weight_decay or None
    rate = spec.learning_rate
    if spec.cosine_decay:  # from the rate down to nothing at the last step (Loshchilov & Hutter 2017, equation 5)
        steps = spec.epochs * -(-spec.n_train // spec.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(spec.learning_rate, steps)
    build = {
        "adam": lambda: keras.optimizers.Adam(rate, weight_decay=decay),
        "sgd": lambda: keras.optimizers.SGD(rate, weight_decay=decay),
        "momentum": lambda: keras.optimizers.SGD(rate, momentum=0.9, weight_decay=decay),
        "rmsprop": lambda: keras.optimizers.RMSprop(rate, weight_decay=decay),
    }
    optimizer = build[spec.optimizer]()
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def build_loss(kind: str, label_smoothing: float = 0.0) -> keras.losses.Loss:
    """Build the loss: squared error, or cross-entropy from logits, its targets smoothed by a share.

    Smoothing replaces the one-hot target y by (1 − ε)·y + ε/K (Szegedy et al. 2016, section 7).
    """
    import keras

    if kind == "regression":
        return keras.losses.MeanSquaredError()
    if not label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    class SmoothedCrossentropy(keras.losses.Loss):
        def call(self, y_true, y_pred):
            one_hot = keras.ops.one_hot(keras.ops.cast(y_true, "int32"), y_pred.shape[-1])
            return keras.losses.categorical_crossentropy(
                one_hot, y_pred, from_logits=True, label_smoothing=label_smoothing
            )

    return SmoothedCrossentropy()
