"""Predicted beside measured power, row by row of a table."""
