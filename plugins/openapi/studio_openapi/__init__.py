"""The OpenAPI 3.1 document of every route that is on, over HTTP and on the command line."""
