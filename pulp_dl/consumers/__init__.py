"""The edges towards whoever takes the bytes."""
