"""Drives the platform through past days."""
