"""C{python -m tests.mutants}: put faults into the code, and tell of those that no test has noticed."""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .areas import AREAS, Tests
from .child import PASSED, prepare, run
from .explained import explained
from .mutants import Mutant, mutants
from .report import Found, section, share

SPARE = 5.0
"""Seconds beyond three times of what the tests need without a fault."""

ENOUGH = 90.0
"""Percent of the faults of an area, to be noticed."""


class Memory:
    """What has been noticed, over several runs; a fault is known by the whole file that it is in."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._noticed = set(path.read_text().split()) if path is not None and path.exists() else set()

    def __contains__(self, mutant: Mutant) -> bool:
        return self._of(mutant) in self._noticed

    def add(self, mutant: Mutant) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(f"{self._of(mutant)}\n")

    @staticmethod
    def _of(mutant: Mutant) -> str:
        return hashlib.sha256(mutant.code.encode()).hexdigest()


def examine(name: str, tests: tuple[Tests, ...], found: list[Mutant], memory: Memory) -> Iterator[Mutant]:
    """Those that no test notices; of what is explained, only those who know the file best are asked."""
    path = Path("pulp_dl", name)
    sane = path.read_text()

    @cache
    def limit(number: int) -> float:
        """In how many seconds these tests end, unless one of them never does."""
        code, seconds = run(path, sane, tests[number], 600)
        if code != PASSED:
            sys.exit(f"{path}: without a fault, {' '.join(tests[number])} ends with {code}")
        return 3 * seconds + SPARE

    for mutant in found:
        if mutant in memory:
            continue
        known = explained(name, mutant.change) is not None
        asked = range(1 if known else len(tests))
        if any(run(path, mutant.code, tests[number], limit(number))[0] != PASSED for number in asked):
            memory.add(mutant)
        else:
            yield mutant


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("where", nargs="*", help=f"areas ({', '.join(AREAS)}), or files such as flow/valve.py; all")
    parser.add_argument("--sample", type=int, help="so many of each file, chosen by --seed; all")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--first", action="store_true", help="only ask the tests that know a file best")
    parser.add_argument("--memory", type=Path, help="a file: what is noticed is not tried again by later runs")
    parser.add_argument("--list", action="store_true", help="only say what they are")
    parser.add_argument("--write", type=Path, help="a directory, for a table of each area")
    options = parser.parse_args()
    where = set(options.where or AREAS)
    bad = where - {*AREAS} - {name for files in AREAS.values() for name in files}
    if bad:
        parser.error(f"neither an area nor a file: {', '.join(sorted(bad))}")
    prepare()
    memory, wrong = Memory(options.memory), False
    for area, files in AREAS.items():
        results = []
        for name, tests in files.items():
            if not where & {area, name}:
                continue
            path = Path("pulp_dl", name)
            every = chosen = mutants(path)
            if options.sample is not None and options.sample < len(every):
                # In one order, so that who tries more of them later tries these again.
                order = random.Random(options.seed + name).sample(every, len(every))
                chosen = sorted(order[: options.sample])
            if options.list:
                say("\n".join(f"{path}:{each.line}: {each.change}" for each in chosen))
                continue
            result = Found(name, len(every), len(chosen))
            for mutant in examine(name, tests[:1] if options.first else tests, chosen, memory):
                reason = explained(name, mutant.change)
                result.survived(reason)
                say(f"{path}:{mutant.line}: {mutant.change}  [{reason or 'nobody knows why'}]")
            say(" ".join(result.row()))
            results.append(result)
        if results:
            text = section(area, results)
            say(text)
            if options.write and area in where:
                (options.write / f"{area}.inc").write_text(text)
            wrong = wrong or any(result.unexplained for result in results) or share(*results) < ENOUGH
    if wrong:
        sys.exit("some were not noticed, and nobody has explained why")


if __name__ == "__main__":
    main()
