"""One module a program; each is started with `python -m dbx_jobs.jobs.<name>` through Dagster Pipes."""
