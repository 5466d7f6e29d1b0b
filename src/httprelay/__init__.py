"""Bytes from here to there: HTTP and server-sent events between an ASGI server and an upstream."""
