"""What stands for a GPU where there is none."""

from __future__ import annotations

from panloom.engine.device import Device


class Accelerator(Device):
    """A device that is none of the CPU's, as far as anybody asks."""

    @property
    def is_cpu(self) -> bool:
        return False

    @property
    def workers(self) -> int:
        return 2 * (1 + len(self.others))
