"""The house keeps its floors: every import of every file, read from the source.

FLOORS lists all files in order. A file may import what stands above it, on its own floor or an
earlier one, and nothing else. A new file is a new line here.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "lucidlite"

FLOORS = {
    "F0 names, numbers, places": """
        notes callsite hints training_hints blas malloc workers threads determinism device dtypes
        philox generator hooks names scope window geometry mixes files png pictures
        pages
    """,
    "F1 backends": """
        backends.kernels backends.kernels.conv backends.kernels.pool backends.kernels.matmul
        backends.kernels.reduce backends.kernels.norm backends.kernels.group_norm
        backends.kernels.resample backends.kernels.loss backends.kernels.index
        backends.kernels.optim backends.kernels.optim_rules backends.kernels.data
        backends.kernels.amp backends.kernels.random backends.kernels.chains backends.kernels.units
        backends.kernels.special backends.kernels.scan
        backends.kernels.sequences backends.kernels.recurrent backends.base backends.numpy_kernels
        backends.numpy_kernels.layout
        backends.numpy_kernels.elementwise backends.numpy_kernels.products
        backends.numpy_kernels.transposed backends.numpy_kernels.direct
        backends.numpy_kernels.columns backends.numpy_kernels.pointwise
        backends.numpy_kernels.grouped backends.numpy_kernels.depthwise
        backends.numpy_kernels.winograd_transforms backends.numpy_kernels.winograd_plan
        backends.numpy_kernels.winograd backends.numpy_kernels.matmul
        backends.numpy_kernels.few_windows backends.numpy_kernels.conv backends.numpy_kernels.blocks
        backends.numpy_kernels.pool_plan backends.numpy_kernels.maxima
        backends.numpy_kernels.max_pool backends.numpy_kernels.pool backends.numpy_kernels.units
        backends.numpy_kernels.special backends.numpy_kernels.scan
        backends.numpy_kernels.norm backends.numpy_kernels.loss backends.numpy_kernels.optim
        backends.numpy_kernels.reduce backends.numpy_kernels.index
        backends.numpy_kernels.recurrent backends.numpy_backend
        backends.cudnn backends.cuda backends.cupy_kernels backends.cupy_kernels.probe
        backends.cupy_kernels.memory backends.cupy_kernels.data backends.cupy_kernels.launch
        backends.cupy_kernels.alarms backends.cupy_kernels.matmul backends.cupy_kernels.cudnn
        backends.cupy_kernels.im2col backends.cupy_kernels.conv backends.cupy_kernels.packs
        backends.cupy_kernels.pool backends.cupy_kernels.reduce backends.cupy_kernels.norm
        backends.cupy_kernels.loss backends.cupy_kernels.index backends.cupy_kernels.graph
        backends.cupy_kernels.optim backends.cupy_kernels.amp backends.cupy_kernels.random
        backends.cupy_kernels.special backends.cupy_backend backends.mps backends
    """,
    "F2 tensors without operations": "grad_mode size view tensor_base",
    "F3 the tape": "saved tape",
    "F4 operations": """
        ops ops.common ops.facts ops.precision ops.unary ops.shape ops.index_key ops.indexing
        ops.choose ops.elementwise ops.compare ops.join ops.transfer ops.gather ops.reduce
        ops.extremes ops.statistics ops.matmul ops.activation ops.sorting ops.smooth ops.pairs
        ops.diagonals ops.cumulative ops.contraction ops.products ops.scatter ops.slices ops.strided
        ops.selection ops.distinct ops.arranging ops.linalg ops.conv ops.pooling ops.resample
        ops.pad ops.one_dim ops.conv_transpose ops.unpool ops.fold ops.pixels ops.interpolate
        ops.norm ops.group_norm ops.norms ops.loss ops.classification ops.inplace ops.random ops.put
        ops.clip ops.embedding ops.attention ops.multihead ops.bilinear ops.packing ops.recurrent
        ops.recurrent_layer
        ops.units ops.gates ops.distance ops.feature_dropout ops.pair_losses ops.binary_loss
        ops.likelihood ops.margin_losses
    """,
    "F5 the engine": "nonfinite engine_checks engine stepping",
    "F6 tensors": "printing printing_html reading tensor creation sampling interop",
    "F7 rooms around them": """
        gradcheck autograd linalg formats formats.refused formats.zips formats.arrays formats.names
        formats.archive formats.structure formats.plain_npz formats.pickles formats.values
        formats.torch_zip formats.safetensors_file serialization
        nn.parameter nn.tree nn.convert nn.state nn.hooks
        nn.brief nn.html nn.module nn.containers nn.init nn.functional nn.linear nn.conv nn.pooling
        nn.rectifier nn.activation nn.norm nn.layer_norm nn.padding nn.resize nn.dropout nn.distance
        nn.loss nn.margin_loss nn.shape nn.utils.clip_grad nn.utils.rnn nn.utils.convert_parameters
        nn.utils.norms nn.utils.weight_norm nn.utils.spectral_norm nn.utils.parametrize
        nn.utils.parametrizations nn.utils nn.embedding nn.holders nn.cells nn.recurrent
        nn.attention nn.transformer_layers nn.transformer nn optim.options optim.hooks
        optim.optimizer optim.state optim.sgd optim.adam optim.by_rule optim.means optim.adam_kin
        optim.signs optim.wolfe optim.lbfgs optim.lr_scheduler.base optim.lr_scheduler.formulas
        optim.lr_scheduler.cycles optim.lr_scheduler.one_cycle optim.lr_scheduler.plateau
        optim.lr_scheduler.chains optim.lr_scheduler optim.swa_utils optim amp.autocast_mode
        amp.grad_scaler amp cuda.streams cuda.nested cuda.graph cuda.amp cuda accelerator
        utils.data.collate utils.data.dataset utils.data.sampler utils.data.worker utils.data.ahead
        utils.data.epoch utils.data.iterator utils.data.dataloader utils.data utils
        datasets.download datasets.unpickle datasets.idx datasets.images datasets.spatial
        datasets.geometric datasets.transforms datasets.vision datasets.mnist datasets.cifar
        datasets.folder datasets.on_device datasets
    """,
    "F8 the front door": "lucidlite",
    "F9 outer rooms": """
        models training.modes tables kept profiler.events profiler.watched profiler.recorder
        profiler.table profiler.trace profiler.session profiler costs.multiply_adds costs.measured
        costs.layers costs.model costs training.signals training.sources training.settings
        training.build training.metrics training.steps training.tensorboard training.live
        training.progress training.predictions training.markup training.report training.charts
        training.confusion training.confusion_html training.run_page training.generators
        training.checkpoint training.run_folder training.keeping
        training.trainer training watching.values watching.graph watching.run watching.step
        watching.rule watching.loop watching.modes watching.losses watching.data
        watching.activations watching.gradients watching.table watching.watcher watching
        commands commands.gpu commands.common
        viz.numbers viz.images viz.graph viz.modules viz.collect viz.mermaid viz.page viz
        parity.measure parity.source parity.sides parity.trace parity.places parity.step
        parity.inputs parity.report parity.twins parity.run parity
        onnx.graph onnx.table onnx.shape onnx.choices onnx.arithmetic onnx.activation onnx.products
        onnx.pooling onnx.norm onnx.reduce onnx.resize onnx.index onnx.recurrent onnx.patches
        onnx.losses onnx.operators onnx.views onnx.tracer onnx.run onnx.dynamic onnx.axes
        onnx.verify onnx.write onnx.exporting onnx
        commands.export commands.doctor commands.going_on commands.results commands.train
        commands.eval commands.predict commands.summary commands.parity cli __main__
    """,
}
ORDER = [name for floor in FLOORS.values() for name in floor.split()]
OUTER = FLOORS["F9 outer rooms"].split()

# Imported inside functions, and only there: what may be missing, and what is slow to load.
OPTIONAL = {
    "cupy", "cudnn", "matplotlib", "rich", "tensorboard", "PIL", "safetensors", "onnx",
    "onnxruntime",
}  # fmt: skip
HEAVY = {"datasets.download": {"urllib", "http", "ssl"}, "scope": {"difflib"}}
# Files that load modules by name: the front doors of the package and of the command line, a user's
# model file, looks at what is installed; the backend of a device that most don't ask for.
BY_NAME = {
    "lucidlite", "backends", "cli", "training.build", "commands.doctor", "commands.gpu",
    "backends.cupy_kernels.probe", "parity.source",
}  # fmt: skip

# Gives a user's file an import statement of its own.
OWN_IMPORT = {"parity.source"}

LONGEST = 350
LONGER = {
    "lucidlite": (500, "names, one a line where they are many"),
    "tensor": (1350, "one method a line: splitting it would hide some from readers and IDEs"),
    "creation": (400, "one factory after another, each short"),
}
CORE = ("tensor_base", "tape", "engine")


def name_of(path: Path) -> str:
    """'ops.conv' for lucidlite/ops/conv.py, 'nn' for lucidlite/nn/__init__.py."""
    parts = list(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts[1:]) or "lucidlite"


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def every_file(check: Callable[[str], None]) -> Callable[[], None]:
    """A test that holds ``check`` of every file."""

    def test() -> None:
        for name in FILES:
            check(name)

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


@functools.cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )


@functools.cache
def for_annotations(name: str) -> frozenset[ast.AST]:
    """The nodes under ``if TYPE_CHECKING:``."""
    blocks = [node for node in ast.walk(tree_of(name)) if is_type_checking(node)]
    return frozenset(n for block in blocks for child in block.body for n in ast.walk(child))


def imports(name: str) -> Iterator[tuple[ast.stmt, str]]:
    """Every import that runs: the statement and the full name of what it imports."""
    for node in ast.walk(tree_of(name)):
        if node in for_annotations(name):
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}:{node.lineno} imports relatively"
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}"


def file_of(imported: str) -> str | None:
    """The file of this package that an import of 'lucidlite.ops.conv.conv2d' loads."""
    if imported.partition(".")[0] != "lucidlite":
        return None
    inside = imported.partition(".")[2]
    while inside and inside not in FILES:
        inside = inside.rpartition(".")[0]
    return inside or "lucidlite"


def inside_functions(name: str) -> Iterator[ast.stmt]:
    for node in ast.walk(tree_of(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            for child in ast.walk(node):
                if isinstance(child, (ast.Import, ast.ImportFrom)):
                    yield child


def test_every_file_is_listed():
    assert sorted(ORDER) == sorted(FILES)


@every_file
def test_imports_go_down(name):
    above = set(ORDER[: ORDER.index(name)])
    for statement, imported in imports(name):
        target = file_of(imported)
        if target is not None and target != name:
            assert target in above, f"{name}:{statement.lineno} imports {imported} from above"


@every_file
def test_nobody_imports_the_front_door(name):
    """``import lucidlite`` inside the package would tie every file to every other."""
    for statement, imported in imports(name):
        if name != "lucidlite":
            assert file_of(imported) != "lucidlite", f"{name}:{statement.lineno}"


def test_no_cycles():
    """On the graph of all imports as they are, deferred ones included."""
    graph = {name: {file_of(i) for _, i in imports(name)} - {None, name} for name in FILES}
    finished: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in finished:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            finished.append(name)

    for name in graph:
        visit(name, ())


@every_file
def test_imports_inside_functions(name):
    allowed = OPTIONAL | HEAVY.get(name, set())
    for node in inside_functions(name):
        module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        assert module.partition(".")[0] in allowed, f"{name}:{node.lineno} imports {module}"


@every_file
def test_imports_at_the_top(name):
    """The standard library, NumPy and this package: nothing that may be missing."""
    deferred = set(inside_functions(name))
    for statement, imported in imports(name):
        root = imported.partition(".")[0]
        known = root in sys.stdlib_module_names or root in ("lucidlite", "numpy")
        assert known or statement in deferred, f"{name}:{statement.lineno} imports {imported}"


@every_file
def test_nothing_else_loads_modules(name):
    text = ast.unparse(tree_of(name))
    assert "__import__" not in text or name in OWN_IMPORT
    if name not in BY_NAME:
        assert not any(imported.startswith("importlib") for _, imported in imports(name))


@every_file
def test_type_checking_imports_are_for_annotations(name):
    """What only a type checker imports doesn't exist at run time."""
    tree, skipped = tree_of(name), for_annotations(name)
    if name == "lucidlite":  # for IDEs: __getattr__ loads these
        return
    names = {
        alias.asname or alias.name.partition(".")[0]
        for node in skipped
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    annotations: set[ast.AST] = set(skipped)
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            found = getattr(node, field, None)
            if found is not None:
                annotations |= set(ast.walk(found))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names:
            assert node in annotations, f"{name}:{node.lineno} uses {node.id} at run time"


@every_file
def test_no_class_is_patched(name):
    """A class has what its body says: no ``Tensor.x = f`` from outside."""
    tree = tree_of(name)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (alias.asname or alias.name)[:1].isupper()
    }
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                assert target.value.id not in imported, f"{name}:{node.lineno}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr":
            first = node.args[0]
            assert not (isinstance(first, ast.Name) and first.id in imported), name


