"""Tests of the pki package."""
