"""What is often said about regularization, executed beside what holds; and what to predict."""

from __future__ import annotations

from core.comparison import Comparison
from core.experiments import Task
from core.i18n import N_
from core.lessons import Lesson, Outcome
from core.teaching.answers import what_validation_does


def dropout_as_an_option() -> Outcome:
    import keras

    try:
        keras.layers.Dense(64, activation="relu", dropoutRate=0.5)
    except ValueError as error:
        return [(N_("Keras answers"), str(error).splitlines()[0])]
    return [(N_("Keras answers"), "Dense")]


def dropout_as_a_layer() -> Outcome:
    import keras
    import numpy as np

    x = np.random.default_rng(0).normal(size=(2_000, 20)).astype("float32")
    hidden = keras.layers.Dense(64, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(seed=1))(x)
    dropout = keras.layers.Dropout(0.5, seed=2)
    active = np.asarray(hidden) > 0
    in_training = np.asarray(dropout(hidden, training=True))
    in_inference = np.asarray(dropout(hidden, training=False))
    return [
        (N_("Share of active outputs set to zero in training"), float((in_training[active] == 0).mean())),
        (N_("Share of active outputs set to zero in inference"), float((in_inference[active] == 0).mean())),
    ]


def zero_the_weights() -> Outcome:
    import numpy as np

    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(200, 20)), rng.normal(size=(20, 50))
    passes = [x @ (kernel * (rng.uniform(size=kernel.shape) >= 0.5)) / 0.5 for _ in range(30)]
    answers = np.stack([np.maximum(one, 0) for one in passes])
    active = np.maximum(x @ kernel, 0) > 1
    values = [len(np.unique(answers[:, i, j].round(6))) for i, j in np.argwhere(active)[:200]]
    return [
        (N_("Share of active outputs at zero"), float((answers[:, active] == 0).mean())),
        (N_("Different values of one output in 30 passes"), float(np.mean(values))),
    ]


def zero_the_outputs() -> Outcome:
    import keras
    import numpy as np

    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(200, 20)), rng.normal(size=(20, 50))
    hidden = np.maximum(x @ kernel, 0).astype("float32")
    dropout = keras.layers.Dropout(0.5, seed=1)
    answers = np.stack([np.asarray(dropout(hidden, training=True)) for _ in range(30)])
    active = hidden > 1
    values = [len(np.unique(answers[:, i, j].round(6))) for i, j in np.argwhere(active)[:200]]
    return [
        (N_("Share of active outputs at zero"), float((answers[:, active] == 0).mean())),
        (N_("Different values of one output in 30 passes"), float(np.mean(values))),
    ]


def read_val_loss() -> Outcome:
    import keras
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, noisy = x / 16, y.copy()
    noisy[:150:5] = (y[:150:5] + 1) % 10  # every fifth training label is wrong
    losses = []
    for strength in (0.0, 0.01):
        keras.utils.set_random_seed(0)
        penalty = keras.regularizers.L2(strength)
        model = keras.Sequential(
            [
                keras.layers.Dense(256, activation="relu", kernel_regularizer=penalty),
                keras.layers.Dense(256, activation="relu", kernel_regularizer=penalty),
                keras.layers.Dense(10, kernel_regularizer=penalty),
            ]
        )
        model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        history = model.fit(
            x[:150],
            noisy[:150],
            epochs=50,
            batch_size=150,
            verbose=0,
            validation_data=(x[500:], y[500:]),
            validation_freq=50,
        )
        losses.append(history.history["val_loss"][-1])
    return [
        (N_("`val_loss` without regularization"), losses[0]),
        (N_("`val_loss` with L2"), losses[1]),
    ]


def measure_data_loss() -> Outcome:
    import keras
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, noisy = x / 16, y.copy()
    noisy[:150:5] = (y[:150:5] + 1) % 10  # every fifth training label is wrong
    losses = []
    for strength in (0.0, 0.01):
        keras.utils.set_random_seed(0)
        penalty = keras.regularizers.L2(strength)
        model = keras.Sequential(
            [
                keras.layers.Dense(256, activation="relu", kernel_regularizer=penalty),
                keras.layers.Dense(256, activation="relu", kernel_regularizer=penalty),
                keras.layers.Dense(10, kernel_regularizer=penalty),
            ]
        )
        model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x[:150], noisy[:150], epochs=50, batch_size=150, verbose=0)
        losses.append(float(model.loss(y[500:], model(x[500:], training=False))))
    return [
        (N_("Validation data loss without regularization"), losses[0]),
        (N_("Validation data loss with L2"), losses[1]),
    ]


