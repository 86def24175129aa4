"""Crystals and what is known about them without computing: formulas, hulls, energy schemes. Pure functions."""
