"""What runs on a node: a batch of structures in, frames of rows out."""
