"""The contract of every experiment: what a page, a worker, the command line and the gallery count on."""

from __future__ import annotations

import importlib
import typing

import numpy as np
import pytest

from core.experiments import Experiment, experiments
from core.i18n import _
from core.settings import Choice, Choices, Settings
from core.spec import RunSpec
from core.study import BASELINE
from tests.conftest import ROOT, downloads

ALL = list(experiments().values())
PRESETS = [(experiment, preset) for experiment in ALL for preset in experiment.presets]
each_experiment = pytest.mark.parametrize("experiment", ALL, ids=lambda experiment: experiment.name)
each_preset = pytest.mark.parametrize(
    ("experiment", "preset"), PRESETS, ids=[f"{experiment.name}-{preset.name}" for experiment, preset in PRESETS]
)


def test_there_is_an_experiment_for_every_page_but_home():
    pages = {file.stem for file in (ROOT / "pages").glob("*.py")}
    assert pages - {"home", "library"} == set(experiments())
    assert list(experiments()) == [e.name for e in sorted(ALL, key=lambda e: e.order)]
    assert len({experiment.order for experiment in ALL}) == len(ALL)


@each_experiment
def test_name_is_that_of_the_module_and_of_the_spec(experiment):
    module = importlib.import_module(f"core.experiments.{experiment.name}")
    assert module.EXPERIMENT is experiment
    assert experiment.spec.experiment == experiment.name
    assert isinstance(experiment, Experiment)
    assert issubclass(experiment.settings, Settings)
    assert issubclass(experiment.spec, RunSpec)
    assert experiment.spec.recipe >= 1


@each_experiment
def test_words_are_there(experiment):
    words = [experiment.title, experiment.question, experiment.summary, experiment.held_fixed]
    for control in experiment.settings.controls().values():
        words += [control.label, control.help, control.group]
        if isinstance(control, Choice | Choices):
            words += control.options.values()
    for preset in experiment.presets:
        words += [preset.title, preset.reason]
    for word in words:
        assert word.strip() == word
        assert word
        assert _(word)
    assert experiment.icon.startswith(":material/")
    assert experiment.question.endswith("?")


@each_experiment
def test_every_setting_has_one_control_and_a_typed_default(experiment):
    controls = experiment.settings.controls()
    assert list(controls) == list(experiment.settings.model_fields)
    for key, field in experiment.settings.model_fields.items():
        assert not field.is_required(), key
        assert controls[key].accepts(field.default), key
    assert experiment.settings().query() == experiment.settings.parse("").query()


@each_experiment
def test_fields_of_a_run_are_plain_and_typed(experiment):
    hints = typing.get_type_hints(experiment.spec)
    for name in experiment.spec.model_fields:
        assert hints[name] in (int, float, str, bool), name
    assert experiment.spec.outside_model <= set(experiment.spec.model_fields)
    assert "seed" in experiment.spec.outside_model


@each_experiment
def test_presets_are_distinct_and_the_first_is_the_default(experiment):
    presets = experiment.presets
    assert len(presets) >= 3
    assert len({preset.name for preset in presets}) == len(presets)
    assert len({preset.title for preset in presets}) == len(presets)
    settings = [experiment.settings.parse(preset.query) for preset in presets]
    assert len(set(settings)) == len(presets)
    assert settings[0] == experiment.settings()
    assert any(preset.goes_wrong for preset in presets)
    assert not presets[0].goes_wrong


@each_preset
def test_study_of_a_preset_has_the_baseline_first_and_known_arms(experiment, preset):
    settings = experiment.settings.parse(preset.query)
    study = experiment.study(settings)
    names = [arm.name for arm in study.arms]
    assert names[0] == BASELINE == experiment.arm_names[0]
    assert set(names) <= set(experiment.arm_names)
    assert len(names) >= 2
    assert names == [name for name in experiment.arm_names if name in names]
    assert all(type(spec) is experiment.spec for spec in study.runs.values())
    assert len({spec.digest for spec in study.runs.values()}) == len(study.runs)
    for arm in study.arms:
        assert arm.label.format(**dict(arm.arguments))
    facts = experiment.facts(settings)
    assert facts
    assert all(facts)


@each_preset
def test_cost_and_ceiling_are_positive_numbers(experiment, preset):
    for spec in experiment.study(experiment.settings.parse(preset.query)).runs.values():
        assert 0 < experiment.multiplications(spec) < 1e15
        assert 0 < experiment.loss_ceiling(spec) < 10


@each_experiment
def test_arms_that_differ_in_nothing_else_share_a_graph_over_seeds(experiment):
    study = experiment.study(experiment.settings())
    keys: dict[str, set[str]] = {}
    for arm, _seed, spec in study:
        keys.setdefault(arm.name, set()).add(spec.model_key)
    assert all(len(own) == 1 for own in keys.values())


@pytest.mark.slow
@each_preset
def test_data_and_model_of_every_arm_build_and_fit_together(experiment, preset):
    import keras

    study = experiment.study(experiment.settings.parse(preset.query))
    for arm in study.arms:
        spec = study.spec(arm, study.seeds[0])
        with downloads():
            splits = experiment.data(spec)
        model = experiment.model(spec)
        assert isinstance(model, keras.Model)
        assert model.optimizer is not None
        assert isinstance(model.loss, keras.losses.Loss)
        outputs = np.asarray(model(splits.train.x[:4], training=False))
        assert np.isfinite(outputs).all()
        # a preset that goes wrong may do so from the start
        assert preset.goes_wrong or np.isfinite(float(model.loss(splits.train.y[:4], outputs)))


@pytest.mark.slow
@each_experiment
def test_arms_of_a_seed_start_from_equal_weights_and_seeds_do_not(experiment):
    study = experiment.study(experiment.settings())
    with downloads():
        first = {arm.name: experiment.model(study.spec(arm, 0)).get_weights() for arm in study.arms}
    for weights in first.values():
        kernels = [one for one in weights if one.ndim > 1]
        expected = [one for one in first[BASELINE] if one.ndim > 1]
        assert all(np.array_equal(one, other) for one, other in zip(kernels, expected, strict=True))
    other = experiment.model(study.spec(study.arms[0], 1)).get_weights()
    assert not np.array_equal(other[0], first[BASELINE][0])


@each_experiment
def test_idle_settings_change_no_run_and_every_strength_is_offered_with_its_arm(experiment):
    settings = experiment.settings()
    idle, shown = settings.idle(), set(experiment.shown(settings))
    for key in idle & set(experiment.settings.controls()):
        control = experiment.settings.controls()[key]
        values = [*getattr(control, "marks", ()), *(getattr(control, "options", None) or ())]
        values = values or [getattr(control, "low", ""), getattr(control, "high", "")]
        for value in values[:3]:
            other = experiment.settings.read(
                f"{key}={control.format((value,) if isinstance(control, Choices) else value)}"
            )
            assert set(experiment.shown(other[0])) == shown, key
    if "arms" in experiment.settings.controls():
        every = tuple(experiment.settings.controls()["arms"].options)
        assert not experiment.settings.model_construct(**dict(settings) | {"arms": every}).idle()
