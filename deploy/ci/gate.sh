#!/usr/bin/env bash
# Trains, exports and checks a bundle; ends with exit code 0 only if it may be shipped (1 a gate said no, 2 bad input).
# Writes run, bundle, evaluation and reports (what each verb printed with --json) to OUT. The same on a desk and in CI.
#
#   deploy/ci/gate.sh OUT
#
# Settings, from the environment:
set -euo pipefail
: "${TRAIN_DATA=}" # labelled pictures to train on; empty: simulated ones, and others to check with
: "${CHECK_DATA=}" # labelled pictures of your line that training must not see
: "${BASELINE=}"   # the bundle released last, than which the new one must not be worse; needs pictures to check with
: "${GATE=}"       # gate.toml: how much worse, slower and larger than BASELINE is too much
: "${HISTORY=}"    # history.jsonl: one line a bundle; the new one must not be worse than the best in it either
: "${RUN=}"        # a finished run to take instead of training one
: "${STRICT=0}"    # 1: too few pictures to say counts as a no. The simulated ones of the defaults are too few.
: "${LABELS=}"     # to learn, in ripeness order; empty: all, in the order of the data's labels.txt
: "${ACCEPT=ripe}" # those of good fruit
: "${WEIGHTS=starter}"
: "${IMAGE_SIZE=128}"
: "${EPOCHS=60}" # a ceiling. A net that is cut off early flips labels at the slightest rounding, and fails.
: "${FINE_TUNE_EPOCHS=5}"
: "${PER_CLASS=150}" # simulated pictures of each label
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
  TRAIN_DATA=$out/train-data CHECK_DATA=${CHECK_DATA:-$out/check-data}
  step train-data simulate dataset "$TRAIN_DATA" --per-class "$PER_CLASS" --image-size "$IMAGE_SIZE" --seed "$SEED"
  if [ "$CHECK_DATA" = "$out/check-data" ]; then
    step check-data simulate dataset "$CHECK_DATA" --per-class "$PER_CLASS" --image-size "$IMAGE_SIZE" \
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
step export export "$RUN" -o "$out/bundle" --accept "$ACCEPT" "${strict[@]}"
if [ -n "$CHECK_DATA" ]; then
  step evaluate evaluate "$out/bundle" "$CHECK_DATA" -o "$out/evaluation"
fi
step check check "$out/bundle" ${CHECK_DATA:+"$CHECK_DATA"} ${BASELINE:+--baseline "$BASELINE"} \
  ${GATE:+--gate "$GATE"} ${HISTORY:+--record "$HISTORY"} --junit "$out/reports/junit.xml" "${strict[@]}"
printf '\n%s may be shipped.\n' "$out/bundle" >&2
