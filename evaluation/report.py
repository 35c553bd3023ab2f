"""What every report shows of a measured model: figures with intervals, calibration, cost, sources, worst mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.preprocess import InputSpec
from edge_runtime.records import Verdict
from evaluation.calibration import Probabilities
from evaluation.dataset import Item, label_indices, load_inputs
from evaluation.metrics import Scores, SourceScores
from evaluation.page import PLOT_STYLE, CaptionedPlot, KeyFigure, Page, Section, Tile
from evaluation.plots import confusion_plot, reliability_plot, risk_coverage_plot
from evaluation.policy_cost import PolicyCost
from evaluation.temperature import tempered

WORST_MISTAKES = 30
UNCERTAIN_BELOW = 30
"""A source with fewer pictures than this is shown, and said to say little."""
_NONE = "\u2013"
_ARROW = " \u2192 "

ReadInputs = Callable[[Sequence[int]], npt.NDArray[np.uint8]]
"""What the model saw of the pictures in these rows, `[n, size, size, 3]` uint8 RGB."""


def write_evaluation(
    path: Path,
    title: str,
    labels: Sequence[str],
    items: Sequence[Item],
    spec: InputSpec,
    probabilities: Probabilities,
    scores: Scores,
    notices: Sequence[str] = (),
) -> None:
    """One page about a model on labelled pictures, `probabilities` `[N, labels]`; only mistakes are read again."""
    import matplotlib as mpl

    def read(rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        return load_inputs([items[row] for row in rows], spec)

    page = Page("Evaluation", title)
    with mpl.rc_context(PLOT_STYLE):
        result = page.section("Result")
        for text in notices:
            result.notice(text)
        result_section(result, scores, labels)
        detail_sections(page, scores, labels, items, probabilities, read)
    page.write(path)


def result_section(section: Section, scores: Scores, labels: Sequence[str]) -> None:
    """Key figures, and how much of each label is recognised, with intervals."""
    _key_figures(section, scores, labels)
    _recalls(section, scores, labels)


def detail_sections(
    page: Page,
    scores: Scores,
    labels: Sequence[str],
    items: Sequence[Item],
    probabilities: Probabilities,
    read: ReadInputs,
) -> None:
    """Which mistakes, how honest the confidence, what it costs, source by source, and the worst mistakes as pictures.

    Args:
        page: Gets a section for each.
        scores: Of these pictures.
        labels: In the order of the columns of `probabilities`.
        items: The N pictures.
        probabilities: `[N, labels]` as the model gives them.
        read: Gets the pixels of the few that are shown.
    """
    truth = label_indices(items, labels)
    _plots(page.section("Which mistakes, and whether the model knows"), scores, labels, truth, probabilities)
    if scores.cost is not None:
        _cost(page.section("What the verdicts cost"), scores.cost)
    if scores.by_source:
        _sources(page.section("Source by source"), scores.by_source, labels)
    confident = tempered(probabilities, scores.calibrated.temperature) if scores.calibrated else probabilities
    _mistakes(page.section("Worst mistakes"), labels, items, truth, confident, read)


def percent(share: float) -> str:
    """`96.4 %`, not to be broken between lines."""
    return f"{100 * share:.1f}\u00a0%"


def interval(ends: tuple[float, float]) -> str:
    """`94.1 to 97.8 %`."""
    return f"{100 * ends[0]:.1f} to {percent(ends[1])}"


def _key_figures(section: Section, scores: Scores, labels: Sequence[str]) -> None:
    known = {label: recall for label, recall in scores.recall.items() if recall is not None}
    worst = min(known, key=lambda label: known[label])
    balanced = scores.balanced_accuracy_ci95
    figures = [
        KeyFigure("Accuracy", percent(scores.accuracy), f"95 %: {interval(scores.accuracy_ci95)}"),
        KeyFigure(
            "Balanced accuracy",
            percent(scores.balanced_accuracy),
            f"95 %: {interval(balanced)}" if balanced else "mean of the labels' recalls",
        ),
        KeyFigure(f"Worst label: {worst}", percent(known[worst]), f"95 %: {interval(scores.recall_ci95[worst])}"),
    ]
    if scores.two_step_errors is not None:
        both = scores.two_step_errors.both
        figures.append(KeyFigure("Two-step errors", f"{both.count} of {both.n}", f"95 %: {interval(both.ci95)}"))
    else:
        figures.append(KeyFigure("Pictures", str(scores.n), "measured on"))
    section.key_figures(figures)
    if len(known) < len(labels):
        section.notice(f"Not tested, for lack of pictures: {', '.join(x for x in labels if x not in known)}.", "bad")


def _recalls(section: Section, scores: Scores, labels: Sequence[str]) -> None:
    rows = []
    for label, counts in zip(labels, scores.confusion, strict=True):
        recall = scores.recall[label]
        shown = [_NONE, _NONE] if recall is None else [percent(recall), interval(scores.recall_ci95[label])]
        rows.append([label, sum(counts), *shown])
    section.table(
        ["Label", "Pictures", "Recognised", "95 % interval"],
        rows,
        "Intervals count related pictures once: the wider of a bootstrap over groups and Wilson's at the effective "
        "sample size.",
    )
    if scores.two_step_errors is not None:
        riper, back = scores.two_step_errors.too_ripe, scores.two_step_errors.too_unripe
        section.text(
            f"Two-step errors skip a label on the order {_ARROW.join(labels)}: {riper.count} taken for riper "
            f"({interval(riper.ci95)} of all pictures), {back.count} for less ripe ({interval(back.ci95)})."
        )


def _plots(
    section: Section,
    scores: Scores,
    labels: Sequence[str],
    truth: npt.NDArray[np.int64],
    probabilities: Probabilities,
) -> None:
    calibrated, selective = scores.calibrated, scores.selective
    temperature = calibrated.temperature if calibrated else 1.0
    honesty = f"On the dashed line confidence is honest. Off by {percent(scores.expected_calibration_error)} on average"
    if calibrated and calibrated.temperature != 1:
        honesty += f" as trained, by {percent(calibrated.expected_calibration_error)} at the temperature"
    plots = [
        CaptionedPlot(
            confusion_plot(labels, scores.confusion),
            "Confusion",
            "Rows are the truth, columns the answer; shaded by the share of the row.",
        ),
        CaptionedPlot(
            reliability_plot(probabilities, truth, temperature), "Confidence against reality", f"{honesty} (ECE)."
        ),
    ]
    if selective is not None:
        covered = [
            f"{100 * share:.0f}\u00a0% for {100 * risk:g}\u00a0%" for risk, share in selective.coverage_at_risk.items()
        ]
        plots.append(
            CaptionedPlot(
                risk_coverage_plot(probabilities, truth, temperature),
                "Error if unsure pictures are left out",
                f"The surest first. To be wrong at most so often, answer {', '.join(covered)}. Area under the curve "
                f"{100 * selective.aurc:.2f}\u00a0% (AURC).",
            )
        )
    section.plots(plots)


def _cost(section: Section, cost: PolicyCost) -> None:
    accepted = ", ".join(cost.policy.accepted()) or "nothing"
    figures = [
        KeyFigure("Cost a fruit", f"{cost.mean:.3g}", f"95 %: {cost.mean_ci95[0]:.3g} to {cost.mean_ci95[1]:.3g}"),
        KeyFigure("Cost without looking", f"{cost.constant_mean:.3g}", f"{cost.constant} for every fruit"),
    ]
    for name, of, share, ends in (
        ("Escapes", "bad", cost.escapes, cost.escapes_ci95),
        ("False rejects", "good", cost.false_rejects, cost.false_rejects_ci95),
    ):
        if share is not None:
            figures.append(KeyFigure(name, percent(share), f"of {of} fruit; 95 %: {interval(ends)}"))
    figures.append(KeyFigure("Undecided", percent(cost.undecided), "of all fruit"))
    section.text(f"If each picture were a fruit seen once, under the policy that accepts {accepted}:")
    section.key_figures(figures)
    section.table(
        ["Truth", *(verdict.value for verdict in Verdict), *(f"costs: {verdict.value}" for verdict in Verdict)],
        [
            [label, *counts.values(), *(f"{getattr(cost.policy.costs[label], verdict):g}" for verdict in Verdict)]
            for label, counts in cost.verdicts.items()
        ],
        "Pictures that got each verdict, and the policy's costs. State your own with --accept or --costs.",
    )


def _sources(section: Section, sources: dict[str, SourceScores], labels: Sequence[str]) -> None:
    few = any(one.n < UNCERTAIN_BELOW for one in sources.values())
    section.table(
        ["Source", "Pictures", "Accuracy", "95 % interval", *labels, "Two-step"],
        [
            [
                name,
                one.n,
                percent(one.accuracy),
                interval(one.accuracy_ci95),
                *(_NONE if (recall := one.recall[label]) is None else percent(recall) for label in labels),
                _NONE if one.two_step_errors is None else one.two_step_errors,
            ]
            for name, one in sources.items()
        ],
        "Under each label, the share of its pictures that was recognised."
        + (f" Sources with under {UNCERTAIN_BELOW} pictures say little by themselves." if few else ""),
    )


def _mistakes(
    section: Section,
    labels: Sequence[str],
    items: Sequence[Item],
    truth: npt.NDArray[np.int64],
    probabilities: Probabilities,
    read: ReadInputs,
) -> None:
    """The mistakes that the model was surest of, as pictures."""
    answer = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answer != truth)
    if not len(wrong):
        section.text("None.")
        return
    surest = wrong[np.argsort(probabilities[wrong, truth[wrong]], kind="stable")][:WORST_MISTAKES]
    section.gallery(
        [
            Tile(
                pixels,
                f"{items[i].label}, taken for {labels[answer[i]]}",
                f"{percent(probabilities[i, answer[i]])} sure \u00b7 {items[i].file}",
            )
            for i, pixels in zip(surest, read(surest.tolist()), strict=True)
        ],
        f"{len(surest)} of {len(wrong)} mistakes, the surest first, as the model saw them.",
    )
