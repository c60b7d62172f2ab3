"""Issues in Jira Cloud."""
