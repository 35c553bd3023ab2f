"""The console script: finds verbs by name, and turns errors into words and exit codes."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from ripeline import console

# Verb -> its one-line help, so that `ripeline --help` imports none of them.
VERBS = {
    "simulate": "Draw labelled crops or a moving belt with known truth.",
    "audit": "Find what is wrong with labelled photographs before training.",
    "train": "Fine-tune a model on labelled photographs.",
    "adapt": "Fit a run to a new line with a handful of labelled pictures of it.",
    "tune": "Search settings for training, on one machine or many.",
    "evaluate": "Measure a run or a bundle on labelled photographs.",
    "predict": "Write probabilities for unlabelled pictures.",
    "export": "Convert a run to a bundle and prove that its decisions stayed the same.",
    "bundle": "Look into a bundle, compare, sign, verify and pack it.",
    "bench": "Measure every artefact of a bundle on every engine of this machine.",
    "check": "Verify a bundle on this machine; with data, measure it; a gate for CI.",
    "collect": "Cut fruit out of pictures of your own line, to be sorted into labels.",
    "line": "Measure a line, check line.toml, or print its JSON Schema.",
    "eject": "Try the ejectors of a line.",
    "run": "Decide about every fruit that a camera or recording shows.",
    "status": "How a line of this machine is, which alarms stand, and what to do.",
    "score": "Score a run against the truth: counted, graded, thrown out, in time; a gate for CI.",
    "demo": "The whole way on simulated fruit, with a page of pictures.",
}


class _LazyVerbs(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in VERBS:
            return None
        verb: click.Command = import_module(f"ripeline.verbs.{name}").verb
        return verb

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ripeline")
def cli() -> None:
    """From a few hundred labelled photographs of fruit to a line that sorts by ripeness.

    \b
    Example, start to end:
      ripeline train photos -o run
      ripeline export run -o bundle --accept ripe
      ripeline run bundle --source belt.mp4 -o out --annotate

    Exit codes: 0 done, 1 a gate said no, 2 bad usage or bad input.
    """


def main() -> None:
    """Run the command line; the only place where an error becomes an exit code."""
    console.run(lambda: cli(standalone_mode=False, prog_name="ripeline"), as_json="--json" in sys.argv[1:])


if __name__ == "__main__":
    main()
