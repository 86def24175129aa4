"""Energies above the hull: which systems are out of date, their phases, their rows."""
