"""The one-machine engine: the E2B API over OCI containers."""
