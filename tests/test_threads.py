"""The threads of the CPU's kernels: what is cut where, and all that may happen meanwhile."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from itertools import pairwise

import numpy as np
import pytest

import lucidlite
from lucidlite import blas, threads, workers
from lucidlite.blas import blas as the_blas
from lucidlite.threads import cut, parallel, set_num_threads
from lucidlite.utils.data import DataLoader, Dataset

COUNTS = (1, 2, 3, 4)
SECONDS = 30


@pytest.fixture(autouse=True)
def _same_count_after():
    before = lucidlite.get_num_threads()
    yield
    set_num_threads(before)


@pytest.fixture
def together():
    """Tests that need a second thread can't have one where BLAS is unknown."""
    if not the_blas.known:
        pytest.skip("NumPy's BLAS is not an OpenBLAS: kernels use one thread")


def run(code, *, silent=True, **environment):
    """What a program prints; it must end by itself, with no message."""
    names = ("LUCIDLITE_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LUCIDLITE_MALLOC")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120, env={**kept, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (silent and done.stderr), done.stderr
    return done.stdout.strip()


def both_take_part():
    """Two threads meet inside one call: the pool works."""
    meeting = threading.Barrier(2)
    parallel(lambda _: meeting.wait(SECONDS), (0, 1))
    return True


def eventually(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


# -- how many --------------------------------------------------------------------------------------

ASK = "import lucidlite; print(lucidlite.get_num_threads())"


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, str(threads.cores())),
        ({"LUCIDLITE_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "5"}, "5"),
        ({"OMP_NUM_THREADS": "5,2"}, "5"),
        ({"OMP_NUM_THREADS": "many"}, str(threads.cores())),
        ({"LUCIDLITE_NUM_THREADS": "1", "OMP_NUM_THREADS": "5"}, "1"),
        ({"LUCIDLITE_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, "5"),
    ],
)
def test_number_at_first(environment, expected):
    assert run(ASK, **environment) == expected


@pytest.mark.parametrize("value", ["0", "-2", "1.5", "all"])
def test_wrong_environment(value):
    code = """
        import lucidlite
        try:
            lucidlite.get_num_threads()
        except RuntimeError as problem:
            print(problem)
    """
    told = run(code, LUCIDLITE_NUM_THREADS=value)
    assert told.startswith(
        f"LUCIDLITE_NUM_THREADS: expects a positive integer, got {value!r}\n  at <string>:4"
    )


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("count", [*COUNTS, np.int64(2)])
def test_set_and_get(count):
    set_num_threads(count)
    assert lucidlite.get_num_threads() == count
    assert type(lucidlite.get_num_threads()) is int


WRONG = [0, -1, 1.5, True, "2", None, [2], np.bool_(True), np.float32(2)]


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_wrong_numbers(value):
    before = lucidlite.get_num_threads()
    with pytest.raises(RuntimeError, match=r"^set_num_threads: expects a.* got num_threads="):
        lucidlite.set_num_threads(value)
    assert lucidlite.get_num_threads() == before


def test_wrong_numbers_are_torchs_too():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    for value in WRONG:
        with pytest.raises(RuntimeError):
            torch.set_num_threads(value)


def test_import_touches_nothing():
    """No thread, no BLAS setting and no allocator setting before the first kernel."""
    code = """
        import threading
        import lucidlite
        from lucidlite import blas, malloc, workers
        found = workers.pool.count, blas._functions.cache_info().currsize
        print(*found, malloc.keep_freed_memory.cache_info().currsize, threading.active_count())
    """
    assert run(code) == "0 0 0 1"


def container(files, monkeypatch):
    """Of the files under /sys, only these."""

    def read(path):
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    monkeypatch.setattr(threads, "_read", read)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


GROUP = "/sys/fs/cgroup"
PAIRS = {
    f"/sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": f"{n % 4},{n % 4 + 4}\n"
    for n in range(8)
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        (PAIRS, 4),
        ({**PAIRS, f"{GROUP}/cpu.max": "max 100000\n"}, 4),
        ({**PAIRS, f"{GROUP}/cpu.max": "300000 100000\n"}, 3),
        ({**PAIRS, f"{GROUP}/cpu.max": "150000 100000\n"}, 2),
        ({**PAIRS, f"{GROUP}/cpu.max": "1000 100000\n"}, 1),
        (
            {
                f"{GROUP}/cpu/cpu.cfs_quota_us": "-1\n",
                f"{GROUP}/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        (
            {
                f"{GROUP}/cpu/cpu.cfs_quota_us": "250000\n",
                f"{GROUP}/cpu/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        ({f"{GROUP}/cpu.max": "what\n"}, 8),
    ],
)
def test_cores(files, expected, monkeypatch):
    container(files, monkeypatch)
    assert threads.cores() == expected


# -- what is cut where -----------------------------------------------------------------------------


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_cut(count):
    set_num_threads(count)
    for rows in (0, 1, 2, 3, 5, 8, 63, 64, 1000):
        for cost in (1, 1000, threads.WORTH_SHARING // 8, threads.WORTH_SHARING, 1e7):
            parts = cut(rows, cost)
            assert [parts[0][0], parts[-1][1]] == [0, rows]
            assert all(a[1] == b[0] for a, b in pairwise(parts))
            sizes = [end - first for first, end in parts]
            assert max(sizes) - min(sizes) <= 1
            assert 1 <= len(parts) <= count
            assert (len(parts) > 1) == (
                count > 1 and rows > 1 and rows * cost >= threads.WORTH_SHARING
            )
            assert parts == cut(rows, cost)


# -- every part once -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("parts", [0, 1, 2, 3, 4, 9])
def test_every_part_once(count, parts):
    set_num_threads(count)
    for _ in range(50):
        done = []
        parallel(done.append, range(parts))
        assert sorted(done) == list(range(parts))


@pytest.mark.usefixtures("together")
def test_two_threads_meet():
    set_num_threads(2)
    names = set()
    meeting = threading.Barrier(2)

    def work(part):
        meeting.wait(SECONDS)
        names.add((part, threading.current_thread().name))

    parallel(work, (0, 1))
    assert names == {(0, threading.current_thread().name), (1, "lucidlite-kernel-1")}


def test_a_call_inside_a_call():
    set_num_threads(2)
    done = []

    def outer(part):
        here = threading.current_thread()

        def inner(number):
            assert threading.current_thread() is here
            done.append((part, number))

        parallel(inner, range(3))

    for _ in range(20):
        parallel(outer, range(2))
    assert sorted(done) == sorted([(p, n) for p in range(2) for n in range(3)] * 20)


def test_many_users_at_once():
    """Whoever has the pool: the same parts, each caller its own results."""
    set_num_threads(3)
    problems = []

    def user(number):
        try:
            for turn in range(100):
                out = np.zeros(6, int)

                def work(part, out=out, turn=turn):
                    out[part] = number * 1000 + turn + part

                parallel(work, range(6))
                assert out.tolist() == [number * 1000 + turn + part for part in range(6)]
        except BaseException as problem:
            problems.append(problem)

    users = [threading.Thread(target=user, args=(n,)) for n in range(8)]
    for thread in users:
        thread.start()
    for thread in users:
        thread.join(SECONDS)
    assert not problems


def test_the_number_may_change_at_any_time():
    """From another thread while kernels run, and inside a part."""
    set_num_threads(4)
    stop = threading.Event()

    def change():
        while not stop.is_set():
            for count in (1, 2, 4, 3):
                set_num_threads(count)

    other = threading.Thread(target=change)
    other.start()
    try:
        for turn in range(300):
            done = []

            def work(part, done=done, turn=turn):
                if part == turn % 4:
                    set_num_threads(1 + turn % 3)
                done.append(part)

            parallel(work, range(4))
            assert sorted(done) == [0, 1, 2, 3]
    finally:
        stop.set()
        other.join()
    set_num_threads(1)
    eventually(lambda: not [t for t in threading.enumerate() if "kernel" in t.name])


@pytest.mark.usefixtures("together")
def test_without_threads_the_caller_does_all(monkeypatch):
    set_num_threads(1)
    set_num_threads(3)

    def refuse(_):
        raise RuntimeError("can't start new thread")

    done = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        parallel(done.append, range(3))
    assert done == [0, 1, 2]
    assert both_take_part()


# -- problems --------------------------------------------------------------------------------------


class Mine(BaseException):
    pass


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("where", [{0}, {1}, {0, 1}, {2}])
@pytest.mark.parametrize("kind", [ValueError, Mine, SystemExit])
def test_exceptions_come_back(count, where, kind):
    set_num_threads(count)
    working = []

    def work(part):
        working.append(part)
        if part in where:
            working.remove(part)
            raise kind(part)
        np.ones(100_000).sum()
        working.remove(part)

    for _ in range(5):
        with pytest.raises(kind) as caught:
            parallel(work, range(3))
        assert caught.value.args[0] in where
        assert not working
    done = []
    parallel(done.append, range(3))
    assert sorted(done) == [0, 1, 2]


def test_exceptions_hold_nothing_when_dropped():
    """No cycle through the frames: arrays are freed by counting."""
    set_num_threads(2)

    def failing(bad):
        array = np.ones(10)
        held = weakref.ref(array)
        with pytest.raises(ValueError, match="x"):
            attempt(array, bad)
        return held

    def attempt(array, bad):
        def work(part):
            array.sum()
            if part in bad:
                raise ValueError("x")

        parallel(work, (0, 1))

    gc.collect()
    gc.disable()
    try:
        for bad in ((0,), (1,), (0, 1)):
            for _ in range(20):
                held = failing(bad)
                eventually(lambda held=held: held() is None)
    finally:
        gc.enable()


def test_idle_workers_hold_nothing():
    set_num_threads(3)
    for _ in range(50):
        array = np.ones(10)
        held = weakref.ref(array)
        parallel(lambda _, array=array: array.sum(), range(3))
        del array
        eventually(lambda held=held: held() is None)


@pytest.mark.usefixtures("together")
def test_warnings_are_silent_in_workers():
    """As in the caller, where the kernels' door silences them."""
    set_num_threads(2)
    meeting = threading.Barrier(2)

    def work(_):
        meeting.wait(SECONDS)
        np.log(np.zeros(3)) + np.float32(1e30) * np.float32(1e30)

    with np.errstate(all="ignore"):
        parallel(work, (0, 1))


INTERRUPTED = """
    import os, random, signal, sys, threading, time
    import numpy as np
    from lucidlite import threads, workers

    signals, count, most = {signals}, {count}, {most}
    threads.set_num_threads(count)
    rng = random.Random(0)
    working, inside, over = [], False, False
    ready = threading.Event()

    def work(part):
        working.append(part)
        try:
            array = np.ones(rng.choice([1_000, 30_000, 200_000]))
            for _ in range(rng.randrange(1, 30)):
                array = array * 1.0
            for _ in range(rng.randrange(100)):
                pass
        finally:
            working.remove(part)

    def interrupt():
        while not over:
            ready.wait()
            ready.clear()
            time.sleep(rng.random() * 2e-3)
            for _ in range(rng.randrange(most) + 1):
                os.kill(os.getpid(), signal.SIGINT)

    def handler(number, frame):
        if inside:
            raise KeyboardInterrupt
        ready.set()

    signal.signal(signal.SIGINT, handler)
    ready.set()
    threading.Thread(target=interrupt, daemon=True).start()
    caught = 0
    while caught < signals:
        try:
            inside = True
            threads.parallel(work, range(count * rng.randrange(1, 3)))
            inside = False
        except KeyboardInterrupt:
            inside = False
            assert not working, "came back before the workers were done"
            assert not workers.pool.jobs, "kept the pool"
            caught += 1
            ready.set()
    over = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    meeting = threading.Barrier(count)
    threads.parallel(lambda _: meeting.wait(30), range(count))
    assert threading.active_count() <= count + 1
    print(caught)
"""


@pytest.mark.usefixtures("together")
@pytest.mark.skipif(os.name == "nt", reason="needs os.kill with SIGINT")
@pytest.mark.parametrize(("count", "most"), [(2, 1), (4, 3)])
def test_interrupts(count, most):
    """Hundreds of them, anywhere: back when the workers are done, and the pool works on."""
    code = textwrap.dedent(INTERRUPTED).format(signals=300, count=count, most=most)
    assert run(code) == "300"


# -- other processes, and the end ------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

FORKED = """
    import os, sys, threading, warnings
    import numpy as np
    warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
    from lucidlite import threads
    threads.set_num_threads(3)

    def check():
        meeting = threading.Barrier(3)
        threads.parallel(lambda _: meeting.wait(30), range(3))

    def in_child(work):
        child = os.fork()
        if not child:
            status = 1
            try:
                work()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0

    check()
"""


@needs_fork
@pytest.mark.usefixtures("together")
def test_fork():
    code = """
        in_child(check)
        in_child(lambda: in_child(check))  # a grandchild
        check()

        # while another thread has the pool
        stop = False
        def other():
            while not stop:
                threads.parallel(lambda _: np.ones(100_000).sum(), range(3))
        thread = threading.Thread(target=other)
        thread.start()
        for _ in range(20):
            in_child(check)
        stop = True
        thread.join()
        check()
        print("checked")
    """
    assert run(textwrap.dedent(FORKED) + textwrap.dedent(code)) == "checked"


@needs_fork
@pytest.mark.usefixtures("together")
def test_fork_inside_a_part():
    """The child can't finish what its parent's threads began: it is told so, and goes on."""
    code = """
        def work(part):
            meeting.wait(30)
            if part == 0:
                children.append(os.fork())
            meeting.wait(30) if children != [0] else None

        meeting, children = threading.Barrier(2), []
        try:
            threads.parallel(work, range(2))
        except RuntimeError as problem:
            assert children == [0]
            check()
            os._exit(7 if "os.fork" in str(problem) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
        check()
        print("checked")
    """
    assert run(textwrap.dedent(FORKED) + textwrap.dedent(code)) == "checked"


PROCESSES = """
import multiprocessing, sys, threading, warnings
import lucidlite
from lucidlite import nn, threads

def step(seed):
    lucidlite.set_num_threads(2)
    meeting = threading.Barrier(2)
    threads.parallel(lambda _: meeting.wait(30), range(2))
    lucidlite.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Flatten())
    loss = model(lucidlite.randn(16, 3, 32, 32)).square().mean()
    loss.backward()
    return loss.item()

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    here = step(3)
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(step, [3] * 4) == [here] * 4
    print("same")
"""


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method, tmp_path):
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    script = tmp_path / "script.py"
    script.write_text(PROCESSES)
    done = subprocess.run(
        [sys.executable, script, method], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("same\n", "")


ENDS = {
    "an idle pool": "check()",
    "no pool": "",
    "sys.exit": "check(); sys.exit(0)",
    "sys.exit in a thread": """
        def user():  # Python 3.12 starts no more threads while it waits for this one
            done = []
            threads.parallel(done.append, range(3))
            assert sorted(done) == [0, 1, 2]
            sys.exit(3)
        thread = threading.Thread(target=user)
        thread.start()
    """,
    "sys.exit in a part": """
        def work(part):
            sys.exit(0)
        threads.parallel(work, range(3))
    """,
    "a thread at work": """
        def user():
            for _ in range(50):
                threads.parallel(lambda _: np.ones(1_000_000).sum(), range(3))
        threading.Thread(target=user).start()
    """,
    "a daemon at work": """
        def user():
            while True:
                threads.parallel(lambda _: np.ones(1_000_000).sum(), range(3))
        threading.Thread(target=user, daemon=True).start()
        time.sleep(0.05)
    """,
    "a daemon in a long part": """
        def user():
            threads.parallel(lambda _: time.sleep(60), range(3))
        threading.Thread(target=user, daemon=True).start()
        time.sleep(0.05)
    """,
    "kernels at exit": """
        import atexit
        def late():
            done = []
            threads.parallel(done.append, range(3))
            assert sorted(done) == [0, 1, 2]
        atexit.register(late)
        check()
    """,
    "kernels after our own exit": """
        from lucidlite.workers import _close
        check()
        _close()
        done = []
        threads.parallel(done.append, range(3))
        assert done == [0, 1, 2]
    """,
    "kernels in a finalizer": """
        class Late:
            def __del__(self):
                done = []
                threads.parallel(done.append, range(3))
                assert sorted(done) == [0, 1, 2]
        late = Late()
        check()
    """,
}


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("name", ENDS)
def test_the_end(name):
    """The interpreter ends in time, in peace and with the right status."""
    code = """
        import sys, threading, time
        import numpy as np
        from lucidlite import threads
        threads.set_num_threads(3)
        def check():
            meeting = threading.Barrier(3)
            threads.parallel(lambda _: meeting.wait(30), range(3))
        print("begun", flush=True)
    """
    start = time.monotonic()
    assert run(textwrap.dedent(code) + textwrap.dedent(ENDS[name])) == "begun"
    assert time.monotonic() - start < SECONDS


# -- BLAS ------------------------------------------------------------------------------------------


@pytest.fixture
def two_blas_threads():
    """BLAS uses two threads when the test begins, and afterwards what it used before."""
    if not the_blas.known:
        pytest.skip("NumPy's BLAS is not an OpenBLAS")
    set_num_threads(1)
    _, tell = blas._functions()
    before = the_blas.threads()
    tell(2)
    yield tell
    set_num_threads(1)
    tell(before)


@pytest.mark.usefixtures("two_blas_threads")
def test_blas_is_taken_and_given_back():
    product = np.ones((2, 3), np.float32)
    lucidlite.from_numpy(product) @ lucidlite.from_numpy(product.T)
    assert the_blas.threads() == 2
    set_num_threads(2)
    assert the_blas.threads() == 2  # not before there is something to do
    parallel(lambda _: None, range(2))
    assert the_blas.threads() == 1
    set_num_threads(4)
    threads.take_blas()
    assert the_blas.threads() == 1
    set_num_threads(1)
    assert the_blas.threads() == 2
    threads.take_blas()
    assert the_blas.threads() == 2


def test_blas_set_by_others_meanwhile(two_blas_threads):
    tell = two_blas_threads
    set_num_threads(2)
    threads.take_blas()
    tell(3)  # by a library that wants so many from now on
    assert the_blas.threads() == 3
    set_num_threads(1)
    assert the_blas.threads() == 3  # theirs stays
    set_num_threads(2)
    tell(1)  # by one that wants one for a moment
    threads.take_blas()
    tell(2)
    threads.take_blas()
    assert the_blas.threads() == 1
    set_num_threads(1)
    assert the_blas.threads() == 2


def test_unknown_blas(monkeypatch):
    """What can't be told to leave the cores keeps them: one thread here."""
    monkeypatch.setattr(blas, "_functions", lambda: None)
    set_num_threads(4)
    assert lucidlite.get_num_threads() == 1
    assert cut(1 << 20) == [(0, 1 << 20)]
    assert the_blas.threads() == 0
    the_blas.take()
    the_blas.give_back()
    monkeypatch.setattr(workers.pool, "count", 0)
    assert lucidlite.get_num_threads() == 1


def test_which_library(monkeypatch):
    """An OpenBLAS with threads of its own, by any of its names, and no other."""

    class Library:
        def __init__(self, *names, kind=1):
            for name in names:
                setattr(self, name, lambda: kind)

    def found(library):
        monkeypatch.setattr(blas.ctypes, "PyDLL", lambda _: library)
        return blas._functions.__wrapped__()

    for form in blas._NAMES:
        names = [form.format(f"{x}_num_threads") for x in ("get", "set")]
        assert found(Library(*names)) is not None
        assert found(Library(names[0])) is None
        assert found(Library(*names, form.format("get_parallel"))) is not None
        assert found(Library(*names, form.format("get_parallel"), kind=2)) is None
    assert found(Library("MKL_Set_Num_Threads")) is None


# -- loaders ---------------------------------------------------------------------------------------


class Busy(Dataset):
    """Samples made by kernels that would share their work."""

    def __init__(self):
        self.seen = set()

    def __len__(self):
        return 8

    def __getitem__(self, index):
        here = threading.current_thread().name

        def work(_):
            self.seen.add((here, threading.current_thread().name))

        parallel(work, range(3))
        return index


@pytest.mark.usefixtures("together")
def test_loaders_stay_alone():
    set_num_threads(3)
    dataset = Busy()
    for _ in DataLoader(dataset, 2, num_workers=2):
        assert both_take_part()
    names = {f"lucidlite-loader-{n}" for n in range(2)}
    assert dataset.seen == {(name, name) for name in names}


@pytest.mark.usefixtures("two_blas_threads")
def test_one_thread_gives_the_bits_of_several():
    """A network's outputs and its image's gradient, where BLAS has threads of its own."""
    lucidlite.manual_seed(0)
    model = lucidlite.models.CNNWithGAP()
    x = lucidlite.randn(16, 3, 32, 32, requires_grad=True)
    found = []
    for count in (2, 1, 3):
        threads.set_num_threads(count)
        model.zero_grad()
        x.grad = None
        y = model(x)
        y.square().sum().backward()
        found.append((y.detach().numpy(), x.grad.numpy(), model.features[3].weight.grad.numpy()))
        assert count > 1 or the_blas.threads() == 2  # and its number is its own again
    for y, dx, dw in found[1:]:
        np.testing.assert_array_equal(y, found[0][0])
        np.testing.assert_array_equal(dx, found[0][1])
        assert np.linalg.norm(dw - found[0][2]) < 1e-6 * np.linalg.norm(dw)


@pytest.mark.usefixtures("two_blas_threads")
def test_overlapping_kernels_at_one_thread():
    """The first to begin takes BLAS, the last to end gives it back."""
    threads.set_num_threads(1)
    with the_blas:
        assert the_blas.threads() == 1
        with the_blas:
            assert the_blas.threads() == 1
        assert the_blas.threads() == 1
    assert the_blas.threads() == 2
    with pytest.raises(ZeroDivisionError), the_blas:
        raise ZeroDivisionError
    assert the_blas.threads() == 2
