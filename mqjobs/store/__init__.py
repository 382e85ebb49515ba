"""PostgreSQL: the only package that speaks to it. Functions take a connection first and many rows at once."""
