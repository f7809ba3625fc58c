"""C{python -m tests.mutants}: put faults into the code, and tell of those that no test has noticed."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from .areas import AREAS
from .child import PASSED, prepare, run
from .explained import explained
from .mutants import Mutant, mutants
from .report import Found, table

SPARE = 10.0
"""Seconds beyond three times of what the tests need without a fault."""

ENOUGH = 0.9
"""Of the faults of an area, to be noticed."""


def examine(path: Path, tests: tuple[str, ...], found: list[Mutant]) -> Iterator[tuple[Mutant, bool]]:
    """Each, and whether some test has noticed it."""
    sane = path.read_text()
    limits = []
    for each in tests:
        code, seconds = run(path, sane, each.split(), 600)
        if code != PASSED:
            sys.exit(f"{path}: without a fault, {each} ends with {code}")
        limits.append(3 * seconds + SPARE)
    for mutant in found:
        ends = (run(path, mutant.code, each.split(), limit)[0] for each, limit in zip(tests, limits, strict=True))
        yield mutant, any(code != PASSED for code in ends)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("where", nargs="*", help=f"areas ({', '.join(AREAS)}), or files such as flow/valve.py; all")
    parser.add_argument("--sample", type=int, help="so many of each file, chosen by --seed; all")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--list", action="store_true", help="only say what they are")
    parser.add_argument("--write", type=Path, help="a directory, for a table of each area")
    options = parser.parse_args()
    where = set(options.where or AREAS)
    bad = where - {*AREAS} - {name for files in AREAS.values() for name in files}
    if bad:
        parser.error(f"neither an area nor a file: {', '.join(sorted(bad))}")
    prepare()
    wrong = False
    for area, files in AREAS.items():
        results = []
        for name, tests in files.items():
            if not where & {area, name}:
                continue
            path = Path("pulp_dl", name)
            every = chosen = mutants(path)
            if options.sample is not None and options.sample < len(every):
                chosen = sorted(random.Random(options.seed + name).sample(every, options.sample))
            if options.list:
                print(*(f"{path}:{each.line}: {each.change}" for each in chosen), sep="\n")
                continue
            result = Found(name, len(every), len(chosen))
            for mutant, noticed in examine(path, tests, chosen):
                if noticed:
                    continue
                reason = explained(name, mutant.change)
                result.survived(mutant.change, reason)
                print(f"{path}:{mutant.line}: {mutant.change}  [{reason or 'nobody knows why'}]", flush=True)
            print(result.line(), flush=True)
            results.append(result)
        if results:
            print(text := table(area, results))
            if options.write and area in where:
                (options.write / f"{area}.inc").write_text(text)
            wrong = wrong or any(result.unexplained for result in results)
            wrong = wrong or sum(each.noticed for each in results) < ENOUGH * sum(each.tried for each in results)
    if wrong:
        sys.exit("some were not noticed, and nobody has explained why")


if __name__ == "__main__":
    main()
