"""Where else a file may be had."""
