"""Time a training step on our losses against Keras' own of the same formula: `python -m tests.benchmarks.custom_loss_cost`.

An epoch of the engine's graph counts, as on the page: the same net, data, batches and measurements, and nothing but
the loss differs. The gallery's losses and the same formulas typed by a viewer take turns with the built-in ones.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from tests.benchmarks._common import in_fresh_process, print_figure, say

MODULE = "tests.benchmarks.custom_loss_cost"
ROUNDS = 3  # fresh processes
TURNS = 40  # epochs of each loss a process, in turn, so that a busy moment meets all alike
STEPS = 32  # a turn

# Gallery name, Keras' class and its arguments, the data set, and the formula as a viewer would type it.
PAIRS = {
    "mse": ("MeanSquaredError", {}, "friedman", "(y_true - y_pred)**2"),
    "huber": (
        "Huber", {"delta": 1.0}, "friedman",
        "where(abs(y_true - y_pred) < k, 0.5*(y_true - y_pred)**2, k*(abs(y_true - y_pred) - 0.5*k))",
    ),
    "log_cosh": ("LogCosh", {}, "friedman", "abs(y_true - y_pred) + softplus(-2*abs(y_true - y_pred)) - log(2)"),
    "cross_entropy": ("SparseCategoricalCrossentropy", {"from_logits": True}, "digits", "-log_p"),
}  # fmt: skip


def main() -> None:
    """Measure every pair in fresh processes and print the ratios."""
    gallery, own = [], []
    for name in PAIRS:
        rounds = [in_fresh_process(MODULE, name) for _ in range(ROUNDS)]
        ratios = {key: statistics.median(one[key] / one["keras"] for one in rounds) for key in ("gallery", "own")}
        seconds = statistics.median(one["keras"] for one in rounds)
        say(
            f"{name}: Keras {1e6 * seconds / STEPS:.0f} µs a step; gallery ×{ratios['gallery']:.3f}, typed ×{ratios['own']:.3f}"
        )
        gallery.append(ratios["gallery"])
        own.append(ratios["own"])
    print_figure("ratio", "custom_loss_cost", max(gallery))
    print_figure("ratio", "custom_loss_cost_typed", max(own))


def time_steps(name: str) -> dict[str, float]:
    """Return the median seconds of `STEPS` training steps on Keras' loss, ours and the typed one."""
    import keras
    import numpy as np
    import tensorflow as tf

    from core.experiments.custom_loss import EXPERIMENT, SETS, CustomLossSettings, build_net, loss_of
    from core.training import Program

    class_name, arguments, dataset, text = PAIRS[name]
    field = (
        {"losses": "own", "formula": text} if dataset == "friedman" else {"class_losses": "own", "class_formula": text}
    )
    query = CustomLossSettings(dataset=dataset, n_train=1_000, width=64, outliers=0.0).query()
    settings = CustomLossSettings.parse(query).model_copy(
        update={key: (value,) if key.endswith("losses") else value for key, value in field.items()}
    )
    study = EXPERIMENT.study(settings)
    spec = study.spec(study.arms[1], 0)
    own = EXPERIMENT.model(spec)
    base = study.base if name in ("mse", "cross_entropy") else study.base.model_copy(update={"loss": name})
    assert loss_of(base)[1].text  # type: ignore[arg-type]
    models = {
        "keras": build_net(spec, SETS[dataset], getattr(keras.losses, class_name)(**arguments)),  # type: ignore[arg-type]
        "gallery": EXPERIMENT.model(base),  # type: ignore[arg-type]
        "own": own,
    }
    data = EXPERIMENT.data(spec)  # type: ignore[arg-type]
    yardstick = EXPERIMENT.data_loss(spec, own)  # type: ignore[arg-type]
    programs = {key: Program(model, 32, data.train, yardstick) for key, model in models.items()}
    x, y = tf.constant(data.train.x), tf.constant(data.train.y)
    # Measurements are the same for all and not what is asked: two rows keep them short.
    held_out = [part[:2] for part in (x, y, x, y)]
    order = tf.constant(np.arange(32 * STEPS) % len(data.train.x), tf.int32)
    times: dict[str, list[float]] = {key: [] for key in programs}
    for turn in range(TURNS + 3):
        for key in sorted(programs, key=lambda key: (hash(key) + turn) % 3):
            started = time.perf_counter()
            programs[key].epoch(order, x, y, held_out).numpy()
            if turn >= 3:  # the first ones trace and warm up
                times[key].append(time.perf_counter() - started)
    return {key: statistics.median(values) for key, values in times.items()}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        from core.engine.task import prepare

        prepare()
        print(json.dumps(time_steps(sys.argv[1])))
    else:
        main()
