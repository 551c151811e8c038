"""How Lightning runs on the processes that :mod:`distill.modules.processes` started."""

from __future__ import annotations

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed


class _Joined(ClusterEnvironment):
    """The group that this process has already entered."""

    creates_processes_externally = True
    main_address = "127.0.0.1"
    main_port = 0  # the group is there: nothing connects to it

    @staticmethod
    def detect() -> bool:
        """Never: chosen by name."""
        return False

    def world_size(self) -> int:
        """Processes in the group."""
        return distributed.get_world_size()

    def set_world_size(self, size: int) -> None:
        """Nothing: the group knows."""

    def global_rank(self) -> int:
        """This process's place in the group."""
        return distributed.get_rank()

    def set_global_rank(self, rank: int) -> None:
        """Nothing: the group knows."""

    def local_rank(self) -> int:
        """The same: all processes are on one machine."""
        return distributed.get_rank()

    def node_rank(self) -> int:
        """The only machine."""
        return 0


class JoinedDDP(DDPStrategy):
    """Averages gradients over the group that this process is in.

    Lightning's own way starts the other processes by running the command line again, once for each:
    every one of them would walk the whole recipe. Parameters without a gradient (a head, while
    inner layers are matched) are looked for in each step; buffers never change and are not sent.
    """

    def __init__(self) -> None:
        super().__init__(
            cluster_environment=_Joined(), find_unused_parameters=True, broadcast_buffers=False
        )

    def _configure_launcher(self) -> None:
        self._launcher = None
