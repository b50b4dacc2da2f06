"""Easel on one machine: the same manifests, with processes in the place of pods."""
