"""What the tasks of joblib's engines share."""

_LARGE = 2**20


class Shared:
    """A function with all that it holds, which engines send to a worker once for many tasks.

    Dask does so with an argument that can be referred to weakly and is large by `sys.getsizeof`;
    functions, tuples and sparse arrays go with every task. loky maps large arrays of tasks to
    memory, also those within other objects, and threads have them already.

    Parameters
    ----------
    function : callable
        With what all tasks read, such as ``partial(fit, X)``. It has no side effects: to some
        engines it goes as a copy.

    Examples
    --------
    >>> from joblib import Parallel, delayed
    >>> from skmltc._engines import Shared
    >>> task = Shared([3, 1, 4].count)
    >>> Parallel()(delayed(Shared.call)(task, number) for number in (1, 2))
    [1, 0]
    """

    def __init__(self, function):
        self.function = function

    def call(self, *arguments):
        """Call the function."""
        return self.function(*arguments)

    def __sizeof__(self):
        return _LARGE
