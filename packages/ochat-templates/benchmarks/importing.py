"""CPU time of `import ochat_templates` above the bare interpreter, and what else it loads."""

from __future__ import annotations

import resource
import subprocess
import sys

from measuring import leave, parser

LIMIT_MS = 30.0
LOADED = (
    "import sys; from ochat_templates import Codec, Conversation, ModelCard, get_template; "
    "get_template('openchat_v3.2'); "
    "print(*sorted({name.split('.')[0] for name in sys.modules} - {'ochat_templates'} "
    "- set(sys.stdlib_module_names) - {'__main__', 'sitecustomize', 'usercustomize'}))"
)


def cpu_ms(code: str, rounds: int) -> float:
    """The least CPU time of a fresh interpreter, in milliseconds."""
    best = float("inf")
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = min(best, spent)
    return best * 1000


def main() -> None:
    """Measures and prints."""
    arguments = parser(__doc__ or "").parse_args()
    bare = cpu_ms("pass", arguments.rounds * 3)
    ours = cpu_ms("import ochat_templates", arguments.rounds * 3)
    names = cpu_ms(
        "from ochat_templates import Conversation, Message, load_codec", arguments.rounds * 3
    )
    print(f"  bare interpreter {bare:.1f} ms, with ochat_templates {ours:.1f} ms")
    print(f"  with the three names of the README's example, loaded on demand: {names:.1f} ms")
    print(f"import above the bare interpreter: {ours - bare:.1f} ms (target: at most {LIMIT_MS})")
    command = [sys.executable, "-c", LOADED]
    others = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    third = [n for n in others.stdout.split() if not n.startswith(("_", "__editable__"))]
    print(f"third-party packages loaded: {', '.join(third) or 'none'}")
    leave(ours - bare <= LIMIT_MS, not third)


if __name__ == "__main__":
    main()