@every_file
def test_no_assert(name):
    """``python -O`` drops them, and users deserve an exception that says what is wrong."""
    found = [node.lineno for node in ast.walk(tree_of(name)) if isinstance(node, ast.Assert)]
    assert not found


@every_file
def test_no_bare_exceptions(name):
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            assert ast.unparse(node.exc.func) not in ("Exception", "BaseException")
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name}:{node.lineno}"


@every_file
def test_layers_know_no_arrays(name):
    """nn/ is written on Tensors: what needs an array is an operation or a kernel."""
    if not name.startswith("nn"):
        return
    allowed = {"nn.init": "numbers drawn on the host become a parameter's values"}
    runs = [imported for _, imported in imports(name) if imported.startswith("numpy")]
    assert not runs or name in allowed
    backends = [i for _, i in imports(name) if i.startswith("lucidlite.backends")]
    assert all(imported.endswith(".Device") for imported in backends)


def test_kernel_families_share_no_names():
    """A helper of one family must not hide another's: they are mixed into one class."""
    from lucidlite.backends.cupy_backend import CuPyBackend

    families = [c for c in CuPyBackend.__mro__ if ".cupy_kernels." in c.__module__]
    for i, family in enumerate(families):
        for other in families[:i]:
            if not issubclass(other, family):
                both = {name for name in vars(family) if not name.startswith("__")} & {*vars(other)}
                assert not both, f"{other.__name__} and {family.__name__}"


