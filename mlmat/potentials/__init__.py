"""What computes energies of many structures at once: graphs, models, weights, relaxation."""
