"""The model card in a checkpoint's header: training writes how the model was made, an evaluation adds its results.

No path of a machine is in it: data sets, weights and masks are identified by digests of their contents.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.metric_table import METRICS, partly
from sdcda_tutorial.files import in_one_line
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.guards.provenance import CONTENTS, WORLD, difference
from sdcda_tutorial.networks import CrowdCounter
from sdcda_tutorial.places import MINI_WORLD
from sdcda_tutorial.training import checkpoints

WAIT = 10.0  # seconds: enough for any number of evaluations, while a training would go on for hours


def load_measured(path: Path) -> tuple[CrowdCounter, dict[str, Any], str]:
    """As `checkpoints.load_counter`, and the `checkpoints.weights_digest` of just that counter.

    A training may save to `path` meanwhile: then it is read again, so that no figure goes under another model's digest.
    """
    checkpoints.read_card(path)  # says more of a file that is no checkpoint than the digest does
    while True:
        weights = checkpoints.weights_digest(path)
        counter, card = checkpoints.load_counter(path)
        if checkpoints.weights_digest(path) == weights:
            return counter, card, weights


def add_test(path: Path, weights: str, figures: Mapping[str, Any]) -> str | None:
    """Add the results of an evaluation to the card of a model in a run folder; they replace earlier ones on that data.

    A model anywhere else (made by `checkpoints.export`, or a copy) is left as it is. Another evaluation that is adding
    its own is waited for.

    Args:
        weights: `checkpoints.weights_digest` of the model that was measured.
        figures: totals, and the keys that identify an evaluation: data, split and variant.
    Returns:
        Why the results could not be added, or None.
    """
    file = path.resolve()  # a link stays a link
    if not file.is_file():
        return f"{in_one_line(path)} has been removed meanwhile"
    if not (file.parent / "config.json").exists():
        return None
    if not os.access(file, os.W_OK):  # an atomic write renames, so it would replace the file all the same
        return f"{in_one_line(path)} is read-only: these figures are not in its card"
    try:
        with one_writer(file.parent, wait=WAIT):
            tensors, card = checkpoints.load(file)
            if checkpoints.weights_digest(file) != weights:
                name = in_one_line(path)
                return f"{name} was trained on meanwhile: these figures are of the model before and not in the card"
            same = ("data", "split", "variant")
            asked = {key: figures[key] for key in same}
            others = [t for t in card.get("tests", []) if difference({key: t.get(key) for key in same}, asked)]
            checkpoints.save(file, tensors, {**card, "tests": [*others, dict(figures)]})
    except InputError as error:
        return f"these figures are not in the card: {str(error).partition(';')[0]}"  # without advice about a `folder`
    return None


def text(path: Path) -> str:
    """The card of a counter in a few lines; what a card lacks is left out."""
    return describe(path, checkpoints.read_card(path), checkpoints.weights_digest(path))


def describe(path: Path, card: Mapping[str, Any], weights: str) -> str:
    """As `text`, of a counter that was read before: the file may be another model by now."""
    lines = [f"model card of {in_one_line(path)} (weights {weights})"]
    for facts_of in (_network, _source, _target, _training, _chosen, _measured, _made):
        label = facts_of.__name__.strip("_")
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            lines += [f"  {label:9} {in_one_line(' '.join(fact.split()))}" for fact in facts_of(card)]
    return "\n".join(lines)


def _network(card: Mapping[str, Any]) -> list[str]:
    has = card["architecture"]["counter"]
    size = f"stride {has['stride']}, width {has['width']:g}"
    return [f"SFCN, {size}" if has["counter"] == "sfcn" else f"E and C, {size}, kernels: {has['counter']}"]


def _source(card: Mapping[str, Any]) -> list[str]:
    return [_data(card["config"]["source_data"], _world(card)) + _contents_before(card, "source_data")]


def _target(card: Mapping[str, Any]) -> list[str]:
    data, masks, origin = card["config"]["target_data"], card["config"]["pseudo_masks"], card.get("masks")
    if data is None:
        return ["none"]
    made_by = ""
    if origin and "control" in origin:
        made_by = f", a control: {origin['control']}"
    elif origin:
        made_by = f" of mask model {origin['weights_sha256']}, threshold {origin['threshold']:g}"
        made_by += f", {origin['changed_since']} of them changed since" if "changed_since" in origin else ""
    before = _contents_before(card, "target_data")
    return [_data(data, _world(card)) + before + (f"; pseudo-masks {masks}{made_by}" if masks else "")]


def _contents_before(card: Mapping[str, Any], name: str) -> str:
    """Which steps learnt from what a set held before it was mended."""
    parts = [one for one in card.get("contents_before", []) if name in one]
    return "".join(f"; until step {one['until_step']} contents {one[name] or 'not known'}" for one in parts)


def _training(card: Mapping[str, Any]) -> list[str]:
    config = card["config"]
    weights = config["weights"]
    start = "ImageNet weights" if config["pretrained"] else "random weights"
    start = f"weights {config['init']}" if config["init"] else start
    length = f"{config['steps']} steps" if config["steps"] else f"{config['epochs']} epochs"
    return [
        f"λs {weights['seg_source']:g}, λt {weights['seg_target']:g}, λd {weights['adversarial']:g}; {length}, batches "
        f"of {config['batch_size']}, learning rate {config['learning_rate']:g}, seed {config['seed']}, from {start}"
    ]


def _chosen(card: Mapping[str, Any]) -> list[str]:
    chosen = card["chosen"]
    if chosen["validation"] is not None:
        return [f"step {chosen['step']}: MAE {chosen['validation']:.2f} on held-out source images"]
    return [f"step {chosen['step']}" + (f", after epoch {chosen['epoch']}" if "epoch" in chosen else ", the last")]


def _measured(card: Mapping[str, Any]) -> list[str]:
    """The results of an exported model (`experiments.benchmark`), then those from `add_test`."""
    exported = ((domain, card.get(f"{domain}_test")) for domain in ("source", "target"))
    parts = [(test, f"{test['images']} images of the {of} test, {card.get('data')}") for of, test in exported if test]
    parts += [(test, f"{test['split']}, {_data(test['data'])}, {test['date']}") for test in card.get("tests", [])]
    shown = [metric for metric in METRICS.values() if metric.shown == "everywhere"]
    lines = []
    for test, part in parts:  # a card from before a metric was added lacks it
        part += " (PSNR and SSIM as the authors')" if test.get("variant") == "authors" else ""
        figures = (f"{m.heading} {m.text(test[m.name])}" for m in shown if test.get(m.name) is not None)
        lines.append(f"{', '.join(figures)} on {part}" + (f"; {partly(test)}" if partly(test) else ""))
    return lines


def _made(card: Mapping[str, Any]) -> list[str]:
    made = "sdcda-tutorial {sdcda-tutorial}, torch {torch}".format_map(card["versions"])
    if (now := card.get("hardware")) is None:
        return [made]
    earlier = "".join(f"begun on {_machine(one, card)}; " for one in card.get("hardware_before", []))
    return [f"{card['date']} in {card['seconds']:.0f} s on {_machine(now, card)}; {earlier}{made}"]


def _machine(on: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    processes = f"{on['processes']} × " if on["processes"] > 1 else ""
    parts = on.get("micro_batches", card.get("micro_batches", 1))  # earlier versions wrote them beside
    return f"{processes}{on['device']}, {on['precision']}" + (f" in {parts} micro-batches" if parts > 1 else "")


def _world(card: Mapping[str, Any]) -> str:
    """The mini world, of a model exported from there, or nothing: descriptions of earlier versions did not say it."""
    return MINI_WORLD if card.get("data") == MINI_WORLD else ""


def _data(data: Mapping[str, Any], world: str = "") -> str:
    size = f" at {data['size'][0]}x{data['size'][1]}" if data["size"] else ""
    size = f" within {data['max_side']} pixels" if data["max_side"] else size
    translated = f", translated by {data['translated_by']}" if "translated_by" in data else ""
    digest = f"contents {data[CONTENTS]}" if CONTENTS in data else f"names {data['names_sha256']}"
    what = data.get(WORLD) or world or f"{data['format']} format"  # whose images they are, it does not know
    return f"{what}, {data['images']} images{size} ({digest}){translated}"
