#!/usr/bin/env bash
# Brings what the job "gate" let through last on the default branch, bundle and history, to FOLDER; leaves nothing where
# nothing was yet. In a GitLab job, with its own token.
#
#   deploy/ci/gitlab-released.sh FOLDER
set -euo pipefail
: "${CI_API_V4_URL:?}" "${CI_PROJECT_ID:?}" "${CI_DEFAULT_BRANCH:?}" "${CI_JOB_TOKEN:?}"

if [ $# -ne 1 ]; then
  echo "usage: $0 FOLDER" >&2
  exit 2
fi
archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
status=$(curl --silent --show-error --location --header "JOB-TOKEN: $CI_JOB_TOKEN" --output "$archive" \
  --write-out '%{http_code}' \
  "$CI_API_V4_URL/projects/$CI_PROJECT_ID/jobs/artifacts/$CI_DEFAULT_BRANCH/download?job=gate")
case $status in
  200) python3 -m zipfile -e "$archive" "$1" ;;
  404) echo "Nothing has passed the gate on $CI_DEFAULT_BRANCH yet: there is no baseline." ;;
  *)
    echo "GitLab answered $status when asked for the last release." >&2
    exit 1
    ;;
esac
