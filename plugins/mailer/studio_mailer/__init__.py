"""Mails: templates, a durable outbox that retries, a preview page."""
