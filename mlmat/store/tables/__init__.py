"""Rows of the tables: how they are written, read and checked."""
