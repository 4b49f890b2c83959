"""The scoring server: one program that serves one endpoint directory over HTTP, without the platform around it."""
