"""Attempts, rounds and all that downloads share."""
