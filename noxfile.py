"""What is checked, each in an environment of its own: ``nox`` runs all, ``nox -l`` lists them."""

from __future__ import annotations

import tomllib
from itertools import chain
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The tests, on every Python that is supported."""
    session.install("--editable", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """The tests, with the oldest versions that pyproject.toml allows: of what is needed, and of what may be wanted."""
    extras = (PROJECT["optional-dependencies"][name] for name in ("metrics", "progress", "sftp"))
    bounds = chain(PROJECT["dependencies"], *extras)
    oldest = [requirement.replace(">=", "==") for requirement in bounds]
    session.install("--editable", ".[test]", *oldest)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    session.install(*PROJECT["optional-dependencies"]["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    session.install("--editable", ".[types]")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    session.install("--editable", ".[docs]")
    session.run("sphinx-build", "-n", "-W", "-b", "html", "docs", "docs/_build/html")


@nox.session
def news(session: nox.Session) -> None:
    """A change that users see has a fragment in newsfragments/."""
    session.install(*PROJECT["optional-dependencies"]["lint"])
    session.run("towncrier", "check", "--compare-with", *(session.posargs or ["origin/main"]))


@nox.session(default=False)
def kills(session: nox.Session) -> None:
    """Two hundred runs of the command that are killed at random moments, over one directory; it needs nginx."""
    session.install("--editable", ".[test]")
    session.run("python", "-m", "pytest", "tests/cli/test_killed_often.py", env={"PULP_DL_KILLS": "200"})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Beside its peers; see benchmarks/README.rst."""
    session.install("--editable", ".[bench]")
    session.run("python", "benchmarks/run", *session.posargs)


@nox.session(default=False)
def suites(session: nox.Session) -> None:
    """Public suites on the streamer; docs/suites.rst says which, and what they need."""
    session.install("--editable", ".[test]")
    tools = session.create_tmp()
    session.run("npm", "install", "--no-save", "--prefix", tools, "http-cache-tests@0.4.5", external=True)
    # In an environment of its own: with it comes a package that is called "tests", too.
    session.run("python", "-m", "venv", tools)
    session.run(f"{tools}/bin/pip", "install", "--quiet", "httplint==2026.10.4", external=True)
    session.run("python", "-m", "tests.suites", "--tools", tools, "--write", "docs/suites", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Faults are put into the code, and the tests have to notice; docs/reliability.rst has what they did not."""
    session.install("--editable", ".[test]", "cosmic-ray==8.7.0")
    session.run("python", "-m", "tests.mutants", "--write", "docs/mutants", *session.posargs)
