"""The words of mqjobs as values: no input, no output, no clock."""
