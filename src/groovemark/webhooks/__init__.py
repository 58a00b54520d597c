"""Webhooks: clients are told of the ends of their batches."""
