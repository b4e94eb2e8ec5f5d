"""Make what a viewer takes away: one offline page, an archive, a script that needs no Contraste.

Imports no Streamlit; charts come as figures, tables from the comparison.
"""

from __future__ import annotations

import html
import inspect
import io
import json
import math
import pprint
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from core.attachments import OWN_PREFIX
from core.charts.figure import Figure
from core.charts.style import LIGHT
from core.comparison import Comparison
from core.datasets import find, find_own
from core.datasets.tables import READ_OWN, to_csv
from core.experiments import Experiment
from core.i18n import language
from core.settings import Settings

CHART_WIDTH = 860
CONFIG = {
    "background": "#FFFFFF",
    "range": {"category": list(LIGHT)},
    "view": {"stroke": None},
    "font": "sans-serif",
    "axis": {"domain": False, "tickColor": "#D9DDE3", "gridColor": "#E6E9ED", "labelColor": "#4A5058"},
    "title": {"fontSize": 15, "subtitleFontSize": 12, "subtitleColor": "#4A5058", "offset": 12},
}


def chart_spec(figure: Figure) -> dict[str, Any]:
    """Return a Vega-Lite spec with its data and the light palette, at a fixed width."""
    spec = figure.standalone()
    spec["width"] = CHART_WIDTH
    spec["config"] = {**spec["config"], **CONFIG}
    spec.pop("usermeta", None)
    return _plain(spec)


def _plain(value: Any) -> Any:
    """Turn a spec into what JSON can hold: plain numbers, and null for those that are not finite."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page_html(
    title: str, verdict: str, facts: str, address: str, figures: Sequence[Figure], table: pd.DataFrame
) -> str:
    """Write the comparison as one HTML page that needs no network: charts, table, link."""
    import vl_convert

    charts = "".join(
        f'<figure><div id="chart{i}" role="img" aria-label="{html.escape(figure.alt)}"></div></figure>'
        for i, figure in enumerate(figures)
    )
    specs = json.dumps([chart_spec(figure) for figure in figures]).replace("</", "<\\/")
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
    return f"""<!doctype html>
