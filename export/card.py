"""`MODEL_CARD.md` (Mitchell et al., "Model Cards for Model Reporting", 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.bundles.manifest import Manifest
from evaluation.metrics import Scores
from evaluation.view_correlation import ViewCorrelation
from export.findings import ArtefactParity
from train.run_directory import Run


def model_card(run: Run, manifest: Manifest, parities: Sequence[ArtefactParity]) -> str:
    """`MODEL_CARD.md`: what the model is for, how good it is, what it was not tested on."""
    record, test = run.record, run.record.test
    accepted = ", ".join(manifest.policy.accepted())
    recall = "\n".join(
        f"| {label} | {'–' if share is None else f'{share:.1%}'} | {test.recall_ci95[label][0]:.1%} to "
        f"{test.recall_ci95[label][1]:.1%} |"
        for label, share in test.recall.items()
    )
    table = "\n".join(
        f"| {one.name} | {one.engine} | {one.parity.accuracy.candidate:.1%} | {one.parity.agreement:.1%} "
        f"| {one.parity.result.value} |"
        for one in parities
    )
    pictures = ", ".join(f"{count} {split.value}" for split, count in record.data.pictures.items())
    return f"""# Model card: bundle {manifest.bundle_id}

Classifies a picture of one fruit as {", ".join(manifest.labels)} (in ripeness order). Accepted by the bundle's own
policy: {accepted or "nothing"}.

- Backbone: MobileNetV2, alpha {record.config.alpha}; input {manifest.input.size_px} px RGB.
- Made: {manifest.created}, from the run `{run.folder.name}`, seed {record.config.seed}.
- Pictures: {pictures}, split by group.
- Views of one fruit: their errors are taken to correlate by {_correlation(run.record.evidence.view_correlation)}.

## On held-out pictures of the same sources

Accuracy {test.accuracy:.1%} (95 %: {test.accuracy_ci95[0]:.1%} to {test.accuracy_ci95[1]:.1%}), balanced
{test.balanced_accuracy:.1%}{_interval(test.balanced_accuracy_ci95)}.{_two_steps(test)}

| label | recall | 95 % interval |
|---|---|---|
{recall}

## Parity of the converted models: {manifest.result.value}

| artefact | engine | accuracy | agreement with Keras | result |
|---|---|---|---|---|
{table}

## Limits

Figures from the same sources say little about a new line: another light, camera or variety lowers them. Measure with
pictures of your own line (`ripeline check BUNDLE DATA`) before trusting them.
"""


def _two_steps(test: Scores) -> str:
    if test.two_step_errors is None:
        return ""
    both = test.two_step_errors.both
    return f"\nTwo or more steps of ripeness off: {both.count} of {both.n}, {both.share:.1%}{_interval(both.ci95)}."


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" (95 %: {ends[0]:.1%} to {ends[1]:.1%})"


def _correlation(found: ViewCorrelation) -> str:
    if found.origin == "default":
        return f"{found.rho:.2f}, a cautious default: too few pictures are known to show the same fruit"
    where = f"{found.pictures} pictures of {found.fruits} fruits"
    if found.origin == "photographs":
        return f"{found.rho:.2f}, since {where} are photographs, less alike than frames ({found.estimate:.2f})"
    return f"{found.rho:.2f}, measured on {where}"
