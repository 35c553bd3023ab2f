"""`ripeline check`: the gate."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ripeline import console, trust

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge_runtime.bundles.bundle import Bundle
    from evaluation.dataset import Dataset
    from export.check import Check
    from export.diagnosis import Reference
    from export.gate import GatePolicy
    from export.history import Entry


@click.command(
    "check",
    epilog="""\b
Examples:
  ripeline check bundle                                   # whole, and behaves here as when it was exported
  ripeline check bundle photos                            # each artefact against the float32 one
  ripeline check bundle photos --run run                  # each artefact against the Keras model
  ripeline check new photos --baseline released --gate gate.toml   # in CI: no worse than the last release
  ripeline check new photos --record history.jsonl        # nor than the best release so far
  ripeline check bundle --require-signature K.pub         # on a device: ours, and as it was when exported""",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option("--run", "run", type=click.Path(path_type=Path), help="Compare with this run's Keras model.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    help="An earlier bundle that this one must not be worse than; implies --strict.",
)
@click.option("--strict", is_flag=True, help="Too few pictures to say counts as a no (exit 1).")
@click.option(
    "--gate",
    type=click.Path(path_type=Path),
    help="gate.toml: margins and critical labels, for parity where stricter; largest ratios of latency, size, memory.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    help="history.jsonl: compare with the best bundle in it, add this one, and draw the trend beside it as SVG.",
)
@trust.require_signature
@trust.min_created
@click.option("--junit", type=click.Path(path_type=Path), help="Also write the checks as JUnit XML, for a CI server.")
@console.as_json
def verb(
    bundle: Path,
    data: Path | None,
    run: Path | None,
    baseline: Path | None,
    strict: bool,
    gate: Path | None,
    record: Path | None,
    require_signature: Path | None,
    min_created: datetime | None,
    junit: Path | None,
    as_json: bool,
) -> None:
    """Verify BUNDLE: every file's hash, the schema, the preprocessing, and the golden self-test on this machine.

    With DATA (labelled pictures) also its parity. Exit 0: good. Exit 1: it failed, with the reason.
    """
    from edge_runtime.bundles.bundle import MANIFEST, open_bundle
    from edge_runtime.bundles.manifest import Result
    from edge_runtime.errors import BundleError, InputError
    from export.check import cannot_run, check_self_test, check_standing, in_one_line, not_whole, reasons, verdict

    if data is None and any(option is not None for option in (run, baseline, gate, record)):
        raise InputError(
            "--run, --baseline, --gate and --record need pictures.",
            remedy="name a folder of labelled pictures after the bundle",
        )
    strict, opened = strict or baseline is not None, None
    try:
        trust.verify(bundle, require_signature, min_created)
        opened = open_bundle(bundle, allow_rejected=True)
    except BundleError as error:
        if not (bundle / MANIFEST).is_file():
            raise
        checks = not_whole(error.what)
    else:
        checks = check_standing(opened, settles=data is not None or not strict) + check_self_test(opened)
        if data is not None and cannot_run(opened.manifest.default_artefact, checks):
            console.notice(f"{opened.manifest.default_artefact} fails its self-test: no picture was tried.")
        elif data is not None:
            checks += _on_pictures(opened, data, run, baseline, gate, record, checks, strict=strict)
    result = verdict(checks)
    told = reasons(checks)
    if opened is not None:
        _show(checks)
    for reason in told:
        console.say(f"  {reason}")
    if opened is not None and data is None and opened.manifest.result is Result.INCONCLUSIVE:
        console.notice("its parity was INCONCLUSIVE when it was exported: it was judged on too few pictures.")
    if result is Result.INCONCLUSIVE and strict:
        console.say("  too few pictures to say counts as a no here (--strict, --baseline)")
    console.say(f"{result}: {bundle}")
    document = {
        "result": result,
        "reasons": list(told),
        "bundle_id": None if opened is None else opened.manifest.bundle_id,
        "checks": [one.row() for one in checks],
    }
    if junit is not None:
        _write_junit(junit, bundle, checks, strict=strict)
    console.emit(document, as_json=as_json)
    if result.refuses(strict=strict):
        against = [reason for reason, result in told.items() if result is not Result.PASS]
        console.say(f"Reason: {in_one_line(against)}")
        raise console.GateSaidNo


def _show(checks: list[Check]) -> None:
    judged = any(one.parity for one in checks)
    console.say(
        console.table(
            [
                {"check": one.subject, "artefact": one.artefact, "engine": one.engine, "result": one.result.value}
                | ({"agreement": f"{one.parity.agreement:.2%}" if one.parity else ""} if judged else {})
                for one in checks
            ]
        )
    )


