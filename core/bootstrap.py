"""Run the project's commands with nothing but Python there: make `.venv`, install into it, hand over.

Imports only the standard library. A Python far too old must still be able to say that it is, so
annotations stay quoted and nothing newer than Python 3.6 is used before the version is checked.
"""

import contextlib
import hashlib
import importlib
import os
import shlex
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
REQUIREMENTS = os.path.join(ROOT, "requirements.txt")
TEST_REQUIREMENTS = os.path.join(ROOT, "tests", "requirements.txt")

OLDEST, NEWEST = (3, 11), (3, 13)  # what TensorFlow 2.21 supports
STAMP = "contraste-installed"
UNFINISHED = "unfinished"  # what the stamp says while `.venv` is made and filled
INTERRUPTED, UNREAD = 130, 141  # as a shell reports SIGINT and SIGPIPE

# Fails in an environment whose Python is unsupported or whose pip does not start.
PROBE = f"import sys, pip._internal.cli.main; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"


class SetupError(Exception):
    """What keeps a command from running; its text is the sentence to print."""


def main(arguments: "list[str]") -> int:
    """Run a command in this interpreter when it has what is needed, otherwise in `.venv`."""
    try:
        if not is_supported(sys.version_info[:2]):
            raise SetupError(version_sentence(sys.version_info[:3], sys.executable, arguments, find_supported()))
        requirements = TEST_REQUIREMENTS if arguments[:1] == ["test"] else REQUIREMENTS
        if has_all(requirements):
            return run(arguments)
        return hand_over([ensure_venv(VENV, requirements), "-m", "core.bootstrap", *arguments])
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def run(arguments: "list[str]") -> int:
    """Run a command here, in an environment that has every package."""
    try:
        if arguments[:1] == ["start"]:
            os.chdir(ROOT)  # where Streamlit looks for its settings
            return hand_over([sys.executable, "-m", "streamlit", "run", "app.py", *arguments[1:]])
        if arguments[:1] == ["test"]:
            return check(arguments[1:])
        from core.cli import main as command_line

        status = command_line(arguments)
        sys.stdout.flush()
        return status
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return UNREAD


# -- the interpreter ----------------------------------------------------------------------------------


def is_supported(version: "tuple[int, ...]") -> bool:
    """Tell whether the packages can be had for this version of Python."""
    return OLDEST <= tuple(version[:2]) <= NEWEST


def version_sentence(version: "tuple[int, ...]", path: str, arguments: "list[str]", other: "str | None") -> str:
    """Say which Python is needed and what to run; `other` names a supported one that is there."""
    words = " ".join(shlex.quote(word) for word in arguments or ["start"])
    return "Contraste needs Python {} to {}; this is {} ({}). {} and run: {} -m core {}".format(
        ".".join(map(str, OLDEST)),
        ".".join(map(str, NEWEST)),
        ".".join(map(str, version)),
        path,
        f"Take {other}, which is installed," if other else "Install one",
        other or "python3.12",
        words,
    )


