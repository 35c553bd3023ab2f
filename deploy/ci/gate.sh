#!/usr/bin/env bash
# Trains, exports and checks a bundle; ends with exit code 0 only if it may be shipped (1 a gate said no, 2 bad input).
# Writes run, bundle, history, evaluation and reports (what each verb printed with --json) to OUT. The same on a desk and
# in CI.
#
#   deploy/ci/gate.sh OUT
#
# Settings, from the environment:
set -euo pipefail
: "${TRAIN_DATA=}" # labelled pictures to train on; empty: simulated ones, and others to check with
: "${CHECK_DATA=}" # labelled pictures of your line that training must not see
: "${RUN=}"        # a finished run to take instead of training one
: "${PREVIOUS=}"   # OUT of the gate that let a bundle through last: its baseline, and the history that goes on
: "${BASELINE=}"   # the bundle that the new one must not be worse than; empty: that of PREVIOUS
: "${HISTORY=}"    # history.jsonl, whose best bundle the new one must not be worse than either; empty: OUT's own
: "${GATE=$(dirname "$0")/gate.toml}" # how much worse, slower and larger is too much
: "${STRICT=1}"    # 1: too few pictures to say counts as a no; 0: it does not, unless there is a baseline
: "${LABELS=}"     # to learn, in ripeness order; empty: all of the data; of the simulated ones two that nobody mistakes
: "${ACCEPT=ripe}" # those of good fruit
: "${WEIGHTS=starter}"
: "${IMAGE_SIZE=128}"
: "${EPOCHS=60}" # a ceiling. A net that is cut off early flips labels at the slightest rounding, and fails.
: "${FINE_TUNE_EPOCHS=5}"
: "${PER_CLASS=150}"       # simulated pictures of each label to train on
: "${CHECK_PER_CLASS=500}" # and to check with: it takes 268 fruit to exclude a loss of one point
: "${SEED=1}"

if [ $# -ne 1 ]; then
  echo "usage: $0 OUT" >&2
  exit 2
fi
out=$1
mkdir -p "$out/reports"

# step NAME WORDS…: runs one verb; its words go to the terminal, its document to OUT/reports/NAME.json.
step() {
  local name=$1
  shift
  printf '\n$ ripeline %s\n' "$*" >&2
  ripeline "$@" --json >"$out/reports/$name.json"
}

if [ -z "$TRAIN_DATA$RUN" ]; then
  TRAIN_DATA=$out/train-data LABELS=${LABELS:-unripe,ripe}
  step train-data simulate dataset "$TRAIN_DATA" --per-class "$PER_CLASS" --image-size "$IMAGE_SIZE" --seed "$SEED"
  if [ -z "$CHECK_DATA" ]; then
    CHECK_DATA=$out/check-data
    step check-data simulate dataset "$CHECK_DATA" --per-class "$CHECK_PER_CLASS" --image-size "$IMAGE_SIZE" \
      --seed "$((SEED + 1))"
  fi
fi
strict=()
if [ "$STRICT" = 1 ]; then strict=(--strict); fi

if [ -z "$RUN" ]; then
  RUN=$out/run
  step train train "$TRAIN_DATA" -o "$RUN" ${LABELS:+--labels "$LABELS"} --weights "$WEIGHTS" \
    --image-size "$IMAGE_SIZE" --epochs "$EPOCHS" --fine-tune-epochs "$FINE_TUNE_EPOCHS" --seed "$SEED"
fi
if [ -n "$CHECK_DATA" ]; then
  # Held-out pictures are the few that training spared: they show harm here, and its absence is shown by check below.
  step export export "$RUN" -o "$out/bundle" --accept "$ACCEPT"
  step evaluate evaluate "$out/bundle" "$CHECK_DATA" -o "$out/evaluation"
  if [ -n "$PREVIOUS" ]; then BASELINE=${BASELINE:-$PREVIOUS/bundle}; fi
  if [ -z "$HISTORY" ]; then
    HISTORY=$out/history.jsonl
    if [ -n "$PREVIOUS" ] && ! cp "$PREVIOUS/history.jsonl" "$HISTORY"; then
      echo "PREVIOUS=$PREVIOUS holds no history.jsonl; it is what an earlier gate left in its OUT." >&2
      exit 2
    fi
  fi
  step check check "$out/bundle" "$CHECK_DATA" --run "$RUN" ${BASELINE:+--baseline "$BASELINE"} --gate "$GATE" \
    --record "$HISTORY" --junit "$out/reports/junit.xml" "${strict[@]}"
else
  if [ -n "$PREVIOUS$BASELINE$HISTORY" ]; then
    echo "PREVIOUS, BASELINE and HISTORY need CHECK_DATA: pictures to compare the bundles on." >&2
    exit 2
  fi
  step export export "$RUN" -o "$out/bundle" --accept "$ACCEPT" "${strict[@]}"
  step check check "$out/bundle" --junit "$out/reports/junit.xml" "${strict[@]}"
fi
printf '\n%s may be shipped.\n' "$out/bundle" >&2
