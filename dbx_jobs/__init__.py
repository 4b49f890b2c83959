"""Programs that run on Spark: Databricks, JVM Spark or Sail. Needs no orchestrator and no ml_platform."""
