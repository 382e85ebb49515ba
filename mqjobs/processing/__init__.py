"""What authors of processors and producers see."""
