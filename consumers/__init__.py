"""The processors of the reference application."""
