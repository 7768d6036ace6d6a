"""One thread for BLAS: on matrices of some hundred rows its threads mostly wait for one another."""

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

P = ParamSpec("P")
T = TypeVar("T")


@cache
def _controller() -> ThreadpoolController:
    """Looking for the libraries takes tens of milliseconds, so it is done once."""
    return ThreadpoolController()


def with_one_blas_thread(work: Callable[P, T]) -> Callable[P, T]:
    """Decorator that runs a function with one BLAS thread; PyTorch keeps its own."""

    @wraps(work)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        with _controller().limit(limits=1, user_api="blas"):
            return work(*args, **kwargs)

    return limited
