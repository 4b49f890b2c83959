"""A Databricks workspace that runs what is submitted to it: OAuth, volumes and one-time runs of Python wheel tasks.

app.py           the routes, who may call them, and errors in the service's shape
volumes.py       Unity Catalog volumes: the Files API, over a folder that tasks see under /Volumes
jobs.py          runs/submit, get, get-output, cancel and list of Jobs 2.2
directory.py     who asks, the volume, runtimes, machines and policies of clusters
submission.py    what the published schema and the service's own rules say of a submitted body
runs.py          a run and its life cycle, as the API tells it
compute.py       serverless and new clusters: installs what a task asks for and runs it on a Sail server
task.py          the process that a task runs in, with the restrictions of the real thing
"""
