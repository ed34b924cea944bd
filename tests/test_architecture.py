"""Who imports whom, and how large things grow: read from the source with `ast`."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "skmltc"
MODULES = {path.stem: path for path in sorted(PACKAGE.glob("*.py"))}
PUBLIC = [name for name in MODULES if not name.startswith("_")]

# A module may import those of lower levels, and of its own only what SIDEWAYS says.
LEVELS = [
    {"labels", "_validation", "_ranking", "_formats", "_words", "_loss_kernel", "_thresholds"},
    {"encoders", "losses", "decision", "text", "neighbors", "metrics", "model_selection"}
    | {"displays", "datasets"},
    {"_training", "_linear", "pretrained"},
    {"base"},
    {"balanced_loss", "hybrid_siamese", "head_to_tail", "treader_xml"},
    {"persistence"},
    {"__init__"},
]
SIDEWAYS = {
    "_ranking": {"_validation"},
    "_formats": {"_validation"},
    "_loss_kernel": {"_validation"},
    "_words": {"_formats", "_validation"},
    "_thresholds": {"labels", "_ranking", "_validation"},
    "displays": {"metrics"},
    "decision": {"metrics", "model_selection"},
    "model_selection": {"metrics"},
}
ESTIMATORS = LEVELS[4]
# Private parts of level 0 belong to somebody.
USERS = {
    "_formats": {"_words", "datasets"},
    "_words": {"text"},
    "_loss_kernel": {"losses"},
    "_ranking": {"_thresholds", "metrics", "decision", "base"},
    "_thresholds": {"decision", "_linear", "base", *ESTIMATORS},
}
TORCH_FREE = {"labels", "metrics", "datasets", "model_selection", "decision", "text"}


def level_of(module):
    return next(level for level, modules in enumerate(LEVELS) if module in modules)


def imports(source, top_level_only=False):
    """Names that a module imports: those of the package by module, others by their root."""
    tree = ast.parse(source)
    for node in top_level_statements(tree.body) if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (of_package(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            path = ["skmltc"] * bool(node.level) + (node.module or "").split(".") * bool(node.module)
            if path == ["skmltc"]:
                yield from (of_package(["skmltc", alias.name]) for alias in node.names)
            else:
                yield of_package(path)


def top_level_statements(body):
    """Statements that run on import: functions are not entered, classes and branches are."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from top_level_statements(
                [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            )


def of_package(path):
    return f"skmltc.{path[1]}" if path[0] == "skmltc" and len(path) > 1 else path[0]


def modules_imported(source, **options):
    names = {name.removeprefix("skmltc.") for name in imports(source, **options) if "." in name}
    return names - {"__version__"}


def forbidden(module, imported):
    """Those of the imported modules that the module may not use."""
    level, sideways = level_of(module), SIDEWAYS.get(module, set())
    return {
        name
        for name in imported
        if not (level_of(name) < level or name in sideways)
        or module not in USERS.get(name, {module})
    }


@pytest.mark.parametrize(
    "source, expected",
    [
        ("import numpy.linalg as la, torch", {"numpy", "torch"}),
        ("from scipy import sparse", {"scipy"}),
        ("from .labels import rarity", {"skmltc.labels"}),
        ("from . import labels, metrics", {"skmltc.labels", "skmltc.metrics"}),
        ("from skmltc import labels", {"skmltc.labels"}),
        ("from skmltc.labels import rarity", {"skmltc.labels"}),
        ("import skmltc.labels", {"skmltc.labels"}),
        ("def f():\n    from .base import fit\n    import torch", {"skmltc.base", "torch"}),
    ],
)
def test_imports_are_found_in_every_form(source, expected):
    assert set(imports(source)) == expected


def test_imports_of_a_module_are_those_that_run_with_it():
    source = "try:\n    import a\nexcept E:\n    import b\nclass C:\n    import c\n"
    source += "    def f(self):\n        import d\nimport e\n"
    assert set(imports(source, top_level_only=True)) == {"a", "b", "c", "e"}


