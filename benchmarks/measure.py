"""
Run a program and print what it took: wall and CPU seconds, peak RSS in KiB, exit code.

A process of its own, and a small one: what a program's parent holds at the moment of fork counts as the program's.
"""

import os
import sys
import time

began = time.perf_counter()
program = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(program, 0)
print(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
