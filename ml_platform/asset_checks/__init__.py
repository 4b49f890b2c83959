"""Evaluates the declared asset checks over a lake as it stands, for CI and for a person; writes nothing."""