@pytest.mark.parametrize(
    "module, imported, expected",
    [
        ("base", {"encoders", "labels"}, set()),
        ("encoders", {"base"}, {"base"}),
        ("metrics", {"datasets"}, {"datasets"}),
        ("displays", {"metrics"}, set()),
        ("labels", {"_validation"}, {"_validation"}),
        ("balanced_loss", {"head_to_tail", "_thresholds"}, {"head_to_tail"}),
        ("metrics", {"_thresholds"}, {"_thresholds"}),
    ],
)
def test_the_rule_is_downward_never_sideways(module, imported, expected):
    assert forbidden(module, imported) == expected


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_lower_levels(module):
    assert any(module in modules for modules in LEVELS), f"{module} is missing in LEVELS"
    assert forbidden(module, modules_imported(MODULES[module].read_text())) == set()


def test_only_training_imports_skorch():
    users = {name for name, path in MODULES.items() if "skorch" in imports(path.read_text())}
    assert users == {"_training"}


@pytest.mark.parametrize("library", ["transformers", "safetensors", "matplotlib"])
def test_optional_libraries_are_imported_inside_functions(library):
    for path in MODULES.values():
        assert library not in imports(path.read_text(), top_level_only=True), path.name


@pytest.mark.parametrize("module", sorted(TORCH_FREE))
def test_torch_free_modules_load_no_torch(module):
    to_read, seen = [module], set()
    while to_read:
        name = to_read.pop()
        seen.add(name)
        names = set(imports(MODULES[name].read_text(), top_level_only=True))
        assert not names & {"torch", "skorch"}, f"{module} gets torch by {name}"
        to_read += modules_imported(MODULES[name].read_text(), top_level_only=True) - seen


def test_importing_the_package_loads_no_optional_library_and_warns_of_nothing():
    code = (
        "import sys, skmltc; assert skmltc.__version__ and 'torch' in sys.modules\n"
        "print(sorted({'matplotlib', 'transformers', 'sphinx', 'pytest'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "[]\n" and run.stderr == ""


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_files_stay_under_500_lines(path):
    assert len(path.read_text().splitlines()) < 500


def code_lines(source, function):
    """Lines of a function's body that hold code: no docstring, comments or blank lines.

    The signature does not count: an estimator's has a line for every parameter.
    """
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    start, end = body[0].lineno, function.end_lineno
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len([line for line in lines if start <= line <= end])


def functions(source, prefix=""):
    """All functions and methods, nested ones included."""
    return [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]


def test_code_lines_are_counted_without_docstring_comments_and_signature():
    source = 'def f(\n    a,\n):\n    """Doc.\n\n    More.\n    """\n    # why\n\n    b = (\n        a\n    )\n'
    assert code_lines(source, functions(source)[0]) == 3


@pytest.mark.parametrize("module", MODULES)
def test_functions_stay_under_40_lines_of_code(module):
    source = MODULES[module].read_text()
    lengths = {function.name: code_lines(source, function) for function in functions(source)}
    assert {name: length for name, length in lengths.items() if length >= 40} == {}


def hidden_parameters(source):
    """Public functions and methods that take **kwargs."""
    return {
        function.name
        for function in functions(source)
        if function.args.kwarg and not (function.name.startswith("_") and function.name[1] != "_")
    } - {"set_params"}


def test_hidden_parameters_are_found():
    source = "def f(**o): 0\ndef _g(**o): 0\nclass C:\n    def __init__(self, **o): 0\n"
    source += "    def set_params(self, **params): 0\n"
    assert hidden_parameters(source) == {"f", "__init__"}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_signatures_name_their_parameters(module):
    assert hidden_parameters(MODULES[module].read_text()) == set()


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_module_has_its_tests(module):
    assert (Path(__file__).parent / f"test_{module}.py").is_file()


def test_every_test_file_is_about_a_module():
    tests = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert tests - {"common", "architecture"} <= {name.lstrip("_") for name in MODULES}