@every_file
def test_length(name):
    limit, _ = LONGER.get(name, (LONGEST, ""))
    lines = len(FILES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= limit, f"{name} has {lines} lines: two duties?"


def test_the_core_fits_in_a_head():
    lines = {name: len(FILES[name].read_text(encoding="utf-8").splitlines()) for name in CORE}
    assert sum(lines.values()) <= 700, lines


# A finder that knows none of the outer rooms, then a training step.
WITHOUT = """
import sys

OUTER = {outer!r}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[2] in OUTER:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
import lucidlite as torch
from lucidlite import nn

torch.manual_seed(0)
layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
model = nn.Sequential(*layers)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
x, y = torch.randn(8, 1, 8, 8), torch.randint(0, 3, (8,))
losses = []
for _ in range(10):
    optimizer.zero_grad()
    loss = nn.CrossEntropyLoss()(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < losses[0] / 2, losses
try:
    torch.models
except ImportError:
    pass
else:
    raise SystemExit("the outer rooms are still there")
print("trained")
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_without_the_outer_rooms():
    assert run(WITHOUT.format(outer=OUTER)) == "trained\n"


def test_importing_loads_little():
    """``import lucidlite`` brings NumPy and the core; the rest waits until it is asked for."""
    loaded = run(
        "import numpy, sys; before = set(sys.modules); import lucidlite; "
        "print(*sorted(set(sys.modules) - before))"
    ).split()
    inside = {name.partition(".")[2] for name in loaded if name.startswith("lucidlite.")}
    assert not inside & {*OUTER, "nn", "optim", "utils", "datasets", "serialization"}
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & {*OPTIONAL, "torch", "urllib", "ssl", "http", "multiprocessing"}