def decay_by_l2() -> Outcome:
    import keras
    import numpy as np
    import tensorflow as tf

    scales = np.array([[10.0], [0.01]], "float32")  # a hundred weights with large gradients, a hundred with small
    noise = np.random.default_rng(0).normal(size=(300, 2, 100)).astype("float32")
    weights = keras.Variable(np.ones((2, 100), "float32"))
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build([weights])
    for step in noise:
        with tf.GradientTape() as tape:
            data_loss = tf.reduce_sum(weights * step * scales)
            loss = data_loss + 0.1 * tf.reduce_sum(tf.square(weights))
        optimizer.apply([tape.gradient(loss, weights.value)])
    large, small = np.asarray(weights).mean(1)
    return [
        (N_("What is left of weights with large gradients"), float(large)),
        (N_("What is left of weights with small gradients"), float(small)),
    ]


def decay_by_itself() -> Outcome:
    import keras
    import numpy as np
    import tensorflow as tf

    scales = np.array([[10.0], [0.01]], "float32")
    noise = np.random.default_rng(0).normal(size=(300, 2, 100)).astype("float32")
    weights = keras.Variable(np.ones((2, 100), "float32"))
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=1.0)
    optimizer.build([weights])
    for step in noise:
        with tf.GradientTape() as tape:
            data_loss = tf.reduce_sum(weights * step * scales)
        optimizer.apply([tape.gradient(data_loss, weights.value)])
    large, small = np.asarray(weights).mean(1)
    return [
        (N_("What is left of weights with large gradients"), float(large)),
        (N_("What is left of weights with small gradients"), float(small)),
    ]


LESSONS = (
    Lesson(
        "dropout_rate",
        N_("“A dense layer takes a `dropoutRate`.”"),
        N_(
            "It takes none. Where unknown options are ignored, as in TensorFlow.js, no dropout happens and nothing is"
            " said; Keras refuses. Dropout is a layer of its own, and it is at rest in inference."
        ),
        dropout_as_an_option,
        dropout_as_a_layer,
    ),
    Lesson(
        "outputs_not_weights",
        N_("“Dropout sets a share of the weights to zero.”"),
        N_(
            "Zeroing weights is DropConnect (Wan et al. 2013): most outputs stay on and take another value each"
            " time. Dropout zeroes outputs: each is off, or scaled by 1/(1−rate)."
        ),
        zero_the_weights,
        zero_the_outputs,
    ),
    Lesson(
        "val_loss",
        N_("“The run with the lower `val_loss` generalizes better.”"),
        N_(
            "In Keras `val_loss` contains the weight penalty, so it cannot be compared between a penalized net and a"
            " plain one. The data loss on the same points can, and the order turns round."
        ),
        read_val_loss,
        measure_data_loss,
    ),
    Lesson(
        "decoupled_decay",
        N_("“L2 is weight decay.”"),
        N_(
            "Under plain SGD they agree. Adam divides the penalty's gradient by the size of past gradients, so a weight"
            " with large gradients is hardly decayed; decoupled decay shrinks both alike (Loshchilov & Hutter 2019)."
        ),
        decay_by_l2,
        decay_by_itself,
    ),
)


def _what_helps_most(comparison: Comparison) -> frozenset[int]:
    effects = comparison.effects()
    best = effects[0].arm
    tied = [e.arm.name for e in effects if e.is_better and not comparison.difference(best, e.arm, e.measure).is_better]
    order = ["l1", "l2", "dropout", "early_stopping"]
    return frozenset(order.index(name) for name in tied) if tied else frozenset({len(order)})


def _what_too_much_does(comparison: Comparison) -> frozenset[int]:
    seeds = len(comparison.study.seeds)
    collapsed = any(comparison.seeds_with(arm, collapsed=True) == seeds for arm in comparison.study.treatments)
    better = any(effect.is_better for effect in comparison.effects())
    return frozenset({2 if collapsed else 0 if better else 1})


TASKS = (
    Task(
        "validation",
        "noisy_digits",
        N_(
            "A large net learns 300 digits by heart, a fifth of them with wrong labels. What does its validation loss do?"
        ),
        (
            N_("It falls as long as training goes on"),
            N_("It falls, then stays level"),
            N_("It falls, then rises well above its best"),
        ),
        what_validation_does,
        N_(
            "To fit the wrong labels the net must become sure of wrong answers, and each of those costs dearly on new points."
        ),
    ),
    Task(
        "remedy",
        "noisy_digits",
        N_("Same net, same data: which remedy lowers the validation loss at the end most?"),
        (N_("L1"), N_("L2"), N_("Dropout"), N_("Early stopping"), N_("None of them helps")),
        _what_helps_most,
        N_(
            "Where two remedies lie within each other's interval, both count as right: the data do not tell them apart."
        ),
    ),
    Task(
        "too_much",
        "too_much",
        N_("L1 or L2 with λ = 1, or a dropout rate of 0.95: what becomes of the net?"),
        (
            N_("More of a good thing: validation loss falls further"),
            N_("Worse than before, but it still tells digits apart"),
            N_("With at least one remedy it gives the same answer for every input"),
        ),
        _what_too_much_does,
        N_(
            "Once the penalty outweighs the data, the cheapest net has no weights left: it knows the shares of the classes and nothing else."
        ),
    ),
)
