"""A store put right: exclude, forget, copies kept beside it, and what `sql --write` may touch."""
