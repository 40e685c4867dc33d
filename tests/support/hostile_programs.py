"""Programs that try everything but to solve the task: the corpus of the sandbox's tests.

Each defines ``solve(n)``. Words in ``@`` are filled in by the test: ``@PARENT@`` our process id,
``@SECRET@`` a world-readable file with every right answer, ``@PORT@`` and ``@ABSTRACT@`` servers
that tell them to anyone who connects, ``@FD@`` an inheritable descriptor of that file, ``@CWD@`` and
``@HOME@`` directories to write into. Whoever reaches one of them scores.
"""

# ruff: noqa: E501 - a program a line reads better than a program in pieces
from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent, indent

MARK = "minirl-hostile"  # in the name of every file that a program tries to make
TIME = frozenset({"time"})
STOPPED = frozenset({"forbidden", "exception"})
SLAIN = frozenset({"time", "memory", "crash", "exception"})


@dataclass(frozen=True, slots=True)
class Hostile:
    """One program."""

    kind: str
    name: str
    source: str
    errors: frozenset[str] | None = None
    """What the process engine may call it; None: it may also return (something wrong)."""
    steals: bool = False
    """It does get the answers where nothing confines it."""


def body(kind: str, name: str, code: str, *words: str, steals: bool = False) -> Hostile:
    """A program whose attack runs inside the call."""
    inside = indent(dedent(code).strip("\n"), "    ")
    return Hostile(kind, name, f"def solve(n):\n{inside}\n", _words(words), steals)


def whole(kind: str, name: str, code: str, *words: str) -> Hostile:
    """A program whose attack runs when it is loaded, or that needs more than one function."""
    return Hostile(kind, name, dedent(code).lstrip("\n"), _words(words))


def _words(words: tuple[str, ...]) -> frozenset[str] | None:
    return frozenset(words) or None


LOOPS = (
    body("loop", "python", "while True: pass", *TIME),
    whole("loop", "at load", "while True: pass", *TIME),
    body("loop", "swallows all", "while True:\n    try:\n        while True: pass\n    except BaseException: pass", *TIME),
    body("loop", "sum in C", "return sum(range(10**12))", *TIME),
    body("loop", "power in C", "return pow(7, 10**9) % 10", *SLAIN),
    body("loop", "regular expression", "import re\nreturn bool(re.match('(a|a)*b', 'a' * 40))", *TIME),
    body("loop", "digits", "import sys\nsys.set_int_max_str_digits(0)\nreturn int('9' * 10**7) % 7", *SLAIN),
    body("loop", "text of a number", "import sys\nsys.set_int_max_str_digits(0)\nreturn len(str(7**4000000))", *SLAIN),
    whole("loop", "evil order", """
        class Evil:
            def __lt__(self, other):
                while True: pass
        def solve(n): return sorted([Evil(), Evil()])
    """, *TIME),
    whole("loop", "evil text of an exception", """
        class Evil(Exception):
            def __str__(self):
                while True: pass
        def solve(n): raise Evil
    """, *TIME),
    body("loop", "hash collisions", "return len({i * (2**61 - 1): i for i in range(10**6)})", *SLAIN),
    body("loop", "sleep", "import time\ntime.sleep(3600)\nreturn 0", *TIME),
    body("loop", "lock", "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()", *TIME),
    whole("loop", "async", """
        import asyncio
        async def wait():
            while True: await asyncio.sleep(0)
        def solve(n): return asyncio.run(wait())
    """, "time", "forbidden", "exception"),
    body("loop", "list in C", "return list(iter(int, 1))", *SLAIN),
    body("loop", "prints", "while True: print('x' * 10000)", *TIME),
    body("loop", "prints to stderr", "import sys\nwhile True: sys.stderr.write('x' * 10000)", *TIME),
    body("loop", "ignores signals", """
        import signal
        for s in range(1, 65):
            try: signal.signal(s, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: pass
    """, *TIME),
    body("loop", "blocks signals", """
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        while True: pass
    """, *TIME),
    body("loop", "stops its timer", "import signal\nsignal.setitimer(signal.ITIMER_PROF, 0)\nwhile True: pass", "time", "forbidden", "exception"),
    body("loop", "trace function", """
        import sys
        def tracer(*_):
            while True: pass
        sys.settrace(tracer)
        (lambda: 0)()
        return 0
    """, *TIME),
)  # fmt: skip

