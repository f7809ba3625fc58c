"""The edges towards servers: one file or folder for each protocol."""
