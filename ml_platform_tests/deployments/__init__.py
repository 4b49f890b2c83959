"""Checks of what is deployed, file by file, without Azure: `python -m ml_platform_tests.deployments`."""
