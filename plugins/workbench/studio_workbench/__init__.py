"""The workbench of a project: dashboard, timelines, renders and exports."""
