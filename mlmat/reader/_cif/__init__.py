"""Parts of the CIF reader."""
