"""C{python -m tests.suites}: run them, say what they found, and write it down for the documentation."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.service.running import ROOT

from .cache_tests import cache_tests
from .lint import httplint
from .result import section
from .slow import slowhttptest
from .testssl import testssl
from .vtc import varnishtest

SUITES = {
    "http-cache-tests": cache_tests,
    "httplint": httplint,
    "varnishtest": varnishtest,
    "testssl": testssl,
    "slowhttptest": slowhttptest,
}


async def run(reactor: Any, options: argparse.Namespace) -> None:
    wrong = False
    for name in options.suites or SUITES:
        with tempfile.TemporaryDirectory(prefix="suites-") as folder:
            result = await SUITES[name](reactor, Path(folder), options.tools)
        text = section(result)
        sys.stdout.write(text)
        sys.stdout.flush()
        if options.write:
            (options.write / f"{name}.inc").write_text(text)
        wrong = wrong or bool(result.wrong)
    if wrong:
        sys.exit("something is wrong, or has to be explained")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.suites", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"which of them: {', '.join(SUITES)}; all")
    parser.add_argument("--tools", type=Path, default=ROOT, help="where node_modules is, and httplint's bin")
    parser.add_argument("--write", type=Path, help="a directory, for a file for each")
    options = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(run(reactor, options)))


if __name__ == "__main__":
    main()
