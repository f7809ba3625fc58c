"""Public suites, each run as it is on a streamer that runs; see docs/suites.rst."""