MEMORY = (
    body("memory", "list", "x = []\nwhile True: x.append([0] * 100000)", *SLAIN),
    body("memory", "bytes", "return len(bytearray(10**11))", "memory"),
    body("memory", "string", "return len('a' * 10**11)", "memory"),
    body("memory", "many dicts", "return len([dict() for _ in range(10**8)])", *SLAIN),
    body("memory", "shift", "return (1 << 10**12) % 3", *SLAIN),
    body("memory", "zip bomb", """
        import zlib
        data = zlib.compress(b'0' * 10**7)
        x = []
        while True: x.append(zlib.decompress(data))
    """, *SLAIN),
    body("memory", "catches it", "x = []\nwhile True:\n    try: x.append('a' * 10**7)\n    except MemoryError: pass", *SLAIN),
    body("memory", "raises the limit", """
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        return len(bytearray(10**10))
    """, *STOPPED),
    body("memory", "threads", """
        import threading, time
        while True: threading.Thread(target=time.sleep, args=(60,)).start()
    """, *STOPPED),
    whole("memory", "recursion", "def solve(n): return solve(n + 1)", "exception"),
    whole("memory", "recursion without limit", """
        import sys
        sys.setrecursionlimit(10**9)
        def solve(n): return [solve(n + 1)]
    """, "crash", "memory", "time", "exception"),
    body("memory", "nested repr", "x = []\nfor _ in range(10**6): x = [x]\nreturn repr(x)", *SLAIN),
)  # fmt: skip

PROCESSES = (
    body("process", "fork bomb", "import os\nwhile True: os.fork()", *STOPPED),
    body("process", "daemon", """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0: time.sleep(600)
            os._exit(0)
        return 0
    """, *STOPPED),
    body("process", "subprocess", "import subprocess\nreturn subprocess.run(['sleep', '600'])", *STOPPED),
    body("process", "shell by exec", "import os\nos.execv('/bin/sh', ['sh', '-c', 'sleep 600'])", *STOPPED),
    body("process", "os.system", "import os\nreturn os.system('sleep 600 &')"),
    body("process", "multiprocessing", "import multiprocessing\nmultiprocessing.Process(target=int).start()", *STOPPED),
    body("process", "kills parent", "import os\nos.kill(os.getppid(), 9)", *STOPPED),
    body("process", "kills the grader", "import os\nos.kill(@PARENT@, 9)", *STOPPED),
    body("process", "kills all", "import os\nos.kill(-1, 9)", *STOPPED),
    body("process", "kills the group", "import os\nos.killpg(os.getpgrp(), 9)", *STOPPED),
    body("process", "stops itself", "import os\nos.kill(os.getpid(), 19)", *STOPPED),
    body("process", "nice", "import os\nreturn os.nice(-20)", *STOPPED),
    body("process", "setuid", "import os\nos.setuid(0)", *STOPPED),
    body("process", "raises its limits", "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))", *STOPPED),
    body("process", "lifts no-new-privileges", "import ctypes\nreturn ctypes.CDLL(None).prctl(38, 0, 0, 0, 0)"),
    body("process", "traces the grader", "import ctypes\nreturn ctypes.CDLL(None).ptrace(16, @PARENT@, 0, 0)"),
    body("process", "other ABI", """
        import ctypes, mmap
        page = mmap.mmap(-1, 4096, prot=7)
        page.write(bytes.fromhex('b802000000cd80c3'))
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        return ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    """, "crash", "exception", "forbidden"),
)  # fmt: skip

