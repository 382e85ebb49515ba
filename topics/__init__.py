"""The topics of the reference application: a full-text index of Python documentation."""
