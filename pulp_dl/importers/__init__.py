"""Metadata of repositories in, sources and paths out."""
