"""Pipelines as deployments of a Prefect server."""
