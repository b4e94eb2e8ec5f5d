"""Set wrong beside right, both executed: a lesson's two functions run in a worker like any training.

Imports no TensorFlow; the functions of a lesson import it themselves.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import inspect
import re
import textwrap
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from core.result import CURVE_COLUMNS, RunInfo, RunResult
from core.spec import RunSpec

Outcome = list[tuple[str, float | str]]  # what was measured, in words to translate, and its value


@dataclass(frozen=True)
class Lesson:
    """A statement that is often made, code that follows it, code that does better, and what each really does.

    `wrong` and `right` import what they need and return their outcomes; the page shows their sources.
    """

    name: str
    claim: str
    teaches: str
    wrong: Callable[[], Outcome]
    right: Callable[[], Outcome]

    @cached_property
    def sources(self) -> tuple[str, str]:
        """Return the code of both sides, as it runs by itself: labels are left in English."""
        return _alone(self.wrong), _alone(self.right)


def _alone(function: Callable[[], Outcome]) -> str:
    source = textwrap.dedent(inspect.getsource(function)).replace(" -> Outcome:", ":")
    return re.sub(r"\bN_\(", "(", source) + f"\n\nfor outcome in {function.__name__}():\n    print(*outcome)\n"


class LessonRun(RunSpec):
    """The execution of one lesson; `code` hashes its sources, so that a changed lesson runs again."""

    experiment = "lessons"
    recipe = 1

    page: str
    lesson: str
    code: str


def lesson_run(page: str, lesson: Lesson) -> LessonRun:
    """Describe the execution of a lesson of a page."""
    code = hashlib.sha256("".join(lesson.sources).encode()).hexdigest()[:16]
    return LessonRun(seed=0, page=page, lesson=lesson.name, code=code)


def execute(run: LessonRun, lessons: Iterable[Lesson], versions: dict[str, str], host: str) -> RunResult:
    """Run both sides of a lesson (worker only).

    Returns:
        A result whose frame `outcomes` has one row a measured thing: `side` (wrong, right), `label`,
        `value` (NaN for words) and `text` (empty for numbers).
    """
    lesson = next(lesson for lesson in lessons if lesson.name == run.lesson)
    started = time.perf_counter()
    rows = []
    for side, function in (("wrong", lesson.wrong), ("right", lesson.right)):
        for label, value in function():
            is_text = isinstance(value, str)
            rows.append((side, label, float("nan") if is_text else float(value), value if is_text else ""))
    info = RunInfo(
        digest=run.digest,
        spec=run.canonical(),
        status="complete",
        epochs=0,
        final_epoch=0,
        best_epoch=0,
        parameters=0,
        prior_loss=0.0,
        seconds=round(time.perf_counter() - started, 3),
        versions=versions,
        host=host,
        recorded=dt.datetime.now(dt.UTC).replace(microsecond=0),
    )
    nothing = pd.DataFrame([[0, *[0.0] * len(CURVE_COLUMNS)]], columns=["epoch", *CURVE_COLUMNS])
    outcomes = pd.DataFrame(rows, columns=["side", "label", "value", "text"])
    return RunResult(info, {"curves": nothing, "outcomes": outcomes})
