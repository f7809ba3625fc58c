"""The garbage collector of the command's own process, and of nobody else's."""

from __future__ import annotations

import gc
import subprocess
import sys

from click.testing import CliRunner

from pulp_dl.cli import main

PROGRAM = """
import gc, sys
from pulp_dl.cli import main
sys.argv = ["pulp-dl", "--version"]
try:
    main()
finally:
    print("threshold", gc.get_threshold()[0])
"""


def test_the_command_lets_more_objects_be_made_before_it_looks_for_garbage() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(ran.stdout.split()[-1]) >= 5000


def test_so_does_the_service_of_twistd() -> None:
    program = "from pulp_dl.cli.tap import Options, makeService\noptions = Options()\n"
    program += "options.parseOptions(['--passthrough', '/=http://127.0.0.1:9/'])\nmakeService(options)\n"
    program += "import gc\nprint('threshold', gc.get_threshold()[0])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(ran.stdout.split()[-1]) >= 5000


def test_who_calls_the_command_from_a_program_keeps_their_own() -> None:
    before = gc.get_threshold()
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0
    assert gc.get_threshold() == before
