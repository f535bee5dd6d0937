"""The constant part of the server: everything that differs between servers is in operations.json."""

FORMAT = 1
