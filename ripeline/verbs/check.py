"""`ripeline check`: the gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ripeline import console

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge_runtime.bundle import Bundle
    from evaluation.dataset import Dataset


@click.command(
    "check",
    epilog="""\b
Examples:
  ripeline check bundle                                   # whole, and behaves here as when it was exported
  ripeline check bundle photos                            # each artefact against the float32 one
  ripeline check bundle photos --run run                  # each artefact against the Keras model
  ripeline check new photos --baseline released --strict  # in CI: no worse than the last release""",
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
@console.as_json
def verb(bundle: Path, data: Path | None, run: Path | None, baseline: Path | None, strict: bool, as_json: bool) -> None:
    """Verify BUNDLE: every file's hash, the schema, the preprocessing, and the golden self-test on this machine.

    With DATA (labelled pictures) also its parity. Exit 0: good. Exit 1: it failed, with the reason.
    """
    from edge_runtime.bundle import MANIFEST, open_bundle
    from edge_runtime.errors import BundleError, InputError
    from edge_runtime.manifest import Result
    from evaluation.dataset import read_dataset
    from export.check import check_parity, check_regression, check_self_test, require_pictures, verdict

    if data is None and (run is not None or baseline is not None):
        raise InputError(
            "--run and --baseline need pictures.", remedy="name a folder of labelled pictures after the bundle"
        )
    try:
        opened = open_bundle(bundle, allow_rejected=True)
    except BundleError as error:
        if not (bundle / MANIFEST).is_file():
            raise
        _say_no(error.what, as_json=as_json)
    checks = check_self_test(opened)
    if data is not None:
        dataset = read_dataset(data, opened.manifest.labels, every_label=False)
        require_pictures(dataset, data)
        for text in dataset.notices:
            console.notice(text)
        checks += check_parity(opened, dataset, None if run is None else _keras_logits(run, opened, dataset))
        if baseline is not None:
            checks.append(check_regression(opened, open_bundle(baseline), dataset))
    result = verdict(checks)
    reasons = [f"{one.subject}: {one.name}: {one.reason}" for one in checks if one.reason]
    if opened.manifest.result is Result.FAIL:
        result = Result.FAIL
        reasons.insert(0, "it failed parity when it was exported and is marked rejected")
    console.say(
        console.table(
            [
                {"check": one.subject, "artefact": one.artefact, "engine": one.engine, "result": one.result.value}
                | ({"agreement": f"{one.parity.agreement:.2%}" if one.parity else ""} if data else {})
                for one in checks
            ]
        )
    )
    for reason in reasons:
        console.say(f"  {reason}")
    strict = strict or baseline is not None
    if data is None and opened.manifest.result is Result.INCONCLUSIVE:
        console.notice("its parity was INCONCLUSIVE when it was exported: it was judged on too few pictures.")
    if result is Result.INCONCLUSIVE and strict:
        console.say("  too few pictures to say counts as a no here (--strict, --baseline)")
    console.say(f"{result}: {bundle}")
    document = {
        "result": result,
        "reasons": reasons,
        "bundle_id": opened.manifest.bundle_id,
        "checks": [one.row() for one in checks],
    }
    console.emit(document, as_json=as_json)
    if result is Result.FAIL or (result is Result.INCONCLUSIVE and strict):
        raise console.GateSaidNo


def _say_no(reason: str, *, as_json: bool) -> NoReturn:
    console.say(f"FAIL: {reason}")
    console.emit({"result": "FAIL", "reasons": [reason]}, as_json=as_json)
    raise console.GateSaidNo


def _keras_logits(run: Path, bundle: Bundle, dataset: Dataset) -> npt.NDArray[np.float32]:
    from edge_runtime.errors import InputError
    from evaluation.dataset import load_inputs
    from train.run_directory import read_run

    opened = read_run(run)
    if opened.record.labels != bundle.manifest.labels or opened.record.input != bundle.manifest.input:
        raise InputError(
            f"{run} and {bundle.folder} differ in labels or input.",
            expected="the run that the bundle was exported from",
        )
    from train import load_keras_model, logits_model  # seconds of TensorFlow, after what may be refused

    logits: npt.NDArray[np.float32] = logits_model(load_keras_model(opened)).predict(
        load_inputs(dataset.items, bundle.manifest.input), verbose=0
    )
    return logits