FILES = (
    *(body("file", f"writes to {place}", f"open('{place}/{MARK}-1', 'w').write('x')\nreturn 0", *STOPPED)
      for place in ("/tmp", "/var/tmp", "/dev/shm", "@HOME@", "@CWD@", ".")),
    body("file", "fills the disk", f"f = open('/tmp/{MARK}-2', 'wb')\nwhile True: f.write(b'0' * 2**20)", *STOPPED),
    body("file", "sparse", f"f = open('/tmp/{MARK}-3', 'wb')\nf.truncate(2**40)\nreturn 0", *STOPPED),
    body("file", "many", f"for i in range(10**6): open(f'/tmp/{MARK}-many-{{i}}', 'w').close()\nreturn 0", *STOPPED),
    body("file", "makes directories", f"import os\nos.makedirs('/tmp/{MARK}-4/a/b')", *STOPPED),
    body("file", "symlink", f"import os\nos.symlink('/etc/passwd', '/tmp/{MARK}-5')\nreturn open('/tmp/{MARK}-5').read()", *STOPPED),
    body("file", "temporary file", f"import tempfile\nreturn tempfile.mkstemp(prefix='{MARK}')[1]", *STOPPED),
    body("file", "deletes", "import os\nos.unlink('@SECRET@')", *STOPPED),
    body("file", "empties", "import os\nos.truncate('@SECRET@', 0)", *STOPPED),
    body("file", "renames", "import os\nos.rename('@SECRET@', '@SECRET@.moved')", *STOPPED),
    body("file", "changes modes", "import os\nos.chmod('@SECRET@', 0)", *STOPPED),
    body("file", "memory file", "import os\nfd = os.memfd_create('x')\nwhile True: os.write(fd, b'0' * 2**20)", *STOPPED),
    body("file", "fifo", f"import os\nos.mkfifo('/tmp/{MARK}-6')", *STOPPED),
    body("file", "mounts", "import ctypes\nreturn ctypes.CDLL(None).mount(b'none', b'/mnt', b'tmpfs', 0, 0)"),
    body("file", "closes all, then opens", f"import os\nfor i in range(3): os.close(i)\nreturn open('/tmp/{MARK}-7', 'w').fileno()", *STOPPED),
)  # fmt: skip

THEFT = (
    body("theft", "reads the tests", "import json\nreturn json.load(open('@SECRET@'))[str(n)]", *STOPPED, steals=True),
    body("theft", "low-level read", "import json, os\nfd = os.open('@SECRET@', 0)\nreturn json.loads(os.read(fd, 10**6))[str(n)]", *STOPPED, steals=True),
    body("theft", "inherited descriptor", "import json, os\nreturn json.loads(os.pread(@FD@, 10**6, 0))[str(n)]", *STOPPED, steals=True),
    body("theft", "any descriptor", """
        import json, os
        for fd in range(3, 300):
            try: return json.loads(os.pread(fd, 10**6, 0))[str(n)]
            except (OSError, ValueError, KeyError, TypeError): pass
        return None
    """, steals=True),
    body("theft", "grader's environment", """
        import json
        text = open('/proc/@PARENT@/environ', 'rb').read().split(b'MINIRL_ANSWERS=')[1].split(b'\\0')[0]
        return json.loads(text)[str(n)]
    """, *STOPPED),
    body("theft", "own environment", "import json, os\nreturn json.loads(os.environ['MINIRL_ANSWERS'])[str(n)]", "exception", steals=True),
    body("theft", "grader's memory", """
        for line in open('/proc/@PARENT@/maps'):
            pass
        return open('/proc/@PARENT@/mem', 'rb').read(1)[0]
    """, *STOPPED),
    body("theft", "process_vm_readv", "import ctypes\nreturn ctypes.CDLL(None).process_vm_readv(@PARENT@, 0, 0, 0, 0, 0)"),
    body("theft", "server on TCP", """
        import json, socket
        with socket.create_connection(('127.0.0.1', @PORT@)) as s: return json.loads(s.recv(10**6))[str(n)]
    """, *STOPPED, steals=True),
    body("theft", "server on an abstract socket", """
        import json, socket
        with socket.socket(socket.AF_UNIX) as s:
            s.connect('\\x00@ABSTRACT@')
            return json.loads(s.recv(10**6))[str(n)]
    """, *STOPPED, steals=True),
    body("theft", "UDP", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))", *STOPPED),
    body("theft", "name look-up", "import socket\nreturn socket.gethostbyname('example.com')", *STOPPED),
    body("theft", "listens", "import socket\nsocket.create_server(('127.0.0.1', 0)).accept()", *STOPPED),
    body("theft", "frames", """
        import sys
        frame, seen = sys._getframe(), []
        while frame:
            seen += [repr(v) for v in list(frame.f_locals.values())]
            frame = frame.f_back
        return next(int(w) for text in seen for w in text.split() if w.isdigit() and len(w) > 4)
    """),
    body("theft", "all objects", """
        import gc
        return [o for o in gc.get_objects() if type(o) is dict and str(n) in o][0][str(n)]
    """, "exception"),
    body("theft", "the project's modules", "import minirl\nreturn minirl.__version__", "exception"),
    body("theft", "site packages", "import sys\nsys.path.append('@CWD@')\nimport tests.support.hostile_programs\nreturn 0", "exception", "forbidden"),
    body("theft", "reads its input", "return input()", "exception"),
)  # fmt: skip

