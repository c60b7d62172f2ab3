"""Durable jobs: the document in MongoDB is the truth, the engine only rings."""
