"""What every configuration of ours says."""

from __future__ import annotations

from typing import Any

#: Lost batches are handed out again by the screen, which knows whose fault they were; parsl's logs are 4 kB a task.
QUIET: dict[str, Any] = {"initialize_logging": False, "retries": 0, "usage_tracking": 0}
