"""Judging implementations by the vectors: the files, the pipe, the harness and our own adapter."""