def _on_pictures(
    bundle: Bundle,
    data: Path,
    run: Path | None,
    baseline: Path | None,
    gate: Path | None,
    record: Path | None,
    so_far: list[Check],
    *,
    strict: bool,
) -> list[Check]:
    from edge_runtime.bundles.bundle import open_bundle
    from evaluation.dataset import read_dataset
    from export.check import check_parity, require_pictures, unseen
    from export.gate import GatePolicy, read_gate_policy
    from export.history import read_history

    policy = GatePolicy() if gate is None else read_gate_policy(gate)
    history = [] if record is None else read_history(record)
    old = None if baseline is None else open_bundle(baseline)
    if old is None and policy.largest_ratio.is_set():
        console.notice(f"[largest_ratio] of {gate} compares with --baseline; there is none, so it is not judged.")
    dataset = read_dataset(data, bundle.manifest.labels, every_label=False)
    require_pictures(dataset, data)
    if old is not None or record is not None:
        dataset = unseen(dataset, [bundle, *filter(None, [old])])
    for text in dataset.notices:
        console.notice(text)
    checks = [] if old is None else _regression(bundle, old, dataset, policy)
    checks += check_parity(bundle, dataset, None if run is None else _keras_model(run, bundle), policy)
    if record is not None:
        checks += _remember(record, history, bundle, dataset, policy, so_far + checks, strict=strict)
    return checks


def _regression(new: Bundle, old: Bundle, dataset: Dataset, policy: GatePolicy) -> list[Check]:
    from evaluation.dataset import load_inputs
    from export.regression import check_ratios, check_regression, measure_in_turn

    compared = check_regression(new, old, dataset, policy)
    one_of_each = [load_inputs(dataset.items[:1], bundle.manifest.input) for bundle in (new, old)]
    ours, theirs = measure_in_turn([(new, one_of_each[0]), (old, one_of_each[1])])
    return [compared, check_ratios(new.manifest.default_artefact, ours, theirs, policy)]


def _remember(
    file: Path,
    history: list[Entry],
    bundle: Bundle,
    dataset: Dataset,
    policy: GatePolicy,
    checks: list[Check],
    *,
    strict: bool,
) -> list[Check]:
    """Compare with the best of the history, then add this bundle with what all of it came to, and draw the trend."""
    import matplotlib as mpl

    from evaluation.dataset import load_inputs
    from evaluation.page import PLOT_STYLE
    from export.check import logits_of, verdict
    from export.history import best, entry, record, trend
    from export.regression import check_against_best, footprint

    inputs = load_inputs(dataset.items, bundle.manifest.input)
    logits = logits_of(bundle, bundle.artefact(bundle.manifest.default_artefact), inputs)
    found = entry(bundle.manifest, dataset, logits, footprint(bundle, inputs[:1]).p50_ms)
    top = best(history, found)
    compared = [] if top is None else [check_against_best(found, top, dataset, policy.allowed(bundle.manifest.labels))]
    if history and top is None:
        console.notice(f"{file} holds no other bundle that passed on these pictures: nothing to compare with.")
    found = found.concluded(verdict([*checks, *compared]), strict=strict)
    record(file, found)
    with mpl.rc_context(PLOT_STYLE):
        trend([*history, found]).savefig(file.with_suffix(".svg"))
    kept = len(history) + 1
    console.say(f"{kept} bundle{'s' if kept > 1 else ''} in {file}; the trend is in {file.with_suffix('.svg')}")
    return compared


def _write_junit(file: Path, bundle: Path, checks: list[Check], *, strict: bool) -> None:
    from export.junit import Case, junit

    cases = [Case(one.subject, one.name, one.result, one.reason) for one in checks]
    file.write_text(junit(f"ripeline check {bundle.name}", cases, strict=strict), "utf-8")


def _keras_model(run: Path, bundle: Bundle) -> Reference:
    from edge_runtime.errors import InputError
    from train.run_directory import read_run

    opened = read_run(run)
    if opened.record.labels != bundle.manifest.labels or opened.record.input != bundle.manifest.input:
        raise InputError(
            f"{run} and {bundle.folder} differ in labels or input.",
            expected="the run that the bundle was exported from",
        )
    from train import load_keras_model, logits_model  # seconds of TensorFlow, after what may be refused

    model = logits_model(load_keras_model(opened))

    def logits(inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = model.predict(inputs, verbose=0)
        return found

    return logits
