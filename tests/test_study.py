"""A study: the arms differ in what it says, and in nothing else; equal runs have equal digests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.experiments.overfitting import EXPERIMENT, OverfittingRun, OverfittingSettings
from core.spec import RunSpec
from core.study import BASELINE, Arm, Study
from tests.conftest import small_study

# Change them with the recipe of the experiment, and only then: they are the keys of every stored result.
DEFAULT_RUN = "e18b05418edcfff3f92efcd892bc5b2aad55007e9b806005e96d5ba80e68efee"
DEFAULT_STUDY = "8ea5e1eb6708a216733bbc2bcc2f00ab89a3d570ec96ea70424f601875f7bc9e"


class Spec(RunSpec):
    """A run with one field to vary and one to hold."""

    experiment = "test"
    recipe = 1
    strength: float = 0.0
    width: int = 8


NONE = Arm(BASELINE, {}, "None")
L2 = Arm("l2", {"strength": 0.1}, "L2")
VARIES = frozenset({"strength"})


def test_every_arm_runs_with_every_seed_and_differs_in_what_varies_only():
    study = Study(Spec(seed=0), (NONE, L2), VARIES, (0, 1, 2))
    assert len(study.runs) == 6
    for arm, seed, spec in study:
        assert spec.seed == seed
        assert isinstance(spec, Spec)
        assert spec.model_copy(update={"strength": 0.0, "seed": 0}) == study.base
        assert spec.strength == arm.changes.get("strength", 0.0)


@pytest.mark.parametrize(
    ("arms", "seeds"),
    [
        ((NONE, Arm("wide", {"width": 16}, "Wide")), (0,)),
        ((NONE, Arm("both", {"strength": 0.1, "width": 16}, "Both")), (0,)),
        ((NONE, Arm("seeded", {"seed": 3}, "Seeded")), (0,)),
        ((NONE, L2, L2), (0,)),
        ((NONE, NONE), (0,)),
        ((L2, NONE), (0,)),
        ((L2,), (0,)),
        ((), (0,)),
        ((Arm(BASELINE, {"strength": 0.1}, "None"), L2), (0,)),
        ((NONE, L2), (0, 1, 0)),
        ((NONE, L2), ()),
    ],
    ids=["other field", "a second field", "seed", "twice", "baseline twice", "baseline last", "no baseline", "nothing",
         "baseline changed", "seed twice", "no seed"],
)  # fmt: skip
def test_study_refuses_what_would_not_be_a_fair_comparison(arms, seeds):
    with pytest.raises(ValueError, match=r"Expected .*received"):
        Study(Spec(seed=0), arms, VARIES, seeds)


def test_unknown_field_of_a_spec_is_refused():
    with pytest.raises(ValueError, match="Extra inputs"):
        Spec(seed=0, depth=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="finite"):
        Spec(seed=0, strength=float("nan"))


def test_digests_of_the_default_study_have_not_moved():
    study = EXPERIMENT.study(OverfittingSettings())
    assert study.runs[BASELINE, 0].digest == DEFAULT_RUN
    assert study.digest == DEFAULT_STUDY


def test_digest_depends_on_every_field_of_a_run():
    base = EXPERIMENT.study(OverfittingSettings()).runs[BASELINE, 0]
    other = {"dataset": "wine", "optimizer": "sgd"}
    changed = set()
    for field, value in base:
        moved = other[field] if field in other else not value if isinstance(value, bool) else value + 1
        changed.add(base.model_copy(update={field: moved}).canonical())
    assert len(changed | {base.canonical()}) == len(OverfittingRun.model_fields) + 1


def test_same_strength_in_two_studies_is_one_run():
    one = small_study(arms=("l1", "l2"))
    two = small_study(arms=("l2", "dropout"), l1=0.5)
    assert one.runs["l2", 1].digest == two.runs["l2", 1].digest
    assert one.runs[BASELINE, 0].digest == two.runs[BASELINE, 0].digest
    assert one.digest != two.digest


def test_what_is_only_looked_at_is_in_no_digest():
    plain = EXPERIMENT.study(OverfittingSettings())
    looked = EXPERIMENT.study(OverfittingSettings(moment="best", smoothing=0.5))
    assert plain.digest == looked.digest


def test_whole_number_written_as_a_real_is_the_same_run():
    assert Spec(seed=0, strength=1).digest == Spec(seed=0, strength=1.0).digest


@given(st.lists(st.sampled_from(list(EXPERIMENT.arm_names[1:])), min_size=1, unique=True), st.integers(1, 5))
def test_arms_of_any_choice_share_data_net_and_training(names, seeds):
    study = small_study(seeds=seeds, arms=[name for name in EXPERIMENT.arm_names if name in names])
    assert [arm.name for arm in study.arms] == [name for name in EXPERIMENT.arm_names if name in (BASELINE, *names)]
    fixed = set(OverfittingRun.model_fields) - study.varies - {"seed"}
    assert len({spec.model_dump_json(include=fixed) for spec in study.runs.values()}) == 1
    assert len({spec.digest for spec in study.runs.values()}) == len(study.runs)
