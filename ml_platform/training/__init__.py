"""The training programs: they run in a process of their own, on a laptop or in Azure ML, without Dagster."""
