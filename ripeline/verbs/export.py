"""`ripeline export`."""

from __future__ import annotations

from pathlib import Path

import click

from ripeline import console, policy


@click.command(
    "export",
    epilog="""\b
Examples:
  ripeline export run -o bundle --accept ripe
  ripeline export run -o bundle --accept turning,ripe --formats tflite-int8,onnx-fp32
  ripeline export run -o bundle --formats all --quantizer ai-edge-quantizer
  ripeline export run -o bundle --data /mnt/photos --strict    # in CI: too few images is a no""",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle to write.")
@click.option("--data", type=click.Path(path_type=Path), help="Where the run's pictures are now, if they have moved.")
@click.option(
    "--formats",
    default="tflite-fp32,tflite-int8,onnx-fp32",
    show_default=True,
    help="Comma-separated, or all: these and tflite-fp16, tflite-dynamic, onnx-int8. tflite-fp32 always comes along.",
)
@click.option(
    "--quantizer",
    type=click.Choice(["tflite-converter", "ai-edge-quantizer"]),
    default="tflite-converter",
    show_default=True,
    help="Who makes tflite-int8.",
)
@policy.options("what the run was trained for, else the last label.")
@click.option("--any-samples", is_flag=True, help="Quantise though the training pictures look unlike the others.")
@click.option("--strict", is_flag=True, help="Too few images to say counts as a no (exit 1).")
@console.force
@console.as_json
def verb(
    run: Path,
    output: Path,
    data: Path | None,
    formats: str,
    quantizer: str,
    accept: str | None,
    costs: Path | None,
    any_samples: bool,
    strict: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Convert RUN to TFLite and ONNX and prove that the decisions stayed the same.

    Each artefact is run on each engine installed here over the held-out pictures and compared with the Keras model.
    Where int8 loses too much on the validation pictures, more samples, the other quantizer and float for the worst
    layers are tried first. PASS and INCONCLUSIVE exit with 0, FAIL with 1; a bundle that failed is written all the
    same, marked rejected.
    """
    console.check_output(output, marker="golden.npz", force=force)
    from edge_runtime.bundles.manifest import Result
    from edge_runtime.settings.decision_settings import PolicySettings
    from export.exporter import export_run
    from export.findings import remarks
    from export.formats import parse_formats
    from train.run_directory import read_run

    opened = read_run(run)
    wanted = parse_formats(console.split_names(formats) or (), quantizer)
    labels = opened.record.labels
    given = policy.settings(accept, costs) or opened.record.config.policy
    if given is None:
        given = PolicySettings(accept=labels[-1:])
        console.notice(f"no --accept given: the policy accepts '{labels[-1]}', the last label of {', '.join(labels)}.")
    judge = given.policy(labels, "bundle")
    with console.steps("export") as step:
        export = export_run(
            opened,
            output,
            formats=wanted,
            policy=judge,
            data=data,
            strict=strict,
            any_samples=any_samples,
            progress=step,
        )
    console.say(console.table([one.table_row() for one in export.parities]))
    for text, _ in remarks(export.parities, export.missing, export.ladders):
        console.say(f"  {text}")
    result = export.manifest.result
    console.say(f"{result}: bundle {export.manifest.bundle_id} in {output}. Look at {output / 'parity.html'}")
    if result is Result.FAIL:
        console.say("The bundle is marked rejected; `ripeline run` refuses it.")
    else:
        console.say(f"Next: ripeline run {output} --source VIDEO_OR_CAMERA -o OUT --annotate")
    console.emit(export.summary(), as_json=as_json)
    if result.refuses(strict=strict):
        raise console.GateSaidNo
