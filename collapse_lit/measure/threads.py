"""One thread for BLAS: on matrices with a few hundred rows, its threads mostly wait."""

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

P = ParamSpec("P")
T = TypeVar("T")


@cache
def _controller() -> ThreadpoolController:
    """Cached, because finding the libraries takes tens of milliseconds."""
    return ThreadpoolController()


def with_one_blas_thread(work: Callable[P, T]) -> Callable[P, T]:
    """Decorator that runs a function with one BLAS thread; PyTorch's threads are not changed."""

    @wraps(work)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        with _controller().limit(limits=1, user_api="blas"):
            return work(*args, **kwargs)

    return limited
