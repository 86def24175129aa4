"""The schema of a store file, and how one of an earlier version is brought up to date."""
