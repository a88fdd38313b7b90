"""Exports and presets of trained models."""
