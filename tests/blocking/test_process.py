"""
The one reactor of a process: who starts it, and that nobody waits for it in vain.

Each test is a process of its own, and one that hangs is a failure.
"""

from __future__ import annotations

import pytest

from tests.blocking.threads import script

pytestmark = pytest.mark.limit(40)


async def test_the_reactor_is_started_once_and_the_process_ends_by_itself() -> None:
    """Even if nobody closes anything."""
    end = await script("""
        downloaders = [make() for _ in range(3)]
        print(*[fetch(each) for each in downloaders])
        print([thread.daemon for thread in threading.enumerate() if "reactor" in thread.name])
    """)

    assert (end.returncode, end.stdout, end.stderr) == (0, "abc abc abc\n[True]\n", "")


async def test_threads_that_begin_together_start_one_reactor() -> None:
    end = await script("""
        gate, bodies = threading.Barrier(8), []
        def importer():
            gate.wait()
            with make() as downloader:
                bodies.append(fetch(downloader))
        threads = [threading.Thread(target=importer) for _ in range(8)]
        for each in threads: each.start()
        for each in threads: each.join()
        print(bodies.count("abc"), sum("reactor" in thread.name for thread in threading.enumerate()))
    """)

    assert (end.returncode, end.stdout) == (0, "8 1\n"), end.stderr


@pytest.mark.parametrize("name", ["asyncio", "select", "poll"])
async def test_any_reactor_will_do(name: str) -> None:
    end = await script(f"""
        from twisted.internet import {name}reactor
        {name}reactor.install()
        with make() as downloader:
            print(fetch(downloader))
        from twisted.internet import reactor
        print(type(reactor).__module__)
    """)

    assert (end.returncode, end.stdout) == (0, f"abc\ntwisted.internet.{name}reactor\n"), end.stderr


async def test_importing_it_imports_no_reactor() -> None:
    """A program chooses its reactor, and forks its workers, after its imports."""
    end = await script("""
        import pulp_dl.blocking, pulp_dl.importers.file, pulp_dl.cli
        print("twisted.internet.reactor" in sys.modules)
    """)

    assert (end.returncode, end.stdout) == (0, "False\n"), end.stderr


async def test_a_reactor_that_the_main_thread_runs_is_used() -> None:
    end = await script("""
        from twisted.internet import reactor
        def importer():
            with make() as downloader:
                print(fetch(downloader), "pulp_dl reactor" in [each.name for each in threading.enumerate()])
            reactor.callFromThread(reactor.stop)
        reactor.callWhenRunning(reactor.callInThread, importer)
        reactor.run()
    """)

    assert (end.returncode, end.stdout) == (0, "abc False\n"), end.stderr


async def test_a_reactor_that_another_thread_runs_is_used() -> None:
    end = await script("""
        from twisted.internet import reactor
        started = threading.Event()
        reactor.callWhenRunning(started.set)
        threading.Thread(target=reactor.run, args=(False,), daemon=True, name="its own").start()
        started.wait()
        with make() as downloader:
            print(fetch(downloader), "pulp_dl reactor" in [each.name for each in threading.enumerate()])
    """)

    assert (end.returncode, end.stdout) == (0, "abc False\n"), end.stderr


@pytest.mark.parametrize("how", ["fetch(downloader, 'silent')", "next(many(downloader))"])
async def test_ctrl_c_cancels_what_the_main_thread_waits_for(how: str) -> None:
    end = await script(f"""
        from pulp_dl.consumers.memory import ToMemory
        class Body(ToMemory):
            def fail(self, failure):
                print("failed:", failure.type.__name__)
        def many(downloader):
            return downloader.download_many([("memory://h/silent", Body())])
        def interrupt():
            while not memory.asked: time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        with make() as downloader:
            threading.Thread(target=interrupt).start()
            begun = time.monotonic()
            try:
                {how}
            except KeyboardInterrupt:
                print("interrupted", memory.running, time.monotonic() - begun < 2)
    """)

    assert end.returncode == 0, end.stderr
    assert end.stdout.endswith("interrupted 0 True\n")


@pytest.mark.parametrize("how", ["fetch(downloader, 'silent')", "next(many(downloader))", "downloader.head(SILENT)"])
@pytest.mark.parametrize("end_it", ["stop", "crash"])
async def test_who_waits_is_woken_when_the_reactor_stops(how: str, end_it: str) -> None:
    end = await script(f"""
        from twisted.internet import reactor
        from pulp_dl.blocking import ReactorStopped, BlockingDownloader
        from pulp_dl.consumers.memory import ToMemory
        SILENT = "memory://h/silent"
        def many(downloader):
            return downloader.download_many([(SILENT, ToMemory())])
        def stop():
            while not memory.asked: time.sleep(0.01)
            reactor.callFromThread(reactor.{end_it})
        downloader = make()
        threading.Thread(target=stop).start()
        for attempt in (lambda: {how}, lambda: fetch(downloader), lambda: downloader.download_many([])):
            try:
                attempt()
            except ReactorStopped as error:
                print("stopped")
        downloader.close()
        print(memory.running if {end_it!r} == "stop" else 0)
    """)

    assert (end.returncode, end.stdout) == (0, "stopped\nstopped\nstopped\n0\n"), end.stderr


