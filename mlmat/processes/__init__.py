"""Child processes that may crash or be stopped without taking this one along, and the GPUs they may use."""
