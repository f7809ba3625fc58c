"""Do the tests notice?  Small faults are put into the code, one at a time; see docs/reliability.rst."""