TRICKS = (
    whole("value", "equal to all", """
        class Any:
            def __eq__(self, other): return True
            __hash__ = None
        def solve(n): return Any()
    """, "bad value"),
    whole("value", "int subclass", """
        class Any(int):
            def __eq__(self, other): return True
            def __hash__(self): return 0
        def solve(n): return Any(5)
    """, "bad value"),
    whole("value", "str and list subclasses", """
        class S(str): pass
        class L(list): pass
        def solve(n): return L([S('x')])
    """, "bad value"),
    whole("value", "borrowed class", """
        class Any:
            @property
            def __class__(self): return int
        def solve(n): return Any()
    """, "bad value"),
    whole("value", "pickle bomb", """
        class Bomb:
            def __reduce__(self): return (print, ('boom',))
        def solve(n): return [Bomb()]
    """, "bad value"),
    body("value", "cycle", "x = []\nx.append(x)\nreturn x", "bad value"),
    body("value", "deep", "x = []\nfor _ in range(10**5): x = [x]\nreturn x", "bad value"),
    body("value", "doubling", "x = [1]\nfor _ in range(60): x = [x, x]\nreturn x", "output"),
    body("value", "huge integer", "return 7 ** 100000", "bad value"),
    body("value", "huge string", "return 'x' * 10**6", "output"),
    body("value", "many parts", "return [0] * 10**6", "output"),
    body("value", "surrogate", "return '\\ud800'", "bad value"),
    body("value", "nan", "return float('nan')"),
    body("value", "infinity", "return float('inf')"),
    body("value", "generator", "yield n", "bad value"),
    body("value", "True", "return True"),
    body("value", "itself", "return solve", "bad value"),
    body("value", "nothing printed counts", "print(n)\nprint('{\"value\": 1}')"),
    whole("value", "async function", "async def solve(n): return 1", "bad value"),
)  # fmt: skip

