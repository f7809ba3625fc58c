"""Bring files from anywhere to a consumer, whole and proven, or not at all."""
