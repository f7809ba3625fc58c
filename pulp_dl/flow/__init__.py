"""The bytes: from a connection that comes and goes to a consumer that sees one body."""
