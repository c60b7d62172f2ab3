"""Drives `jira`, the Python client of Jira: files the issue of argument 4, finds it, attaches argument 6."""

import json
import sys
from pathlib import Path

from jira import JIRA, JIRAError

url, email, token, fields, jql, path = sys.argv[1:7]
client = JIRA(
    options={"server": url, "rest_api_version": "3"},
    basic_auth=(email, token),
    get_server_info=True,
    max_retries=0,
)
told = {"key": client.create_issue(fields=json.loads(fields), prefetch=False).key}
told["found"] = client.enhanced_search_issues(
    jql, maxResults=1, fields=["key"], json_result=True, use_post=True
)
with Path(path).open("rb") as file:
    told["attachment"] = client.add_attachment(told["key"], file).id
try:
    client.create_issue(fields=json.loads(fields) | {"summary": ""}, prefetch=False)
except JIRAError as error:
    told["error"] = [error.status_code, error.text]
print(json.dumps(told))