RUNNER = (
    body("runner", "sys.exit", "import sys\nsys.exit(0)", "exception"),
    body("runner", "os._exit", "import os\nos._exit(0)", "crash"),
    whole("runner", "exits at load", "import os\nos._exit(0)", "crash"),
    body("runner", "KeyboardInterrupt", "raise KeyboardInterrupt", "exception"),
    body("runner", "GeneratorExit", "raise GeneratorExit", "exception"),
    body("runner", "abort", "import os\nos.abort()", "crash", "time"),
    body("runner", "null pointer", "import ctypes\nreturn ctypes.string_at(0)", "crash"),
    whole("runner", "at exit", """
        import atexit
        @atexit.register
        def last():
            while True: pass
        def solve(n): raise SystemExit
    """, "exception"),
    body("runner", "closes descriptors", "import os\nos.closerange(0, 1000)\nreturn 0", "crash"),
    body("runner", "hangs up", "import os\nos.close(3)\nwhile True: pass", "crash", "time"),
    body("runner", "forges a frame", "import os\nos.write(3, b'\\0\\0\\0\\7' + b'0' * 16 + b'value\\n1')\nreturn 1", "forged"),
    body("runner", "answers ahead", """
        import os, struct, sys
        nonce = sys._getframe(1).f_back.f_locals['nonce']
        frame = struct.pack('!I16s', 7, nonce) + b'value\\n1'
        os.write(3, frame * 9)
        while True: pass
    """),
    body("runner", "endless frame", "import os\nos.write(3, b'\\xff' * 20)\nwhile True: os.write(3, b'x' * 65536)", "forged", "output"),
    body("runner", "frame without end", "import os\nwhile True: os.write(3, b'\\0')", "forged", "time"),
    body("runner", "reads the channel", "import os\nreturn os.read(3, 10)", "time"),
    whole("runner", "poisons the encoder", """
        import json, struct, os
        json.dumps = lambda *a, **k: '1'
        struct.pack = lambda *a: b''
        def solve(n): return object()
    """),
    whole("runner", "poisons builtins", """
        import builtins
        builtins.type = lambda x: int
        builtins.len = lambda x: 1
        def solve(n): return object()
    """),
    whole("runner", "poisons the modules", "import sys\nsys.modules.clear()\ndef solve(n): return 1"),
    whole("runner", "removes itself", "import sys\ndef solve(n):\n    sys.modules['program'].__dict__.clear()\n    return 1"),
    body("runner", "rewrites its caller", """
        import sys
        frame = sys._getframe(1)
        frame.f_locals['limit'] = 10**12
        frame.f_globals['encode'] = lambda *a: '[' * 10**5
        return 0
    """),
    body("runner", "profile function", "import sys\nsys.setprofile(lambda *a: 1 / 0)\nreturn 0"),
    body("runner", "fault handler", "import faulthandler, os\nfaulthandler._sigsegv()"),
    body("runner", "garbage collector", "import gc\ngc.set_threshold(1)\ngc.set_debug(gc.DEBUG_LEAK)\nreturn 0"),
)  # fmt: skip

SOURCES = (
    whole("source", "no Python", "def solve(n: return", "syntax"),
    whole("source", "empty", "", "no function"),
    whole("source", "other name", "def other(n): return n", "no function"),
    whole("source", "a value", "solve = 3", "no function"),
    Hostile("source", "null byte", "def solve(n):\n    return 1\0", frozenset({"syntax"})),
    Hostile("source", "surrogate", "def solve(n): return '\ud800'", frozenset({"syntax"})),
    Hostile("source", "huge", "def solve(n): return 1\n" + "#" * 10**6, frozenset({"syntax"})),
    Hostile("source", "parentheses", "solve = " + "(" * 5000 + ")" * 5000, frozenset({"syntax"})),
    Hostile("source", "minus signs", "solve = " + "-" * 50000 + "1", frozenset({"syntax", "crash"})),
    Hostile("source", "long sum", "solve = " + "+".join(["1"] * 50000), frozenset({"syntax", "crash", "exception", "no function"})),
    Hostile("source", "attributes", "solve = a" + ".a" * 50000, frozenset({"syntax", "crash", "exception"})),
    whole("source", "coding cookie", "# -*- coding: no-such -*-\nsolve = 'x'", "no function", "syntax"),
    Hostile("source", "constant folding", "def solve(n): return ((((1 << 100) ** 100) ** 100) ** 100) ** 100", SLAIN),
)  # fmt: skip

CORPUS = (*LOOPS, *MEMORY, *PROCESSES, *FILES, *THEFT, *TRICKS, *RUNNER, *SOURCES)