def find_supported() -> "str | None":
    """Name the newest supported Python on PATH that starts (a version manager's stand-in may not)."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        name = f"python3.{minor}"
        if shutil.which(name) and _is_quiet_success([name, "-c", ""]):
            return name
    return None


def has_all(requirements: str) -> bool:
    """Tell whether this interpreter is a virtual environment with a fitting version of every package."""
    if os.path.realpath(sys.prefix) == os.path.realpath(VENV) and is_ready(VENV, requirements):
        return True
    return sys.prefix != sys.base_prefix and all(fits(line) for line in read_requirements(requirements)[1])


def fits(line: str) -> bool:
    """Tell whether one requirement, such as ``psycopg[binary]~=3.2``, is installed, with its extras."""
    from importlib import metadata

    parse = _requirement_class()
    if parse is None or line.startswith("-"):  # no way to judge it
        return False
    wanted = parse(line)
    if wanted.marker and not wanted.marker.evaluate():
        return True
    try:
        found = metadata.distribution(wanted.name)
    except metadata.PackageNotFoundError:
        return False
    needs = [parse(text) for text in found.requires or ()] if wanted.extras else []
    by_extra = [
        need for need in needs if need.marker and any(need.marker.evaluate({"extra": extra}) for extra in wanted.extras)
    ]
    return wanted.specifier.contains(found.version, prereleases=True) and all(
        fits(str(need).partition(";")[0]) for need in by_extra
    )


def _requirement_class():
    for name in ("packaging.requirements", "pip._vendor.packaging.requirements"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name).Requirement
    return None


def read_requirements(path: str) -> "tuple[list[str], list[str]]":
    """Return the files that a requirements file consists of, itself first, and their requirement lines."""
    files, lines = [os.path.abspath(path)], []
    with open(path, encoding="utf-8") as text:
        for raw in text:
            line = raw.partition(" #")[0].strip()
            if line.startswith("-r "):
                inner = read_requirements(os.path.join(os.path.dirname(path), line[3:].strip()))
                files += inner[0]
                lines += inner[1]
            elif line and not line.startswith("#"):
                lines.append(line)
    return files, lines


# -- the environment ----------------------------------------------------------------------------------


def ensure_venv(venv: str, requirements: str) -> str:
    """Return the interpreter of `venv`, made, repaired and filled as needed.

    Raises:
        SetupError: When it cannot be made or filled; says what to do.
    """
    if is_ready(venv, requirements):
        return python_of(venv)
    try:
        with _alone(os.path.dirname(venv)):
            if is_ready(venv, requirements):  # another command has just done it
                return python_of(venv)
            if _read(os.path.join(venv, STAMP)) == UNFINISHED or not _is_quiet_success([python_of(venv), "-c", PROBE]):
                make_venv(venv)
            install(venv, requirements)
    except OSError as error:
        raise SetupError(
            f"The virtual environment {venv} could not be made: {error}. Check that the folder can be written and "
            "that the disk has room, then run the command again."
        ) from None
    return python_of(venv)


def python_of(venv: str) -> str:
    """Name the interpreter of a virtual environment."""
    return os.path.join(venv, "Scripts", "python.exe") if os.name == "nt" else os.path.join(venv, "bin", "python")


def is_ready(venv: str, requirements: str) -> bool:
    """Tell whether the stamp in `venv` says that these very requirements have been installed."""
    return os.path.exists(python_of(venv)) and digest(venv, requirements) in _read(os.path.join(venv, STAMP)).split()


def digest(venv: str, requirements: str) -> str:
    """Hash a requirements file, what it includes, and which Python `venv` stands on."""
    # A system upgrade may put another Python under the same link, with none of the packages.
    hashed = hashlib.sha256(os.path.realpath(python_of(venv)).encode())
    for path in read_requirements(requirements)[0]:
        hashed.update(b"\0" + _read(path).encode())
    return hashed.hexdigest()


def make_venv(venv: str) -> None:
    """Make a virtual environment anew, marked unfinished from its first moment.

    Raises:
        SetupError: When this Python lacks `venv`.
        OSError: When the folder cannot be made.
    """
    try:
        import ensurepip  # noqa: F401
        import venv as _  # noqa: F401
    except ImportError:
        raise SetupError(
            "This Python cannot make virtual environments, because its venv module is missing. Install it "
            "(Debian and Ubuntu: apt install python3-venv) and run the command again."
        ) from None
    print(f"Making the virtual environment {venv}.", file=sys.stderr)
    if os.path.isdir(venv):
        shutil.rmtree(venv)
    os.makedirs(venv)
    _write(os.path.join(venv, STAMP), UNFINISHED)
    # Its output is kept back: interrupted, the module ends with a traceback.
    made = subprocess.run([sys.executable, "-m", "venv", venv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode != 0:
        raise OSError(made.stdout.decode(errors="replace").strip().split("\n")[-1])


def install(venv: str, requirements: str) -> None:
    """Install a requirements file into `venv` and stamp it.

    Raises:
        SetupError: When pip fails.
    """
    stamp = os.path.join(venv, STAMP)
    _write(stamp, UNFINISHED)
    print("Installing the packages; the first time takes some minutes.", file=sys.stderr)
    options = ["--disable-pip-version-check", "--no-input"]
    # Standard output belongs to the command, which may print JSON there.
    if call([python_of(venv), "-m", "pip", "install", *options, "-r", requirements], stdout=2) != 0:
        os.remove(stamp)
        raise SetupError(
            "The packages could not be installed; the message of pip is above. Check the network connection and the "
            "free disk space, then run the command again."
        )
    _write(stamp, "\n".join(digest(venv, path) for path in read_requirements(requirements)[0]))


@contextlib.contextmanager
def _alone(folder: str):
    """Hold a folder, where the system can lock one, so that two commands do not set up at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock nothing
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


# -- the checks ---------------------------------------------------------------------------------------


def check(pytest_arguments: "list[str]") -> int:
    """Run every check, also after one failed; 1 when any did.

    Raises:
        SetupError: When the browser is missing under CI.
    """
    os.chdir(ROOT)
    ensure_browser()
    commands = [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"], ["pytest", *pytest_arguments]]
    failed = []
    for command in commands:
        print("$", " ".join(command), flush=True)
        if call([sys.executable, "-m", *command]) != 0:
            failed.append(" ".join(command[:2]))
    if failed:
        print("Failed: {}.".format(", ".join(failed)), file=sys.stderr)
    return 1 if failed else 0


def ensure_browser() -> None:
    """Find or install a Chromium for the browser tests.

    Raises:
        SetupError: When there is none under CI; elsewhere the tests that need it are skipped.
    """
    from tests.browser_path import find_browser

    if find_browser():
        return
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    playwright = [sys.executable, "-m", "playwright", "install", *(["--with-deps"] if is_root else []), "chromium"]
    ways = [[playwright]]
    if is_root and shutil.which("apt-get"):
        ways.insert(
            0,
            [["apt-get", "update"], ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "chromium"]],
        )
    print("Installing Chromium for the browser tests.", file=sys.stderr)
    for way in ways:
        if all(call(command, stdout=2) == 0 for command in way) and find_browser():
            return
    sentence = "Chromium could not be installed. Install it, or name one in the variable CONTRASTE_BROWSER"
    if os.environ.get("CI"):
        raise SetupError(sentence + ": under CI the browser tests must run.")
    print(sentence + "; until then the browser tests are skipped.", file=sys.stderr)


# -- processes and files ------------------------------------------------------------------------------


def call(command: "list[str]", stdout: "int | None" = None) -> int:
    """Run a command to its end and return its exit status; Ctrl-C lets it end by itself."""
    try:
        process = subprocess.Popen(command, stdout=stdout)
    except OSError as error:
        print(error, file=sys.stderr)
        return 127
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal has told the command too: pytest closes browsers and clusters now.
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.terminate()
        raise


def hand_over(command: "list[str]") -> int:
    """Become another command; on Windows, which cannot, run it and return its exit status."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        os.execv(command[0], command)  # noqa: S606
    return call(command)


def _is_quiet_success(command: "list[str]") -> bool:
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
