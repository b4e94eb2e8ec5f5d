"""Make two-class data with a stated share of positives out of known data sets; loading happens in workers only.

The facts (`TASKS`) may be read anywhere; imports NumPy and, inside `load_task`, what `loaders` imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.datasets import find_own
from core.i18n import N_

if TYPE_CHECKING:
    from core.datasets.loaders import Progress, Splits

TEST_SHARE, VALIDATION_SHARE, STOPPING_SHARE = 0.3, 0.3, 0.1  # training has the rest
DRAWN = 6_000
DIGITS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)  # images of each


@dataclass(frozen=True)
class Task:
    """The facts of a two-class data set: `n` rows of `inputs` numbers.

    `positive` names the rare class for a viewer, `positives` counts it; a set of several classes has a
    number for each, as any of them can be set against the rest.
    """

    name: str
    label: str
    positive: str
    n: int
    positives: tuple[int, ...]
    inputs: int
    is_image: bool = False

    def parts(self, share: float, positive: int = 0) -> dict[str, tuple[int, int]]:
        """Count the negatives and positives of each split at a share of positives; each has that share, rounded."""
        positives = self.positives[min(positive, len(self.positives) - 1)]
        return cut(*thinned(self.n - positives, positives, share))

    @property
    def rarest(self) -> int:
        """Number the class with the fewest rows."""
        return min(range(len(self.positives)), key=self.positives.__getitem__)

    @property
    def asks_class(self) -> bool:
        """Tell whether a viewer chooses which class is the positive one."""
        return len(self.positives) > 1


def thinned(negatives: int, positives: int, share: float) -> tuple[int, int]:
    """Count what is left of each class when positives make up `share`: one class whole, the other thinned."""
    if share * negatives <= (1 - share) * positives:
        return negatives, max(1, round(share / (1 - share) * negatives))
    return max(1, round((1 - share) / share * positives)), positives


def cut(negatives: int, positives: int) -> dict[str, tuple[int, int]]:
    """Count the rows of each class in each split; training has what the others leave."""
    held_out = {
        name: (round(own * negatives), round(own * positives))
        for name, own in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE), ("stopping", STOPPING_SHARE))
    }
    left = (negatives - sum(n for n, _p in held_out.values()), positives - sum(p for _n, p in held_out.values()))
    return held_out | {"train": left}


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("digits", N_("Digits, one against the rest"), N_("the digit"), 1797, DIGITS, 64, is_image=True),
        Task("breast_cancer", N_("Breast cancer"), N_("malignant"), 569, (212,), 30),
        Task("moons", N_("Moons"), N_("the lower moon"), DRAWN, (DRAWN // 2,), 2),
        Task("circles", N_("Circles"), N_("the inner circle"), DRAWN, (DRAWN // 2,), 2),
    )
}  # fmt: skip


def find_task(name: str) -> Task:
    """Return the task called `name`, of the list or made of a viewer's own data set.

    Raises:
        KeyError: When there is none.
    """
    if name in TASKS:
        return TASKS[name]
    own = find_own(name)
    if own is None:
        raise KeyError(name)
    counts = tuple(np.bincount(own.y.astype(int), minlength=len(own.classes)).tolist())
    return Task(name, own.dataset.label, "", len(own.y), counts, own.x.shape[1])


def load_task(name: str, positive: int, progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Load inputs (N, F) and labels 0 or 1, shape (N,), of a task; `positive` is the class set against the rest."""
    from core.datasets import find
    from core.datasets.loaders import _draw, load

    if name in ("moons", "circles"):
        return _draw(name, DRAWN)
    if (own := find_own(name)) is not None:
        return own.x, (own.y == positive).astype(int)
    x, y = load(find(name), progress)
    if name == "breast_cancer":
        return x, (y == 0).astype(int)  # scikit-learn writes malignant as 0
    return x, (y == positive).astype(int)


def thin(y: np.ndarray, share: float) -> np.ndarray:
    """Choose rows so that positives make up `share` of them: rare positives are dropped, or else negatives.

    Args:
        y: Labels 0 or 1, shape (N,).
        share: In (0, 1).

    Returns:
        Row numbers, the same at every call: which cases are rare belongs to the data, not to the seed.
    """
    rng = np.random.default_rng(5)
    classes = [rng.permutation(np.flatnonzero(y == label)) for label in (0, 1)]
    kept = thinned(len(classes[0]), len(classes[1]), share)
    return np.concatenate([rows[:count] for rows, count in zip(classes, kept, strict=True)])


def split_task(
    x: np.ndarray,
    y: np.ndarray,
    *,
    share: float,
    n_train: int,
    seed: int,
    flipped: float,
    noise: float,
    is_image: bool,
) -> Splits:
    """Cut the data of one seed, every split with the same share of positives; the same for every arm.

    Args:
        x, y: All rows and labels, from `load_task`.
        share: Share of positives to thin to.
        n_train: Training rows at most; what the other splits leave where that is fewer.
        seed: Decides which rows train, validate and steer early stopping, and the noise; the test rows
            are the same for all.
        flipped: Share of the training labels of each class that are turned into the other.
        noise: Standard deviation of Gaussian noise on every input, in units of that input's own.
        is_image: Whether inputs are divided by their largest value instead of standardized.
    """
    from core.datasets.loaders import Split, Splits

    rng = np.random.default_rng([seed, 11])
    kept = thin(y, share)
    counts = cut(int((y[kept] == 0).sum()), int((y[kept] == 1).sum()))
    kept_share = min(1.0, n_train / sum(counts["train"]))
    rows: dict[str, list[np.ndarray]] = {name: [] for name in counts}
    for label in (0, 1):
        own = np.random.default_rng(0).permutation(kept[y[kept] == label])
        test = counts["test"][label]
        rows["test"].append(own[:test])
        own = rng.permutation(own[test:])
        for name in ("validation", "stopping", "train"):
            part, own = own[: counts[name][label]], own[counts[name][label] :]
            rows[name].append(part[: max(1, round(kept_share * len(part)))] if name == "train" else part)
    parts = {name: np.concatenate(both) for name, both in rows.items()}
    parts["train"] = rng.permutation(parts["train"])

    labels = y[parts["train"]].copy()
    for label in (0, 1):
        own = np.flatnonzero(y[parts["train"]] == label)
        labels[np.random.default_rng([seed, 12, label]).permutation(own)[: round(flipped * len(own))]] = 1 - label
    shares = np.bincount(labels, minlength=2) / len(labels)
    prior_loss = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())

    scale = x[parts["train"]].std(0)
    scale = np.where(scale > 0, scale, 1.0)
    inputs = x / x[parts["train"]].max() if is_image else (x - x[parts["train"]].mean(0)) / scale
    if noise:
        spread = np.maximum(inputs[parts["train"]].std(0), 1e-6)
        inputs = inputs + noise * spread * np.random.default_rng([seed, 13]).standard_normal(x.shape)
    inputs, outputs = inputs.astype("float32"), y.astype("int32")
    splits = {name: Split(inputs[rows], outputs[rows]) for name, rows in parts.items()}
    splits["train"] = Split(inputs[parts["train"]], labels.astype("int32"))
    return Splits(**splits, prior_loss=prior_loss)
