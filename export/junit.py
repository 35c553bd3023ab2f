"""JUnit XML, which every CI server shows as a list of tests. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from edge_runtime.bundles.manifest import Result


@dataclass(frozen=True, slots=True)
class Case:
    """One test: what was checked, of what, and why it did not simply pass."""

    subject: str
    name: str
    result: Result
    reason: str = ""


def junit(suite: str, cases: Sequence[Case], *, strict: bool = False) -> str:
    """The document; INCONCLUSIVE counts as skipped, or as a failure where one is strict."""
    failing = {Result.FAIL, Result.INCONCLUSIVE} if strict else {Result.FAIL}
    failed = sum(case.result in failing for case in cases)
    skipped = sum(case.result is Result.INCONCLUSIVE for case in cases if case.result not in failing)
    root = ElementTree.Element(
        "testsuite", name=suite, tests=str(len(cases)), failures=str(failed), errors="0", skipped=str(skipped)
    )
    for case in cases:
        one = ElementTree.SubElement(root, "testcase", classname=case.subject, name=case.name)
        if case.result is not Result.PASS:
            kind = "failure" if case.result in failing else "skipped"
            ElementTree.SubElement(one, kind, message=f"{case.result}: {case.reason}")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
