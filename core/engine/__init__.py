"""Training jobs: the client in the web process, the cluster and its tasks in their own."""
