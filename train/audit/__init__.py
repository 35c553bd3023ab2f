"""What is wrong with labelled pictures, before a model learns it. Importing this loads no TensorFlow."""

from train.audit.findings import Finding, Kind, Severity, Summary, summarise
from train.audit.quick import QuickAudit, quick_audit

__all__ = ["Finding", "Kind", "QuickAudit", "Severity", "Summary", "quick_audit", "summarise"]
