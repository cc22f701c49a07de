"""Stages: pure functions on tensors and masks. They see protocols, never models."""
