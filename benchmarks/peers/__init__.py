"""Peers on the same work, each set up as its own documentation says for many short messages."""
