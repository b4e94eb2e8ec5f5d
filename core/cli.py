"""The command line: `compare` an experiment's settings, or record the `gallery`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core.comparison import MEASURES, At, Comparison, label, tidy_tables
from core.config import GALLERY, read_config
from core.datasets import look_up_with
from core.engine.client import Engine, EngineBusyError
from core.experiments import Experiment, experiments
from core.gallery import RecordingError, record
from core.i18n import LANGUAGES, _, choose_language, use_language
from core.library import Library
from core.settings import InvalidSettingsError, Settings, shorten
from core.store import Store


class UsageError(Exception):
    """Bad input of a command; its text is the sentence to print."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 when it did what it says, 1 when runs failed, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python3 -m core", description="Contraste on the command line.")
    commands = parser.add_subparsers(dest="command", required=True)
    compare_parser = commands.add_parser("compare", help="train what a link describes and compare its arms")
    compare_parser.add_argument("link", help='such as "overfitting?dataset=digits&l2=0.001&seeds=5", or a copied link')
    compare_parser.add_argument("--json", action="store_true", help="print one JSON object")
    compare_parser.add_argument("--out", type=Path, metavar="DIR", help="write tidy CSV files into DIR")
    compare_parser.add_argument("--lang", choices=list(LANGUAGES), help="language of the verdict")
    settings_parser = commands.add_parser("settings", help="list what a link can set, with ranges and defaults")
    settings_parser.add_argument("experiment", choices=list(experiments()))
    settings_parser.add_argument("--lang", choices=list(LANGUAGES), help="language of the descriptions")
    gallery_parser = commands.add_parser("gallery", help="record the results that ship with the code")
    gallery_parser.add_argument("experiment", nargs="*", choices=[*experiments(), []], help="all where none is named")
    gallery_parser.add_argument("--anew", action="store_true", help="train everything again")
    commands.add_parser("start", help="start the dashboard; what follows goes to streamlit run")
    commands.add_parser("test", help="run every check; what follows goes to pytest")
    options = parser.parse_args(arguments)
    lang = getattr(options, "lang", None)
    use_language(lang or choose_language(os.environ.get("LC_ALL") or os.environ.get("LANG")))
    try:
        config = read_config()
        if config.problems:
            raise UsageError(" ".join(problem.sentence() for problem in config.problems))
        look_up_with(lambda digest: _attachment(config.store_url, digest))
        run = {"compare": compare, "settings": describe, "gallery": gallery}[options.command]
        return run(options, config)
    except (UsageError, InvalidSettingsError) as error:
        print(error, file=sys.stderr)
        return 2
    except EngineBusyError as error:
        print(f"Too many runs wait already ({error}); try again later.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _attachment(store_url: str, digest: str) -> bytes | None:
    store = Store(store_url)
    try:
        return store.attachment(digest)
    finally:
        store.close()


def read_link(link: str) -> tuple[Experiment, Settings]:
    """Read `experiment?query`, or a whole address copied from a page.

    Raises:
        UsageError: When the experiment is unknown.
        InvalidSettingsError: When a setting is.
    """
    try:
        parts = urlsplit(link)
    except ValueError:
        raise UsageError(f"Invalid link. Expected experiment?setting=value&…; received {shorten(link)}.") from None
    name = parts.path.rstrip("/").rsplit("/", 1)[-1]
    if name not in experiments():
        raise UsageError(f"Invalid experiment. Expected one of {', '.join(experiments())}; received {shorten(name)}.")
    experiment = experiments()[name]
    return experiment, experiment.settings.parse(parts.query)


def compare(options: argparse.Namespace, config) -> int:
    """Train what is missing, then print the comparison."""
    experiment, settings = read_link(options.link)
    if options.out and options.out.exists() and not options.out.is_dir():
        raise UsageError(f"Invalid --out. Expected a folder; received the file {options.out}.")
    study = experiment.study(settings)
    store = Store(config.store_url, GALLERY)
    engine = Engine(store, config)
    digests = [spec.digest for spec in study.runs.values()]
    try:
        comparison = Comparison(study, store.get(digests))
        if comparison.missing:
            engine.submit(study.runs.values())  # which leaves out what is stored
            Library(store).note(experiment, settings.query(), study)
            engine.wait(digests, 0.2, lambda: _print_progress(engine, digests))
            comparison = Comparison(study, store.get(digests) | engine.partial(digests))
    finally:
        engine.close()
        store.close()
    if options.out:
        write_tables(comparison, options.out)
    if options.json:
        print(json.dumps(as_json(experiment, comparison, settings), ensure_ascii=False, allow_nan=False))
    else:
        print(experiment.verdict(comparison, settings))
    for sentence in dict.fromkeys(failure.sentence() for failure in comparison.failures):
        print(sentence, file=sys.stderr)
    return 1 if comparison.missing else 0


def _print_progress(engine: Engine, digests: list[str]) -> None:
    if sys.stderr.isatty():
        progress = engine.progress(digests)
        print(f"\r{progress.runs_done}/{progress.runs} runs, {progress.share:.0%} ", end="", file=sys.stderr)


def as_json(experiment: Experiment, comparison: Comparison, settings: Settings) -> dict[str, Any]:
    """Turn a comparison into plain data.

    `arms` maps each label to its `name`, `parameters` and `seeds`: per seed the `status`, `seconds` and
    the measures at the `best` and the `last` epoch. `comparisons` holds one entry an arm and measure:
    the mean paired `difference` to the baseline in the measure's unit with its 95 % interval, and for
    losses the same as a share of the baseline (`relative`). Numbers that do not exist are null.
    """
    rows = comparison.outcomes
    at: At = getattr(settings, "moment", "last")
    arms: dict[str, Any] = {}
    for arm in comparison.study.arms:
        own = rows[rows["arm"] == arm.name] if len(rows) else rows
        seeds = {}
        for seed, both in own.groupby("seed") if len(own) else ():
            first = both.iloc[0]
            measured = {row["at"]: {key: _number(row[key]) for key in MEASURED} for _, row in both.iterrows()}
            seeds[str(seed)] = {"status": first["status"], "seconds": _number(first["seconds"]), **measured}
        parameters = int(own["parameters"].iloc[0]) if len(own) else None
        seconds = _number(own.loc[own["at"] == "last", "seconds"].sum()) if len(own) else None
        arms[label(arm)] = {"name": arm.name, "parameters": parameters, "seconds": seconds, "seeds": seeds}
    return {
        "digest": comparison.study.digest,
        "settings": {key: list(value) if isinstance(value, tuple) else value for key, value in settings},
        "arms": arms,
        "comparisons": [
            {
                "arm": label(effect.arm),
                "measure": measure.name,
                "at": at,
                "difference": _number(effect.absolute.mean),
                "low": _number(effect.absolute.low),
                "high": _number(effect.absolute.high),
                "relative": (
                    {key: _number(getattr(effect.relative, key)) for key in ("mean", "low", "high")}
                    if measure.is_relative
                    else None
                ),
                "seeds": effect.absolute.n,
                "significant": effect.is_significant,
            }
            for measure in MEASURES
            for effect in comparison.effects(measure, at)
        ],
        "verdict": experiment.verdict(comparison, settings),
    }


MEASURED = ("epoch", "train_loss", "validation_loss", "train_score", "validation_score", "penalty", "gap")


def _number(value: Any) -> float | int | None:
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, int):
        return plain
    return float(plain) if plain == plain and abs(plain) != float("inf") else None


def write_tables(comparison: Comparison, folder: Path) -> None:
    """Write `curves.csv`, `outcomes.csv` and `effects.csv`, tidy, with machine names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tidy_tables(comparison).items():
        frame.to_csv(folder / f"{name}.csv", index=False)


def describe(options: argparse.Namespace, _config) -> int:
    """List the settings of an experiment, from their declaration."""
    settings = experiments()[options.experiment].settings
    for key, control in settings.controls().items():
        default = control.format(settings.model_fields[key].default)
        print(f"{key}={default}\n    {_(control.label)}: {control.accepted()}. {_(control.help)}")
    return 0


def gallery(options: argparse.Namespace, config) -> int:
    """Record the gallery."""

    def tell(progress) -> None:
        if sys.stderr.isatty():
            print(f"\r{progress.runs_done}/{progress.runs} runs ", end="", file=sys.stderr)

    try:
        trained = record(GALLERY, config, options.experiment, anew=options.anew, on_progress=tell)
    except RecordingError as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(file.stat().st_size for file in GALLERY.glob("*.sqlite"))
    print(f"{trained} runs trained; {GALLERY.name} holds {size / 1e6:.1f} MB.")
    return 0
