#!/usr/bin/env bash
# Prints what a gate's log came to, as Markdown for a comment: export's and check's tables, with the verdict first.
#
#   deploy/ci/comment.sh LOG
set -euo pipefail

if [ $# -ne 1 ] || [ ! -r "$1" ]; then
  echo "usage: $0 LOG" >&2
  exit 2
fi
if tail -n 1 "$1" | grep -q 'may be shipped'; then
  echo '**Gate: this bundle may be shipped.**'
else
  echo '**Gate: no.**'
fi
printf '\n```\n'
grep '^Reason: ' "$1" || true
# From the last export's table on; without one the end of the log says why.
awk '/^artefact +engine/ { text = ""; found = 1 } { text = text $0 "\n" } END { if (found) printf "%s", text }' "$1" |
  grep . || tail -n 40 "$1"
printf '```\n'
