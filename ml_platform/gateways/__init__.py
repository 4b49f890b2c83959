"""The outside world: lake, jobs, model registry, endpoints. One protocol each; `build` chooses the implementations."""
