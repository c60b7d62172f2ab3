"""Drives Resend's own SDK: sends the mail of argument 1 with the key of argument 2, verifies a signed webhook."""

import json
import sys

import resend

mail, key, webhook = json.loads(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
resend.api_key = "re_fake_0123456789abcdef"
sent = resend.Emails.send(mail, {"idempotency_key": key})
again = resend.Emails.send(mail, {"idempotency_key": key})
errors = []
for params, options in (
    (mail | {"subject": "Other"}, {"idempotency_key": key}),
    (mail | {"from": "a@nowhere.example"}, {}),
):
    try:
        resend.Emails.send(params, options)
    except resend.exceptions.ResendError as error:
        errors.append([str(error.code), error.error_type])
verified = []
for signature in (webhook["signature"], "v1,AAAA"):
    headers = {"id": webhook["id"], "timestamp": webhook["timestamp"], "signature": signature}
    try:
        resend.Webhooks.verify(
            {"payload": webhook["body"], "headers": headers, "webhook_secret": webhook["secret"]}
        )
        verified.append(True)
    except ValueError:
        verified.append(False)
print(json.dumps({"ids": [sent["id"], again["id"]], "errors": errors, "verified": verified}))
