"""Slurm: jobs of parsl (blocks), the commands of the scheduler, and the settings of a cluster."""
