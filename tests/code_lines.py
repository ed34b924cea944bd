"""Counts lines of code: no blank line, no comment, no docstring.

    python tests/code_lines.py [FOLDER]

prints the lines of each file and their sum; test_architecture.py uses the functions too.
"""

import ast
import io
import sys
import tokenize
from pathlib import Path


def lines_of_code(source):
    """Numbers of the lines that are neither blank nor comments."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = [range(t.start[0], t.end[0] + 1) for t in tokens if t.type not in silent]
    return set().union(*lines)


def docstring_lines(source):
    """Numbers of the lines of all docstrings."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    owners = [n for n in ast.walk(ast.parse(source)) if isinstance(n, kinds)]
    first = [n.body[0] for n in owners if ast.get_docstring(n, clean=False) is not None]
    return set().union(*(range(n.lineno, n.end_lineno + 1) for n in first))


def count(path):
    """Lines of code of a file, without docstrings."""
    source = path.read_text(encoding="utf-8")
    end = len(source.splitlines()) + 1  # the end marker stands on a line of its own
    return len(lines_of_code(source) - docstring_lines(source) - {end})


def main(folder="skmltc"):
    counts = {path: count(path) for path in sorted(Path(folder).rglob("*.py"))}
    for path, n in counts.items():
        print(f"{n:6} {path}")
    print(f"{sum(counts.values()):6} in all")


if __name__ == "__main__":
    main(*sys.argv[1:])
