"""Real daemon, web server, code server, run workers and jobs, and what becomes of the work when they are killed."""
