#!/usr/bin/env bash
# Brings what the gate let through last on BRANCH, bundle and history, to FOLDER; leaves nothing where nothing was yet.
# In GitHub Actions, with gh and a token that may read actions in GH_TOKEN.
#
#   BRANCH=main WORKFLOW=gate deploy/ci/github-released.sh FOLDER
set -euo pipefail
: "${BRANCH:?}" "${WORKFLOW:?}"

if [ $# -ne 1 ]; then
  echo "usage: $0 FOLDER" >&2
  exit 2
fi
# Only what was pushed or started by hand: a pull request may come from a fork whose branch has the same name.
run=$(gh run list --workflow "$WORKFLOW" --branch "$BRANCH" --status success --limit 100 --json databaseId,event \
  --jq 'map(select(.event == "push" or .event == "workflow_dispatch"))[0].databaseId // empty')
if [ -z "$run" ]; then
  echo "Nothing has passed the gate on $BRANCH yet: there is no baseline."
  exit 0
fi
if ! gh run download "$run" --name release --dir "$1"; then
  echo "The release of run $run is gone. Start the gate by hand, with \"first\", to go on without a baseline." >&2
  exit 1
fi