async def test_a_stopped_reactor_is_said_to_be_one() -> None:
    end = await script("""
        from twisted.internet import reactor
        from pulp_dl.blocking import ReactorStopped
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        for _ in range(2):
            try:
                make()
            except ReactorStopped as error:
                print(error)
    """)

    line = "the reactor has stopped, and cannot be started again in this process\n"
    assert (end.returncode, end.stdout) == (0, 2 * line), end.stderr


CHILD = """
    def child(work):
        pid = os.fork()
        if not pid:
            signal.alarm(10)  # ends a child that hangs
            try:
                work()
                sys.stdout.flush()
            finally:
                os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


async def test_a_forked_process_starts_afresh() -> None:
    """As the workers of RQ and Celery do: the parent's reactor has no thread in the child."""
    end = await script(
        CHILD
        + """
    def work():
        try:
            fetch(old)
        except RuntimeError as error:
            print("old:", error)
        old.close()
        with make() as new:
            print("new:", fetch(new))
    old = make()
    fetch(old)
    print(child(work))
    print("parent:", fetch(old))
    """
    )

    assert end.returncode == 0, end.stderr
    assert end.stdout.splitlines() == [
        "old: made before this process was forked; make a new one in this process",
        "new: abc",
        "0",
        "parent: abc",
    ]


async def test_a_forked_process_starts_afresh_even_if_it_learns_of_us_only_then() -> None:
    end = await script(
        CHILD
        + """
    from twisted.internet import reactor
    def work():
        with make() as new:
            print("new:", fetch(new))
        from pulp_dl.blocking import BlockingDownloader
        try:
            BlockingDownloader(reactor=reactor)
        except RuntimeError as error:
            print(error)
    started = threading.Event()
    reactor.callWhenRunning(started.set)
    threading.Thread(target=reactor.run, args=(False,), daemon=True).start()
    started.wait()
    print(child(work))
    """
    )

    assert end.returncode == 0, end.stderr
    assert end.stdout.splitlines() == [
        "new: abc",
        "this reactor stayed behind when the process was forked; use reactor=None",
        "0",
    ]


async def test_forked_processes_share_no_reactor_that_was_only_imported() -> None:
    """They would share its epoll and its waker, and wake each other instead of themselves."""
    end = await script(
        CHILD
        + """
    import pulp_dl.blocking
    from twisted.internet import reactor
    def work():
        with make() as new:
            for _ in range(200):
                fetch(new)
            os.write(1, b"new: %r\\n" % (new._home.reactor is not reactor))  # at once: three write there
    codes = []
    parents = [threading.Thread(target=lambda: codes.append(child(work))) for _ in range(3)]
    for each in parents: each.start()
    for each in parents: each.join()
    print(codes)
    """
    )

    assert end.returncode == 0, end.stderr
    assert end.stdout.splitlines() == ["new: True"] * 3 + ["[0, 0, 0]"]


async def test_a_process_may_run_the_reactor_that_it_forked_with() -> None:
    """As twistd does when it becomes a daemon: it imports, forks, and runs."""
    end = await script(
        CHILD
        + """
    import pulp_dl.blocking
    from twisted.internet import reactor
    def importer():
        with make() as downloader:
            print(fetch(downloader), downloader._home.reactor is reactor)
        reactor.callFromThread(reactor.stop)
    def work():
        reactor.callWhenRunning(reactor.callInThread, importer)
        reactor.run()
    print(child(work))
    """
    )

    assert (end.returncode, end.stdout) == (0, "abc True\n0\n"), end.stderr


async def test_a_downloader_may_be_closed_at_any_moment() -> None:
    """Also in that in which another thread, which waits for outcomes, hears of the end."""
    end = await script("""
        from twisted.internet.defer import CancelledError
        from pulp_dl.consumers.memory import ToMemory
        sys.setswitchinterval(1e-5)
        def importer(downloader):
            items = [("memory://h/silent", ToMemory()) for _ in range(3)]
            try:
                with downloader.download_many(items, 3) as outcomes:
                    list(outcomes)
            except CancelledError:
                pass
        for _ in range(100):
            downloader = make()
            waiting = threading.Thread(target=importer, args=[downloader])
            waiting.start()
            while memory.running < 3:
                pass
            downloader.close()
            waiting.join()
        print("closed")
    """)

    assert (end.returncode, end.stdout) == (0, "closed\n"), end.stderr
