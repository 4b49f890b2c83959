"""The rules of the platform in pure Python: no orchestrator, no cloud, no engine, no input or output."""
