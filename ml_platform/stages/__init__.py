"""Specification to Dagster assets, checks and jobs, one module a stage. Stages meet only through asset keys."""
