"""Typed routes: pydantic in, public models out, a permission on each, OpenAPI from the same declarations."""