<html lang="{language()}"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{font: 16px/1.5 sans-serif; max-width: 960px; margin: 2rem auto; padding: 0 1rem; color: #1A1D21;}}
h1 {{font-size: 1.8rem; margin-bottom: .2rem;}} .verdict {{font-size: 1.25rem;}} .facts {{color: #4A5058; font-size: .9rem;}}
figure, .table {{margin: 2rem 0; overflow-x: auto;}} a {{overflow-wrap: anywhere;}} table {{border-collapse: collapse; font-size: .9rem;}}
td, th {{border-bottom: 1px solid #D9DDE3; padding: .3rem .6rem; text-align: left;}}
</style></head><body>
<h1>{html.escape(title)}</h1><p class="verdict">{html.escape(verdict)}</p><p class="facts">{html.escape(facts)}</p>
{charts}
<div class="table">{table.to_html(index=False, border=0)}</div>
<p class="facts"><a href="{html.escape(address)}">{html.escape(address)}</a></p>
<script type="module">{script}
const specs = {specs};
specs.forEach((spec, i) => window.vegaEmbed("#chart" + i, spec, {{actions: false, renderer: "svg"}}));
</script></body></html>"""


def archive(
    experiment: Experiment,
    settings: Settings,
    comparison: Comparison,
    verdict: str,
    tables: dict[str, pd.DataFrame],
    figures: dict[str, Figure],
) -> bytes:
    """Pack tables (CSV), charts (SVG, PNG), settings, versions, digests and the script into a zip file."""
    import vl_convert

    infos = [result.info for result in comparison.results.values()]
    about = {
        "experiment": experiment.name,
        "query": settings.query(),
        "settings": dict(settings),
        "digest": comparison.study.digest,
        "runs": {f"{arm}/{seed}": spec.digest for (arm, seed), spec in comparison.study.runs.items()},
        "versions": infos[0].versions if infos else {},
        "recorded": max((info.recorded.isoformat() for info in infos), default=""),
        "verdict": verdict,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("comparison.json", json.dumps(about, indent=2, ensure_ascii=False))
        file.writestr("train.py", script(experiment, settings))
        if (own := find_own(getattr(comparison.study.base, "dataset", ""))) is not None:
            file.writestr(f"{own.dataset.name}.csv", to_csv(own))
        for name, frame in tables.items():
            file.writestr(f"{name}.csv", frame.to_csv(index=False))
        for name, figure in figures.items():
            spec = chart_spec(figure)
            file.writestr(f"{name}.svg", vl_convert.vegalite_to_svg(spec))
            file.writestr(f"{name}.png", vl_convert.vegalite_to_png(spec, scale=2))
            file.writestr(f"{name}.vl.json", json.dumps(spec))
    return buffer.getvalue()


SCRIPT = '''"""{title}

{verdict_hint}
Needs: {needs}
Run: python train.py            writes curves.csv, one row an arm, seed and epoch.
"""

{imports}

{dataset}

ARMS = {arms}
SHARED = {shared}
SEEDS = {seeds}

{parts}


def data_loss_and_score(model, part):
    """Measure one split in inference mode, without the penalty."""
    outputs = model.predict_on_batch(part.x)
    loss = float(build_loss(DATASET.kind)(part.y, outputs))
    if DATASET.classes:
        return loss, float((outputs.argmax(-1) == part.y).mean())
    return loss, float(1 - ((part.y - outputs) ** 2).sum() / ((part.y - part.y.mean()) ** 2).sum())


def train(spec):
    """Train one arm and seed; yield a row of measures an epoch."""
    x, y = {load}
    data = split(DATASET, x, y, n_train=spec.n_train, n_validation=spec.n_validation, seed=spec.seed,
                 flipped=spec.flipped, noise=spec.noise)
    model = build_model(spec, DATASET)
    order = np.random.default_rng([spec.seed, 21])
    best, best_epoch = float("inf"), 0
    for epoch in range(spec.epochs + 1):
        if epoch:
            rows = order.permutation(len(data.train.x))
            model.fit(data.train.x[rows], data.train.y[rows], batch_size=spec.batch_size, shuffle=False, verbose=0)
        train_loss, train_score = data_loss_and_score(model, data.train)
        validation_loss, validation_score = data_loss_and_score(model, data.validation)
        yield epoch, train_loss, train_score, validation_loss, validation_score
        stopping_loss, _ = data_loss_and_score(model, data.stopping)
        if stopping_loss < best:
            best, best_epoch = stopping_loss, epoch
        if spec.patience and epoch - best_epoch >= spec.patience:
            break


if __name__ == "__main__":
    columns = "arm", "seed", "epoch", "train_loss", "train_score", "validation_loss", "validation_score"
    with open("curves.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for seed in SEEDS:
            for arm, changes in ARMS.items():
                for row in train(SimpleNamespace(**SHARED | changes, seed=seed)):
                    writer.writerow([arm, seed, *row])
                print(arm, "seed", seed, "validation data loss at the end:", round(row[3], 4), flush=True)
'''


def script(experiment: Experiment, settings: Settings) -> str:
    """Write a Keras script of the settings that reproduces the runs without Contraste.

    It carries the source of the very functions that trained them, and trains with plain `fit`.
    """
    from core.datasets import loaders

    if (own := experiment.script(settings)) is not None:
        return own
    study = experiment.study(settings)
    dataset = find(study.base.dataset)  # type: ignore[attr-defined]
    parts = [loaders.Split, loaders.Splits, loaders.split, loaders._scale, loaders._flip, *experiment.script_parts()]
    needs, reader = "tensorflow, numpy", ""
    imports = [
        "from __future__ import annotations",
        "",
        "import csv",
        "from dataclasses import dataclass",
        "from types import SimpleNamespace",
        "",
    ]
    imports += ["import keras", "import numpy as np"]
    if dataset.is_toy:
        parts.insert(2, loaders._draw)
        load = f"_draw({dataset.name!r}, {dataset.n})"
    elif dataset.name.startswith(OWN_PREFIX):
        needs += f"; the file {dataset.name}.csv, which is in the archive"
        load = f"read_own({dataset.name + '.csv'!r})"
        reader = READ_OWN
    elif dataset.is_download:
        parts.insert(2, loaders.join_parts)
        load = f"join_parts(DATASET, *keras.datasets.{dataset.name}.load_data())"
    else:
        needs += ", scikit-learn"
        imports.append("from sklearn import datasets")
        load = f"datasets.load_{dataset.name}(return_X_y=True)"
    facts = asdict(dataset) | {"inputs": dataset.inputs, "outputs": dataset.outputs}
    facts = {key: value for key, value in facts.items() if key not in ("label", "source", "is_toy")}
    source = "\n\n".join(inspect.getsource(part).replace("    import keras\n\n", "") for part in parts)
    return SCRIPT.format(
        title=f"Contraste, {experiment.name}: {settings.query()}",
        verdict_hint=f"Digest of the comparison: {study.digest}",
        needs=needs,
        imports="\n".join(imports),
        dataset=f"DATASET = SimpleNamespace(**{pprint.pformat(facts, sort_dicts=False, width=100)})",
        arms=pprint.pformat({arm.name: dict(arm.changes) for arm in study.arms}, sort_dicts=False),
        shared=pprint.pformat(study.base.model_dump(exclude={"seed"}), sort_dicts=False),
        seeds=list(study.seeds),
        parts=(reader + source).strip(),
        load=load,
    )
